"""Random programs: inputs on disk, steps, and what NumPy makes of them."""
import os
import random
import warnings

import numpy as np

import operations as ops

warnings.simplefilter("ignore")

SPECIAL_FLOATS = [0.0, -0.0, 1.0, -1.0, 0.5, 2.0, 3.7, -2.5, 1e-3, 1e3, float("nan"), float("inf"), float("-inf")]


class Value:
    def __init__(self, array, tolerance="exact", known=True):
        self.array = array
        self.tolerance = tolerance  # as compare.difference has it
        self.known = known  # False: NumPy raised; so must Tegula

    @property
    def exact(self):
        return self.tolerance == "exact"

    @property
    def single(self):
        """Whether what is inexact about it was rounded to float32, whatever it was converted to since."""
        return self.tolerance == "coarse" or self.array.dtype.name in ("float32", "complex64")


def random_chunks(rng, shape):
    chunks = []
    for size in shape:
        how = rng.randrange(4)
        if size == 0 or how == 0:
            chunks.append(-1)
        elif how == 1:
            chunks.append(rng.randint(1, size))
        else:
            cuts = sorted(rng.sample(range(1, size), rng.randint(0, min(3, size - 1)))) if size > 1 else []
            edges = [0] + cuts + [size]
            chunks.append([b - a for a, b in zip(edges, edges[1:])])
    return chunks


def random_array(rng, dtype, shape):
    count = int(np.prod(shape, dtype=np.int64))
    kind = np.dtype(dtype).kind
    if kind == "b":
        values = [rng.random() < 0.5 for _ in range(count)]
    elif kind in "iu":
        info = np.iinfo(dtype)
        small = rng.random() < 0.7
        values = [rng.randint(max(info.min, -9), min(info.max, 9)) if small else rng.randint(info.min, info.max) for _ in range(count)]
    else:
        def one():
            return rng.choice(SPECIAL_FLOATS) if rng.random() < 0.2 else rng.uniform(-4, 4)
        values = [complex(one(), one()) if kind == "c" else one() for _ in range(count)]
    return np.array(values, dtype=dtype).reshape(shape)


def random_scalar(rng, array):
    """A Python number (weak), or now and then a NumPy one, which promotes like an array of its dtype."""
    kind = array.dtype.kind
    choices = ["int", "float"] if kind != "c" else ["int", "float", "complex"]
    how = rng.choice(choices)
    if how == "int":
        value = rng.randint(0, 5) if kind in "bu" else rng.randint(-5, 5)
        if rng.random() < 0.2:
            return np.dtype(rng.choice(ops.SIGNED if value < 0 else ops.INTEGERS)).type(value)
        return value
    if how == "float":
        value = rng.choice([0.5, -1.25, 2.0, 0.0, float("nan"), float("inf")])
        return np.dtype(rng.choice(ops.FLOATS)).type(value) if rng.random() < 0.2 else value
    return complex(rng.choice([0.5, -1.0]), rng.choice([2.0, -0.25]))


def encode(item):
    """A NumPy argument as tegula-eval writes it."""
    if isinstance(item, slice):
        return {"slice": [item.start, item.stop, item.step]}
    if item is None:
        return {"newaxis": True}
    if item is Ellipsis:
        return {"ellipsis": True}
    if isinstance(item, np.generic):
        return {"scalar": encode(item.item()), "dtype": item.dtype.name}
    if isinstance(item, complex):
        return {"complex": [repr(item.real), repr(item.imag)]}
    if isinstance(item, float):
        return {"float": repr(item)}
    return item


def random_creation(rng, shape):
    """An array that both make by themselves: (op, args, kwargs)."""
    op = rng.choice(["zeros", "ones", "full", "arange", "linspace", "eye"])
    dtype = {"dtype": rng.choice(ops.ALL)} if rng.random() < 0.6 else {}
    if op in ("zeros", "ones"):
        return op, [list(shape)], dtype
    if op == "full":
        value = rng.choice([True, 7, 0, 2.5, 1 + 2j]) if not dtype else rng.choice([0, 1, 5])
        return op, [list(shape), value], dtype
    if op == "arange":  # steps that floats hold exactly
        start, step = rng.randint(-5, 5), rng.choice([1, 2, 3, -1, -2, 0.25, -0.5])
        dtype = {"dtype": rng.choice(ops.FLOATS + (("int64", "int32") if isinstance(step, int) else ()))} if dtype else {}
        return op, [start, start + step * rng.randint(-1, 12), step], dtype
    if op == "linspace":
        kwargs = {"endpoint": rng.random() < 0.7, **({"dtype": rng.choice(ops.FLOATS)} if dtype else {})}
        return op, [rng.uniform(-5, 5), rng.uniform(-5, 5), rng.randint(0, 12)], kwargs
    return op, [rng.randint(0, 6), rng.randint(0, 6), rng.randint(-4, 4)], dtype


