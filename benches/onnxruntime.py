"""Times a model in ONNX Runtime on one thread: onnxruntime.py MODEL INPUTS META RUNS

INPUTS holds the raw inputs that META, printed by reference.py, describes. Prints the median time
in seconds.
"""

import json
import pathlib
import statistics
import sys
import time

# This file has the name of the package that it measures.
sys.path.pop(0)

import numpy as np
import onnxruntime

WARM_UP = 5


def main():
    model, folder, meta, runs = sys.argv[1], pathlib.Path(sys.argv[2]), *sys.argv[3:5]
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    feeds = {
        port["name"]: np.fromfile(folder / str(i), port["type"]).reshape(port["shape"])
        for i, port in enumerate(json.loads(meta)["inputs"])
    }
    times = []
    for i in range(WARM_UP + int(runs)):
        start = time.perf_counter()
        session.run(None, feeds)
        times.append(time.perf_counter() - start)
    print(f"{statistics.median(times[WARM_UP:]):.9f}")


if __name__ == "__main__":
    main()
