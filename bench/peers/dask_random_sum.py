#!/usr/bin/python3
"""random-sum on Dask's threaded scheduler: the same job and the same fields as `tegula-bench random-sum --json`.

On processors that Debian's OpenBLAS does not know, set OPENBLAS_CORETYPE (SkylakeX where there is AVX-512)."""
import argparse
import json
import resource
import statistics
import time

import dask.array as da

parser = argparse.ArgumentParser()
parser.add_argument("--size", type=int, nargs="+", default=[20000, 20000])
parser.add_argument("--chunks", type=int, nargs="+", default=[2000, 2000])
parser.add_argument("--threads", type=int, default=2)
parser.add_argument("--repeat", type=int, default=3)
args = parser.parse_args()

seconds = []
for _ in range(args.repeat):
    start = time.perf_counter()
    x = da.random.normal(10, 1, size=tuple(args.size), chunks=tuple(args.chunks))
    every_second = tuple(slice(None, None, 2) for _ in args.size)
    result = float((x + 1)[every_second].sum().compute(scheduler="threads", num_workers=args.threads))
    seconds.append(time.perf_counter() - start)

median = statistics.median(seconds)
tasks = int(x.npartitions)
print(json.dumps({
    "workload": "random-sum", "peer": "dask threads", "seconds": seconds, "median_s": median, "tasks": tasks,
    "us_per_task": median * 1e6 / tasks, "result": result,
    "peak_rss_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024, "threads": args.threads,
}))