class Program:
    """Steps over named values. A step is (out, op, args, kwargs); array arguments are ("var", name)."""

    def __init__(self, folder):
        self.folder = folder
        self.inputs = {}   # name -> its JSON
        self.steps = []
        self.outputs = []
        self.values = {}
        self.optimize = True

    def add_input(self, name, array, chunks):
        path = os.path.join(self.folder, f"{name}.npy")
        np.save(path, array)
        self.inputs[name] = {"npy": path, "chunks": chunks}
        self.values[name] = Value(np.load(path))

    def add_creation(self, name, op, args, kwargs, rng):
        array = ops.call(op, args, kwargs)
        chunks = random_chunks(rng, array.shape)
        self.inputs[name] = {"op": op, "args": [encode(a) for a in args], "kwargs": {**kwargs, "chunks": chunks}}
        self.values[name] = Value(array, "derived" if op == "linspace" else "exact")

    def evaluate(self, step):
        out, op, args, kwargs = step
        values = [self.values[a[1]] for a in args if isinstance(a, tuple)]
        if any(not value.known for value in values):
            return Value(None, known=False)
        plain = [self.values[a[1]].array if isinstance(a, tuple) else a for a in args]
        try:
            result = np.asarray(ops.call(op, plain, kwargs))
        except (TypeError, ValueError, IndexError, OverflowError):
            return Value(None, known=False)
        inexact = [value for value in values if not value.exact]
        if not inexact:
            return Value(result, ops.tolerance(op, plain, result))
        return Value(result, "coarse" if any(value.single for value in inexact) else "derived")

    def json(self, output_folder):
        steps = []
        for out, op, args, kwargs in self.steps:
            steps.append({"out": out, "op": op, "args": [a[1] if isinstance(a, tuple) else encode(a) for a in args], "kwargs": kwargs})
        return {
            "inputs": self.inputs,
            "steps": steps,
            "outputs": {name: os.path.join(output_folder, f"out_{name}.npy") for name in self.outputs},
            "optimize": self.optimize,
        }


def random_shape(rng):
    return tuple(rng.choice([0, 1, 2, 3, 5, 8]) if rng.random() < 0.9 else rng.randint(9, 40) for _ in range(rng.choice([0, 1, 1, 2, 2, 2, 3])))


def broadcastable(rng, shape):
    result = [size if rng.random() < 0.75 else 1 for size in shape]
    return tuple(result[rng.randint(0, len(result)):] if rng.random() < 0.3 else result)


def random_index(rng, shape):
    items = []
    for size in shape[:rng.randint(0, len(shape))]:
        if size > 0 and rng.random() < 0.25:
            items.append(rng.randint(-size, size - 1))
        else:
            def bound():
                return None if rng.random() < 0.4 else rng.randint(-size - 2, size + 2)
            items.append(slice(bound(), bound(), rng.choice([None, 1, 2, 3, -1, -2, -3])))
    if rng.random() < 0.3:
        items.insert(rng.randint(0, len(items)), None)
    if rng.random() < 0.2:
        items.insert(rng.randint(0, len(items)), Ellipsis)
    if rng.random() < 0.03 and shape and shape[0] > 0:
        items = [shape[0] + 1]  # out of range: an error in both
    return items


def castable(array, dtype):
    """NumPy leaves casts of floats out of range undefined; Tegula saturates. Compared only where both are defined."""
    if array.dtype.kind not in "fc" or np.dtype(dtype).kind not in "iu":
        return True
    if array.dtype.kind == "c":
        return False
    info = np.iinfo(dtype)
    with np.errstate(all="ignore"):
        return bool(np.all(np.isfinite(array)) and np.all(array > max(float(info.min), -2.0**62)) and np.all(array < min(float(info.max), 2.0**62)) and np.all(array > float(info.min) - 0.5))


