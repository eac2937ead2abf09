"""Judges a peer's outputs of a model on codes: near.py WANTED ACTUAL USUAL META

The folders hold the outputs in f32, the peer's, and ONNX Runtime's in QDQ form; META, printed by
tests/python/reference.py, describes them. A peer may have its own codes or round elsewhere, which deep layers
amplify, so its distance from f32 counts, as the root of the mean square over that of f32: it may be twice that of
ONNX Runtime, or a tenth. Prints JSON like tests/python/compare.py.
"""

import json
import pathlib
import sys

import numpy as np

TIMES, LEAST = 2.0, 0.1


def main():
    folders = [pathlib.Path(word) for word in sys.argv[1:4]]
    worst, why = 0.0, None
    for i, output in enumerate(json.loads(sys.argv[4])["outputs"]):
        wanted, actual, usual = (np.fromfile(folder / str(i), output["type"]).astype("f8") for folder in folders)
        error, allowed = (np.linalg.norm(each - wanted) / np.linalg.norm(wanted) for each in (actual, usual))
        worst = max(worst, float(error))
        if not error <= max(TIMES * allowed, LEAST):
            why = why or f"output {i} is {error:.3f} from f32, ONNX Runtime's {allowed:.3f}"
    json.dump({"error": worst, "why": why}, sys.stdout)


if __name__ == "__main__":
    main()
