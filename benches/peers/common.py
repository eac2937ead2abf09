"""What the adapters of all peers share: the command line, the clock, the files.

Usage of each adapter: with_PEER.py MODEL INPUTS OUTPUTS META RUNS SECONDS THREADS

INPUTS holds the raw inputs that META, printed by tests/python/reference.py, describes. Runs the model once and
prints {"memory": bytes, "elapsed": seconds}: the most that the process has had in memory, and the time since
START, which the environment holds in nanoseconds of the real-time clock. Unless RUNS is 0, then warms up, times
each run until there are RUNS of them and SECONDS have passed, writes the last outputs to OUTPUTS and prints
{"seconds": median, "runs": count}. Run as a program, this file stands for a peer that does nothing.
"""

import json
import os
import pathlib
import statistics
import sys
import time

import numpy as np

# Of the time that is measured.
WARM_UP = 0.2


def main(load):
    """`load(model, feeds, outputs, threads)` gives a function that runs once, and one that gives the outputs."""
    model, folder, results, meta, runs, seconds, threads = sys.argv[1:]
    meta = json.loads(meta)
    feeds = {port["name"]: read(pathlib.Path(folder) / str(i), port) for i, port in enumerate(meta["inputs"])}
    run, outputs = load(model, feeds, meta["outputs"], int(threads))
    run()
    report(elapsed=elapsed(), memory=memory())
    if int(runs):
        repeat(run, 1, WARM_UP * float(seconds))
        times = repeat(run, int(runs), float(seconds))
        store(pathlib.Path(results), outputs(), meta["outputs"])
        report(seconds=statistics.median(times), runs=len(times))


def repeat(run, runs, seconds):
    times, end = [], time.perf_counter() + seconds
    while len(times) < runs or time.perf_counter() < end:
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return times


def read(path, port):
    return np.fromfile(path, port["type"]).reshape(port["shape"])


def store(folder, arrays, ports):
    for i, (array, port) in enumerate(zip(arrays, ports, strict=True)):
        np.ascontiguousarray(array, port["type"]).reshape(port["shape"]).tofile(folder / str(i))


def memory():
    """Bytes, the most so far."""
    lines = pathlib.Path("/proc/self/status").read_text().splitlines()
    return next(1024 * int(line.split()[1]) for line in lines if line.startswith("VmHWM"))


def elapsed():
    return (time.time_ns() - int(os.environ["START"])) / 1e9 if "START" in os.environ else 0


def report(**facts):
    print(json.dumps(facts), flush=True)


if __name__ == "__main__":
    report(elapsed=elapsed(), memory=memory())