def random_step(rng, program, out):
    name = rng.choice(list(program.values))
    value = program.values[name]
    if not value.known:
        return None
    array, var = value.array, ("var", name)
    dtype = array.dtype.name
    kind = rng.choice(["binary", "binary", "unary", "unary", "index", "index", "reduce", "astype", "transpose", "rechunk", "where"])

    if kind == "binary":
        op = rng.choice(ops.EXACT_BINARY * 3 + ops.EXACT_BINARY_REAL + ops.COMPARISONS + ops.LOGICAL + ops.BITWISE + ops.SHIFTS + ops.CLOSE_BINARY)
        if rng.random() < 0.4:
            scalar = random_scalar(rng, array)
            args = [var, scalar] if rng.random() < 0.6 else [scalar, var]
        else:
            others = [n for n, v in program.values.items() if v.known and (rng.random() < 0.05 or compatible(v.array.shape, array.shape))]
            args = [var, ("var", rng.choice(others))]
        return (out, op, args, {}) if binary_is_comparable(program, op, args) else None
    if kind == "unary":
        op = rng.choice(ops.EXACT_UNARY + ops.EXACT_UNARY_REAL + ops.ROUNDING + ops.PREDICATES + ops.CLOSE_UNARY + ["invert"])
        if op in ops.JUMPS and not value.exact:
            return None
        if dtype in ops.SMALL and op in ops.CLOSE_UNARY + ["sqrt"] + ops.ROUNDING:
            return None
        if op == "signbit" and has_nan(array):
            return None
        if array.dtype.kind in "iu" and op in ops.ROUNDING + ["reciprocal"]:
            return None
        if array.dtype.kind == "c" and op in ("sign", "reciprocal") + tuple(ops.CLOSE_UNARY):
            return None  # complex functions near branch cuts and infinities: tested by value in tests/kernels
        return (out, op, [var], {})
    if kind == "index":
        return (out, "getitem", [var] + random_index(rng, array.shape), {})
    if kind == "reduce":
        op = rng.choice(ops.REDUCTIONS)
        if array.dtype.kind == "c" and op in ("var", "std", "prod"):
            return None
        if op in ("any", "all") and not value.exact:
            return None
        kwargs = {"keepdims": rng.random() < 0.5}
        if array.ndim and rng.random() < 0.7:
            axes = rng.sample(range(array.ndim), rng.randint(1, array.ndim))
            kwargs["axis"] = tuple(a - array.ndim if rng.random() < 0.3 else a for a in axes)
        if overflows_by_order(op, array):
            return None
        if op in ("min", "max") and reduces_nothing_to_nothing(array.shape, kwargs.get("axis")):
            return None
        if op in ("var", "std") and rng.random() < 0.4:
            kwargs["ddof"] = rng.choice([1, 2])
        if op in ("sum", "prod", "mean") and rng.random() < 0.2:
            kwargs["dtype"] = {"b": "int64", "i": "float64", "u": "float64", "f": "float64", "c": "complex128"}[array.dtype.kind]
            if op == "mean" and array.dtype.kind == "b":
                kwargs["dtype"] = "float32"
        return (out, op, [var], kwargs)
    if kind == "astype":
        target = rng.choice(ops.ALL)
        if not castable(array, target) or (array.dtype.kind == "c" and np.dtype(target).kind != "c"):
            return None
        if not value.exact and np.dtype(target).kind in "biu":
            return None
        return (out, "astype", [var, target], {})
    if kind == "transpose":
        axes = list(range(array.ndim))
        rng.shuffle(axes)
        return (out, "transpose", [var], {"axes": axes} if axes and rng.random() < 0.6 else {})
    if kind == "rechunk":
        return (out, "rechunk", [var, random_chunks(rng, array.shape)], {})
    conditions = [n for n, v in program.values.items() if v.known and v.array.dtype == bool and compatible(v.array.shape, array.shape)]
    if not conditions:
        return None
    condition = ("var", rng.choice(conditions))
    if rng.random() < 0.5:
        other = random_scalar(rng, array)
        return (out, "where", [condition, var, other] if rng.random() < 0.7 else [condition, other, var], {})
    others = [n for n, v in program.values.items() if v.known and compatible(v.array.shape, array.shape)]
    return (out, "where", [condition, var, ("var", rng.choice(others))], {})


