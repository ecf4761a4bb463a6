"""Are two arrays the same? Exactly, or within what tier 2 promises."""
import numpy as np


def difference(expected, got, exact, scale):
    """None when they agree, else a line that says how they don't. `scale` bounds the terms that were added up on the way."""
    expected = np.asarray(expected)
    if got.dtype != expected.dtype:
        return f"dtype {got.dtype.name}, NumPy {expected.dtype.name}"
    if got.shape != expected.shape:
        return f"shape {got.shape}, NumPy {expected.shape}"
    if expected.size == 0:
        return None
    with np.errstate(all="ignore"):
        if exact or expected.dtype.kind in "biu":
            same = (expected == got) | ((expected != expected) & (got != got))
        else:
            single = expected.dtype.name in ("float32", "complex64")
            relative = 2e-4 if single else 1e-9
            same = np.isclose(got, expected, rtol=relative, atol=relative * scale, equal_nan=True)
    if np.all(same):
        return None
    where = tuple(int(i) for i in np.argwhere(~np.atleast_1d(same))[0])
    flat = np.atleast_1d(expected), np.atleast_1d(got)
    return f"at {where}: {flat[1][where]!r}, NumPy {flat[0][where]!r} ({int(np.sum(~same))} of {expected.size} differ)"
