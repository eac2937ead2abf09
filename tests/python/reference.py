"""Random inputs for a model and ONNX Runtime's outputs for them.

Usage: reference.py MODEL FOLDER [--shape NAME:1x3] [--dim NAME=N] [--low X --high X]

Writes raw tensors to FOLDER/in/0, FOLDER/in/1, ... and FOLDER/want/0, ..., and prints JSON: the
number of nodes, the inputs' and outputs' types and shapes, and the arguments that close the model's open
dimensions (1 unless told otherwise).
"""

import argparse
import json
import pathlib
import sys

import numpy as np
import onnx
import onnxruntime

SEED = 20240229


def pair(separator):
    return lambda text: tuple(text.rsplit(separator, 1))


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("model", type=pathlib.Path)
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--shape", action="append", default=[], type=pair(":"))
    parser.add_argument("--dim", action="append", default=[], type=pair("="))
    parser.add_argument("--low", type=float, default=0.0)
    parser.add_argument("--high", type=float, default=1.0)
    return parser.parse_args()


def shape_of(port, shapes, dims):
    """The static shape of an input, and whether the model left it open."""
    if port.name in shapes:
        return [int(d) for d in shapes[port.name].split("x") if d], True
    sizes = [int(dims.get(d, 1)) if isinstance(d, str) or d is None else d for d in port.shape]
    return sizes, sizes != list(port.shape)


def fill(kind, shape, args, random):
    """Values of an ONNX Runtime type such as tensor(float), all legal as indices and masks."""
    kind = kind[len("tensor(") : -1]
    if kind in ("float", "double", "float16"):
        values = random.uniform(args.low, args.high, shape)
        return values.astype({"float": "f4", "double": "f8", "float16": "f2"}[kind])
    if kind in ("uint8", "int8"):
        limits = np.iinfo(kind)
        return random.integers(limits.min, limits.max, shape, kind, endpoint=True)
    return random.integers(0, 2, shape).astype(kind)


def session(model):
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])


def describe(array):
    return {"type": array.dtype.str, "shape": list(array.shape)}


def main():
    args = arguments()
    oracle, random = session(args.model), np.random.default_rng(SEED)
    shapes, dims = dict(args.shape), dict(args.dim)
    for name in ("in", "want"):
        (args.folder / name).mkdir(parents=True)
    feeds, closing = {}, []
    for i, port in enumerate(oracle.get_inputs()):
        shape, is_open = shape_of(port, shapes, dims)
        if is_open:
            closing += ["--shape", f"{port.name}:{'x'.join(map(str, shape))}"]
        feeds[port.name] = fill(port.type, shape, args, random)
        feeds[port.name].tofile(args.folder / "in" / str(i))
    wanted = oracle.run(None, feeds)
    for i, array in enumerate(wanted):
        np.ascontiguousarray(array).tofile(args.folder / "want" / str(i))
    inputs = [{"name": name, **describe(array)} for name, array in feeds.items()]
    outputs = [describe(array) for array in wanted]
    nodes = len(onnx.load(args.model, load_external_data=False).graph.node)
    meta = {"nodes": nodes, "inputs": inputs, "outputs": outputs, "closing": closing}
    json.dump(meta, sys.stdout)


if __name__ == "__main__":
    main()