def overflows_by_order(op, array):
    """Whether the finite elements are so large (or, for prod, small) that the order of adding them up decides over infinity."""
    if op not in ("sum", "prod", "mean", "var", "std") or array.dtype.kind not in "fc" or array.size == 0:
        return False
    sizes = np.abs(array[np.isfinite(array)]).astype("f8")
    with np.errstate(all="ignore"):
        if op == "prod":
            logs = np.abs(np.log2(sizes[sizes > 0]))
            return bool(np.sum(logs) > np.finfo(array.dtype).maxexp - 2)
        terms = sizes**2 if op in ("var", "std") else sizes
        return bool(4 * np.sum(terms) > float(np.finfo(array.dtype).max))


def reduces_nothing_to_nothing(shape, axis):
    axes = range(len(shape)) if axis is None else [a % len(shape) for a in axis]
    return any(shape[a] == 0 for a in axes) and any(size == 0 for a, size in enumerate(shape) if a not in axes)


def has_nan(operand):
    return bool(np.any(np.not_equal(operand, operand)))


def compatible(a, b):
    try:
        np.broadcast_shapes(a, b)
        return True
    except ValueError:
        return False


def binary_is_comparable(program, op, args):
    values = [program.values[a[1]] if isinstance(a, tuple) else None for a in args]
    if op in ops.JUMPS and any(v is not None and not v.exact for v in values):
        return False
    arrays = [v.array if v else None for v in values]
    names = [a.dtype.name for a in arrays if a is not None]
    if op in ops.CLOSE_BINARY + ["copysign"] and any(n in ops.SMALL for n in names):
        return False
    if op == "copysign" and has_nan(arrays[1] if arrays[1] is not None else args[1]):
        return False
    if op in ops.CLOSE_BINARY + ["divide"] + ops.COMPARISONS + ops.EXACT_BINARY_REAL and any(n in ops.COMPLEX for n in names):
        return False
    if any(n in ops.COMPLEX for n in names) and op in ("multiply", "maximum", "minimum", "fmax", "fmin"):
        return all(a is None or bool(np.all(np.isfinite(a))) for a in arrays) and all(not isinstance(a, float) or np.isfinite(a) for a in args)
    if op == "power":
        exponent = arrays[1] if arrays[1] is not None else args[1]
        if np.any(np.asarray(exponent) < 0) and all(n not in ops.FLOATS for n in names):
            return False  # NumPy raises by value
        return not isinstance(args[0], complex) and not isinstance(args[1], complex)
    # NumPy 1.24 knows no weak complex scalar with integers in comparisons as NumPy 2 does.
    return True


def random_program(seed, folder):
    rng = random.Random(seed)
    os.makedirs(folder, exist_ok=True)
    program = Program(folder)
    program.optimize = rng.random() < 0.8
    base = random_shape(rng)
    for i in range(rng.randint(1, 3)):
        shape = base if rng.random() < 0.5 else broadcastable(rng, base)
        if rng.random() < 0.25:
            program.add_creation(f"in{i}", *random_creation(rng, shape), rng)
            continue
        array = random_array(rng, rng.choice(ops.ALL), shape)
        if array.ndim == 2 and rng.random() < 0.2:
            array = np.asfortranarray(array)
        if rng.random() < 0.1:
            array = array.astype(array.dtype.newbyteorder(">"))
        program.add_input(f"in{i}", array, random_chunks(rng, shape))
        program.values[f"in{i}"].array = array.astype(array.dtype.newbyteorder("="))
    length = rng.randint(1, 8)
    for attempt in range(60):
        if len(program.steps) == length:
            break
        step = random_step(rng, program, f"v{len(program.steps)}")
        if step is None:
            continue
        value = program.evaluate(step)
        if not value.known and program.steps:
            continue  # an error is tested as a program's only step, where it can't hide another
        if value.known and (value.array.size > 20000 or value.array.dtype.name not in ops.ALL or value.array.ndim > 6):
            continue
        program.steps.append(step)
        program.values[step[0]] = value
        if not value.known:
            break
    names = [s[0] for s in program.steps]
    program.outputs = names[-1:] + [n for n in names[:-1] if rng.random() < 0.25]
    return program
