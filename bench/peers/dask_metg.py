#!/usr/bin/python3
"""METG(50%) of Task Bench's stencil (each task reads itself and its neighbours) on dask.distributed with worker processes over
TCP: the fields of a curve of `tegula-bench metg --pattern stencil_1d --json`. What a task computes is written in Python and
so are its iterations; efficiency is relative to the same function's own peak on the same workers."""
import argparse
import json
import math
import statistics
import time

from distributed import Client, LocalCluster, wait


def busy(iterations, *_):
    x = 1.0
    for _ in range(iterations):
        x = x * 0.5 + 1
    return x


def stencil(client, width, steps, iterations):
    """Seconds from submission to the end of the last step."""
    start = time.perf_counter()
    row = [client.submit(busy, iterations, pure=False) for _ in range(width)]
    for _ in range(steps - 1):
        row = [client.submit(busy, iterations, *row[max(0, i - 1):i + 2], pure=False) for i in range(width)]
    wait(row)
    return time.perf_counter() - start


def peak(client, threads):
    """Iterations per second of all threads together, by tasks of about half a second that read nothing."""
    best, iterations = 0, 1 << 20
    for _ in range(8):
        start = time.perf_counter()
        wait([client.submit(busy, iterations, pure=False) for _ in range(threads)])
        seconds = time.perf_counter() - start
        best = max(best, iterations * threads / seconds)
        if seconds < 0.5:
            iterations *= 2
    return best


def crossing(points):
    """The smallest granularity with an efficiency of one half or more, interpolated to the crossing."""
    for above, below in reversed(list(zip(points, points[1:]))):
        if below["efficiency"] >= 0.5:
            return None
        if above["efficiency"] >= 0.5:
            part = (0.5 - below["efficiency"]) / (above["efficiency"] - below["efficiency"])
            return below["granularity_us"] + part * (above["granularity_us"] - below["granularity_us"])
    return None


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--width", type=int, default=0, help="default: the threads")
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--longest", type=float, default=0.064, help="seconds of the tasks to begin with")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeat", type=int, default=3)
    args = parser.parse_args()
    threads = args.workers * args.threads
    width = args.width or threads
    tasks = width * args.steps

    points = []
    with LocalCluster(n_workers=args.workers, threads_per_worker=args.threads, processes=True, dashboard_address=None,
                      host="127.0.0.1") as cluster, Client(cluster) as client:
        def seconds(iterations):
            return statistics.median(stencil(client, width, args.steps, iterations) for _ in range(args.repeat))

        best = peak(client, threads)
        iterations = 1 << math.ceil(math.log2(args.longest * best / threads))
        while iterations >= 1 and (len(points) < 2 or max(p["efficiency"] for p in points[-2:]) >= 0.5):
            took = seconds(iterations)
            points.append({"iterations": iterations, "granularity_us": took * 1e6 * threads / tasks,
                           "efficiency": iterations * tasks / took / best})
            iterations //= 2
        empty = seconds(0)

    print(json.dumps({
        "workload": "metg", "peer": "dask.distributed", "threads": threads, "steps": args.steps, "curves": [{
            "pattern": "stencil_1d", "width": width, "tasks": tasks, "metg_us": crossing(points),
            "tasks_per_s": tasks / empty, "overhead_us": empty * 1e6 * threads / tasks,
            "peak_iterations_per_s": best, "points": points}],
    }))


if __name__ == "__main__":
    main()
