"""Are two arrays the same? Exactly, within a few units of the last place, or within what a chain of such steps leaves."""
import numpy as np

import operations


def units_apart(expected, got):
    """Distance in units of the last place of the larger one; 0 where both are the same infinity or both NaN."""
    apart = np.abs(expected - got) / np.spacing(np.maximum(np.abs(expected), np.abs(got)))
    same = (expected == got) | ((expected != expected) & (got != got))
    return np.where(same, 0, np.where(np.isnan(apart), np.inf, apart))


def agree(expected, got, tolerance, scale):
    if tolerance == "exact" or expected.dtype.kind in "biu":
        return (expected == got) | ((expected != expected) & (got != got))
    if tolerance == "close":
        return units_apart(expected, got) <= operations.CLOSE_ULPS
    single = tolerance == "coarse" or expected.dtype.name in ("float32", "complex64")
    relative = 2e-4 if single else 1e-9
    return np.isclose(got, expected, rtol=relative, atol=relative * scale, equal_nan=True)


def difference(expected, got, tolerance, scale):
    """None when they agree, else a line that says how they don't. `tolerance` is "exact" (the same bits, though any NaN is any other),
    "close" (a few units of the last place), "derived" (computed from what was only close) or "coarse" (the same, in float32 somewhere on
    the way); `scale` bounds the terms that were added up on the way there."""
    expected = np.asarray(expected)
    if got.dtype != expected.dtype:
        return f"dtype {got.dtype.name}, NumPy {expected.dtype.name}"
    if got.shape != expected.shape:
        return f"shape {got.shape}, NumPy {expected.shape}"
    if expected.size == 0:
        return None
    with np.errstate(all="ignore"):
        same = agree(expected, got, tolerance, scale)
    if np.all(same):
        return None
    where = tuple(int(i) for i in np.argwhere(~np.atleast_1d(same))[0])
    flat = np.atleast_1d(expected), np.atleast_1d(got)
    return f"at {where}: {flat[1][where]!r}, NumPy {flat[0][where]!r} ({int(np.sum(~same))} of {expected.size} differ)"
