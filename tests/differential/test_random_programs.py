#!/usr/bin/python3
"""Random array programs, in Tegula and in NumPy: dtype, shape and values must agree. Failures are shrunk and printed.

TEGULA_TEST_SEED and TEGULA_TEST_PROGRAMS choose others than the default ones; TEGULA_TEST_BIN_DIR says where tegula-eval is."""
import json
import os
import sys
import tempfile

os.environ["NPY_PROMOTION_STATE"] = "weak"  # NEP 50 in NumPy before 2.0; must be set before the import

import generate
import runner
import shrink

SEED = int(os.environ.get("TEGULA_TEST_SEED", "20261122"))
COUNT = int(os.environ.get("TEGULA_TEST_PROGRAMS", "1000"))
BATCH = 100


def main():
    print(f"seed {SEED}, {COUNT} programs")
    failures = steps = 0
    with tempfile.TemporaryDirectory(prefix="tegula-differential-") as folder:
        for first in range(0, COUNT, BATCH):
            programs = [generate.random_program(SEED * 1000003 + i, os.path.join(folder, str(i))) for i in range(first, min(first + BATCH, COUNT))]
            steps += sum(len(p.steps) for p in programs)
            for i, (program, verdict) in enumerate(zip(programs, runner.run(programs))):
                if verdict is None:
                    continue
                failures += 1
                if failures <= 10:
                    small, small_verdict = shrink.shrink(program)
                    print(f"--- program {first + i}: {small_verdict or verdict}")
                    print(json.dumps(small.json(small.folder), indent=1))
                    for name in small.inputs:
                        array = small.values[name].array
                        print(f"{name} = {array.dtype.name} {array.shape} {array.tolist() if array.size <= 64 else '...'}")
    print(f"{COUNT} programs, {steps} steps, {failures} failures")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
