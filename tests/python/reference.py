"""Random inputs for a model and ONNX Runtime's outputs for them.

Usage: reference.py MODEL FOLDER [--shape NAME:1x3] [--dim NAME=N] [--const NAME=VALUE] [--fill NAME=RECIPE]
       [--low X --high X]

Writes raw tensors to FOLDER/in/0, FOLDER/in/1, ... and FOLDER/want/0, ..., for a model that computes with
codes also what ONNX Runtime gives without rewriting it to FOLDER/plain/0, ..., and prints JSON: the
number of nodes, the inputs' and outputs' types and shapes, the steps of outputs that are dequantised codes,
whether the model computes with codes, and the arguments that close the model's open dimensions (1 unless told otherwise) and give constants. Floats are
uniform between LOW and HIGH, codes of 8 bits uniform, other integers 0 or 1, unless there is a recipe:
audio, page, blocks of colour, ids:COUNT, prefix:COUNT (ones, then zeros), or a number for every element.
"""

import argparse
import json
import pathlib
import sys

import numpy as np
import onnx
import onnxruntime
from PIL import Image, ImageDraw, ImageFont

SEED = 20240229
BLOCK = 32
MOVES = {"Reshape", "Flatten", "Transpose", "Squeeze", "Unsqueeze", "Identity"}
QUANTISED = {"QuantizeLinear", "DynamicQuantizeLinear", "QLinearConv", "QLinearMatMul"}


def pair(separator):
    return lambda text: tuple(text.rsplit(separator, 1))


def arguments(words=None):
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("model", type=pathlib.Path)
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--shape", action="append", default=[], type=pair(":"))
    parser.add_argument("--dim", action="append", default=[], type=pair("="))
    parser.add_argument("--const", action="append", default=[], type=pair("="))
    parser.add_argument("--fill", action="append", default=[], type=pair("="))
    parser.add_argument("--low", type=float, default=0.0)
    parser.add_argument("--high", type=float, default=1.0)
    return parser.parse_args(words)


def shape_of(port, shapes, dims):
    """The static shape of an input, and whether the model left it open."""
    if port.name in shapes:
        return [int(d) for d in shapes[port.name].split("x") if d], True
    sizes = [int(dims.get(d, 1)) if isinstance(d, str) or d is None else d for d in port.shape]
    return sizes, sizes != list(port.shape)


def audio(shape, random):
    """Voiced sound in bursts over noise, at 16 kHz along the last axis."""
    time = np.arange(np.prod(shape)) / 16000
    pitch = np.cumsum(2 * np.pi * (120 + 40 * np.sin(7 * time)) / 16000)
    voice = sum(np.sin(h * pitch) / h for h in range(1, 12)) * np.maximum(0, np.sin(9 * time))
    return (0.1 * voice + 0.01 * random.standard_normal(time.size)).reshape(shape)


def page(shape):
    """Lines of text on a grey page, [1,3,height,width] from -1 to 1."""
    image = Image.new("L", (shape[3], shape[2]), 230)
    for top in range(8, shape[2] - 30, 48):
        ImageDraw.Draw(image).text((10, top), "The quick brown fox", 20, ImageFont.load_default(26))
    return np.broadcast_to(np.asarray(image, "f4") / 127.5 - 1, shape)


