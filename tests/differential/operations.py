"""What the random programs are made of: each operation with its NumPy oracle and the rules for when to use it.

A value carries `exact`: whether Tegula must give the same bits (DESIGN: tier 1), or only the same within a bound. Values that are not
exact never feed operations that jump (comparisons, rounding, casts to integers), where a last bit would become a whole result.

Tegula follows NumPy 2; the oracle here is whatever NumPy is installed, 1.24 on Debian 12, with NEP 50 switched on. Where the two
differ, programs keep away from the difference:
- floor, ceil and trunc of integers are float64 in 1.24 and integers from 2.1 on (ROUNDING is for inexact types only);
- min and max over an axis of size 0 raise in 1.24 even where the result has no elements, in NumPy 2 only where it has some;
- sign of a complex number is the sign of its real part in 1.24 and z / |z| in 2;
- weak integers that do not fit wrap with a warning in 1.24 and raise in 2;
- power of integers with a negative exponent raises by value in both; Tegula computes lazily and cannot;
- functions of bool and 8-bit integers are float16, which Tegula does not have (SMALL).
Nor does anything look at the sign of a NaN, which neither promises."""
import numpy as np

FLOATS = ("float32", "float64")
COMPLEX = ("complex64", "complex128")
SIGNED = ("int8", "int16", "int32", "int64")
UNSIGNED = ("uint8", "uint16", "uint32", "uint64")
INTEGERS = SIGNED + UNSIGNED
ALL = ("bool",) + INTEGERS + FLOATS + COMPLEX
# NumPy computes functions of these in float16, which Tegula does not have (docs/architecture.md): not compared.
SMALL = ("bool", "int8", "uint8")

EXACT_BINARY = ["add", "subtract", "multiply", "maximum", "minimum", "fmax", "fmin"]
EXACT_BINARY_REAL = ["divide", "floor_divide", "remainder", "fmod", "copysign"]
COMPARISONS = ["equal", "not_equal", "less", "less_equal", "greater", "greater_equal"]
LOGICAL = ["logical_and", "logical_or", "logical_xor"]
BITWISE = ["bitwise_and", "bitwise_or", "bitwise_xor"]
SHIFTS = ["left_shift", "right_shift"]
CLOSE_BINARY = ["arctan2", "hypot", "power"]
EXACT_UNARY = ["negative", "positive", "square", "conjugate", "real", "imag"]
EXACT_UNARY_REAL = ["absolute", "sign", "sqrt", "reciprocal"]
ROUNDING = ["floor", "ceil", "trunc", "rint"]
PREDICATES = ["isnan", "isinf", "isfinite", "logical_not", "signbit"]
CLOSE_UNARY = ["cbrt", "exp", "exp2", "expm1", "log", "log2", "log10", "log1p", "sin", "cos", "tan", "arcsin", "arccos", "arctan",
               "sinh", "cosh", "tanh", "arcsinh", "arccosh", "arctanh"]
REDUCTIONS = ["sum", "prod", "min", "max", "mean", "var", "std", "any", "all"]

# Bound between NumPy's results and Tegula's for the functions that are not exact, in units of the last place.
CLOSE_ULPS = 16

JUMPS = set(COMPARISONS + ROUNDING + PREDICATES + LOGICAL + ["floor_divide", "remainder", "fmod", "sign", "copysign"])


def zero_like(operand):
    """Promotes like the operand, which is an array, a NumPy scalar or a Python number (weak)."""
    return np.zeros(1, operand.dtype) if isinstance(operand, (np.ndarray, np.generic)) else operand


def call(op, args, kwargs):
    """One step in NumPy; raises what NumPy raises."""
    with np.errstate(all="ignore"):
        if op == "getitem":
            return args[0][tuple(args[1:])]
        if op == "astype":
            return args[0].astype(args[1])
        if op == "rechunk":
            return args[0]
        if op == "where":  # before NumPy 2 it does not take scalars as weak
            condition, a, b = args
            meet = (zero_like(a) + zero_like(b)).dtype
            return np.where(condition, np.asarray(a).astype(meet), np.asarray(b).astype(meet))
        if op == "transpose":
            return np.transpose(*args, **kwargs)
        if op in ("real", "imag"):
            return np.asarray(getattr(np, op)(args[0]))
        if op == "conjugate":  # the method, as Array::conj(): the function makes int8 of bool
            return np.asarray(args[0].conj())
        if op in REDUCTIONS:
            return np.asarray(getattr(np, op)(args[0], **kwargs))
        return np.asarray(getattr(np, op)(*args, **kwargs))


def tolerance(op, args, result):
    """How well Tegula's result must match NumPy's, given arguments that are the same bits (see compare.difference)."""
    if result.dtype.kind in "biu":
        return "exact"
    if op in CLOSE_UNARY + CLOSE_BINARY:
        return "derived" if result.dtype.kind == "c" else "close"
    if op in ("sum", "prod", "mean", "var", "std"):
        return "derived"
    if result.dtype.kind == "c" and op in ("divide", "reciprocal", "sqrt", "square", "multiply", "sign"):
        return "derived"
    if op == "absolute" and getattr(args[0], "dtype", np.dtype("f8")).kind == "c":
        return "close"
    return "exact"
