"""Compares raw outputs with the wanted ones.

Usage: compare.py FOLDER META ACTUAL [TIMES]

FOLDER/want and FOLDER/ACTUAL hold the tensors that META, printed by reference.py, describes.
Prints JSON: the largest error as a part of the largest wanted value, and the first reason to
reject, or null.

Floats agree if |actual - wanted| <= TIMES * (1e-4 * max|wanted| + 1e-3 * |wanted|), TIMES being 1; values of 8 and 16 bits
if they differ by at most 1, since a quantised value may round the other way; others if equal. In a
model that computes with codes floats get one step of their scale, or of one that covers their range
with 8 bits, and one element of 1000 may differ by more. A rejection of such a model also says how many
elements ONNX Runtime gives differently, by the same measure, without its own rewrites.
A row of a two-dimensional float output must have its maximum at the same place, unless the two
candidates are closer than the tolerance.
"""

import json
import pathlib
import sys

import numpy as np


def tolerance(wanted, scale, step, times):
    if wanted.dtype.kind == "f":
        return step + times * (1e-4 * max(scale, 1e-6) + 1e-3 * np.abs(wanted.astype("f8")))
    return np.full(wanted.shape, float(wanted.dtype.kind in "iu" and wanted.itemsize <= 2))


def moved_maximum(actual, wanted, allowed):
    """The first row whose maximum is clearly elsewhere."""
    if wanted.ndim != 2 or wanted.dtype.kind != "f" or not wanted.size:
        return None
    rows = np.arange(len(wanted))
    top, other = wanted.argmax(1), actual.argmax(1)
    gap = wanted[rows, top] - wanted[rows, other] > 2 * allowed[rows, top]
    return int(np.flatnonzero(gap)[0]) if gap.any() else None


def disagreement(plain, wanted, allowed):
    """Elements that ONNX Runtime gives differently without its rewrites."""
    return int((np.abs(plain.astype("f8") - wanted) > allowed).sum())


def compare(actual, wanted, plain, step, times):
    """The scaled error and why the output is wrong; `plain` and the step of its codes, where there are any."""
    finite = np.isfinite(wanted) if wanted.dtype.kind == "f" else np.ones(wanted.shape, bool)
    if not np.array_equal(actual[~finite], wanted[~finite], equal_nan=True):
        return 0.0, "infinities or NaNs differ"
    error = np.where(finite, np.abs(actual.astype("f8") - wanted.astype("f8")), 0.0)
    scale = float(np.max(np.abs(wanted.astype("f8")), where=finite, initial=0.0))
    if step is None:
        step = np.ptp(wanted.astype("f8")) / 255 if plain is not None and wanted.size else 0.0
    allowed = tolerance(wanted, scale, step, times)
    worst = float(np.max(error, initial=0.0)) / (scale or 1.0)
    if not np.isfinite(worst):
        return worst, "finite values became infinite or NaN"
    outliers = (error > allowed).sum()
    if outliers > (0 if plain is None else error.size / 1000):
        at = np.unravel_index(np.argmax(error - allowed), error.shape)
        why = f"at {[int(i) for i in at]}: {actual[at]} instead of {wanted[at]}, {outliers} of {error.size} differ"
        return worst, why + ("" if plain is None else f", {disagreement(plain, wanted, allowed)} without rewrites")
    row = moved_maximum(actual, wanted, allowed)
    return worst, None if row is None else f"another class has the maximum in row {row}"


def main():
    folder, meta, name = pathlib.Path(sys.argv[1]), json.loads(sys.argv[2]), sys.argv[3]
    times = float(sys.argv[4]) if len(sys.argv) > 4 else 1.0
    worst, why = 0.0, None
    for i, output in enumerate(meta["outputs"]):
        def load(part):
            return np.fromfile(folder / part / str(i), output["type"]).reshape(output["shape"])

        plain = load("plain") if meta["quantised"] else None
        error, reason = compare(load(name), load("want"), plain, output["step"], times)
        worst = max(worst, error)
        why = why or (reason and f"output {i} {reason}")
    json.dump({"error": worst, "why": why}, sys.stdout)


if __name__ == "__main__":
    main()