def recipe(words, shape, random):
    """Values that a row of a table describes: audio, page, blocks, ids:COUNT, prefix:COUNT or one number."""
    name, _, count = words.partition(":")
    if name == "page":
        return page(shape)
    if name == "blocks":
        coarse = random.uniform(-1, 1, [*shape[:2], *(-(-size // BLOCK) for size in shape[2:])])
        return np.kron(coarse, np.ones((BLOCK, BLOCK)))[:, :, : shape[2], : shape[3]]
    if name == "audio":
        return audio(shape, random)
    if name == "ids":
        return random.integers(0, int(count), shape)
    if name == "prefix":
        return np.broadcast_to(np.arange(shape[-1]) < int(count), shape)
    return np.full(shape, float(words))


def fill(kind, shape, args, random):
    """Values of an ONNX Runtime type such as tensor(float), all legal as indices and masks."""
    if np.dtype(kind).kind == "f":
        return random.uniform(args.low, args.high, shape).astype(kind)
    if kind in ("uint8", "int8"):
        limits = np.iinfo(kind)
        return random.integers(limits.min, limits.max, shape, kind, endpoint=True)
    return random.integers(0, 2, shape).astype(kind)


def dtype(port):
    """The NumPy name of an ONNX Runtime type such as tensor(float)."""
    kind = port.type[len("tensor(") : -1]
    return {"float": "float32", "double": "float64"}.get(kind, kind)


def session(model, level=onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL):
    """A session that computes with signed codes where the model does, which x86 machines leave in f32 unasked."""
    options = onnxruntime.SessionOptions()
    options.add_session_config_entry("session.qdqisint8allowed", "1")
    options.graph_optimization_level = level
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])


def steps(graph):
    """The step of each output that is the result of a dequantisation, perhaps moved; else none."""
    makers = {name: node for node in graph.node for name in node.output}
    constants = {tensor.name: tensor for tensor in graph.initializer}
    constants |= {n.output[0]: a.t for n in graph.node if n.op_type == "Constant" for a in n.attribute}

    def step(name):
        node = makers.get(name)
        if node is not None and node.op_type in MOVES:
            return step(node.input[0])
        if node is not None and node.op_type == "DequantizeLinear" and node.input[1] in constants:
            return float(onnx.numpy_helper.to_array(constants[node.input[1]]).max())
        return None

    return [step(port.name) for port in graph.output]


def store(folder, arrays):
    folder.mkdir()
    for i, array in enumerate(arrays):
        np.ascontiguousarray(array).tofile(folder / str(i))


def describe(array):
    return {"type": array.dtype.str, "shape": list(array.shape)}


def inputs(oracle, args, random):
    """Values for all inputs, what closes the model, and which inputs no constant is for."""
    shapes, dims, consts, recipes = map(dict, (args.shape, args.dim, args.const, args.fill))
    feeds, closing, free = {}, [], []
    for port in oracle.get_inputs():
        shape, is_open = shape_of(port, shapes, dims)
        if port.name in consts:
            closing += ["--const", f"{port.name}={consts[port.name]}"]
            feeds[port.name] = np.full(shape, float(consts[port.name])).astype(dtype(port))
            continue
        if is_open:
            closing += ["--shape", f"{port.name}:{'x'.join(map(str, shape))}"]
        if port.name in recipes:
            values = recipe(recipes[port.name], shape, random).astype(dtype(port))
        else:
            values = fill(dtype(port), shape, args, random)
        feeds[port.name] = values
        free.append(port.name)
    return feeds, closing, free


def main():
    args = arguments()
    oracle = session(args.model)
    feeds, closing, free = inputs(oracle, args, np.random.default_rng(SEED))
    args.folder.mkdir(parents=True, exist_ok=True)
    store(args.folder / "in", [feeds[name] for name in free])
    wanted = oracle.run(None, feeds)
    store(args.folder / "want", wanted)
    graph = onnx.load(args.model, load_external_data=False).graph
    ports = zip(graph.output, wanted, steps(graph))
    outputs = [{"name": port.name, **describe(array), "step": step} for port, array, step in ports]
    quantised = not QUANTISED.isdisjoint(node.op_type for node in graph.node)
    if quantised:
        plain = session(args.model, onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL)
        store(args.folder / "plain", plain.run(None, feeds))
    meta = {"nodes": len(graph.node), "inputs": [{"name": name, **describe(feeds[name])} for name in free],
            "outputs": outputs, "closing": closing, "quantised": quantised}
    json.dump(meta, sys.stdout)


if __name__ == "__main__":
    main()
