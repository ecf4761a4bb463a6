#!/usr/bin/python3
"""N empty independent tasks on dask.distributed with worker processes over TCP: the fields of `tegula-bench tasks --json`."""
import argparse
import json
import resource
import statistics
import time

from distributed import Client, LocalCluster, wait


def nothing(_):
    return None


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--tasks", type=int, default=10000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeat", type=int, default=3)
    args = parser.parse_args()

    seconds = []
    with LocalCluster(n_workers=args.workers, threads_per_worker=args.threads, processes=True, dashboard_address=None,
                      host="127.0.0.1") as cluster, Client(cluster) as client:
        for _ in range(args.repeat):
            start = time.perf_counter()
            futures = client.map(nothing, range(args.tasks), pure=False)
            wait(futures)
            seconds.append(time.perf_counter() - start)
            del futures

    median = statistics.median(seconds)
    print(json.dumps({
        "workload": "tasks", "peer": "dask.distributed", "seconds": seconds, "median_s": median, "tasks": args.tasks,
        "us_per_task": median * 1e6 / args.tasks, "result": args.tasks,
        "peak_rss_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        "workers": args.workers, "threads": args.threads,
    }))


if __name__ == "__main__":
    main()
