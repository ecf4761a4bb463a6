"""Runs programs through tegula-eval and says what went wrong."""
import json
import os
import pathlib
import subprocess

import numpy as np

import compare

BINARIES = os.environ.get("TEGULA_TEST_BIN_DIR", str(pathlib.Path(__file__).resolve().parents[2] / "build/release/bin"))


def eval_json(programs, arguments=()):
    """The parsed output lines and the exit status; fewer lines than programs mean that the process died."""
    done = subprocess.run([os.path.join(BINARIES, "tegula-eval"), "--json-errors", "--threads", "2", *arguments], input=json.dumps(programs),
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=240)
    return [json.loads(line) for line in done.stdout.splitlines()], done


def scale_of(program):
    scale = 1.0
    for value in program.values.values():
        if value.known and value.array.size:
            with np.errstate(all="ignore"):
                finite = np.abs(value.array[np.isfinite(value.array)]) if value.array.dtype.kind in "fc" else np.abs(value.array.astype("f8"))
            if finite.size:
                scale = max(scale, float(np.max(finite)) * max(1, value.array.size))
    return min(scale, 1e300)


def judge(program, answer):
    """None when Tegula and NumPy agree on this program."""
    expects_error = any(not program.values[s[0]].known for s in program.steps)
    if "error" in answer:
        if expects_error and answer["error"] in ("ValueError", "ShapeError", "IndexError", "DTypeError"):
            return None
        return f"{answer['error']}: {answer['message']}"
    if expects_error:
        return "no error, NumPy raises one"
    for name in program.outputs:
        value = program.values[name]
        got = np.load(answer["outputs"][name]["path"])
        line = compare.difference(value.array, got, value.tolerance, scale_of(program))
        if line:
            return f"{name}: {line}"
    return None


def run(programs):
    """One verdict per program; a process that dies is blamed on the first program without an answer, and the rest is run again."""
    verdicts = []
    rest = list(programs)
    while rest:
        answers, process = eval_json([p.json(p.folder) for p in rest])
        verdicts += [judge(p, a) for p, a in zip(rest, answers)]
        if len(answers) == len(rest):
            break
        verdicts.append(f"tegula-eval ended with status {process.returncode}: {process.stderr.strip()[-2000:]}")
        rest = rest[len(answers) + 1:]
    return verdicts
