"""Closes the open ends of a model, so that every peer reads the same: close.py MODEL FILE.onnx [ARGUMENT...]

Arguments are those of tests/python/reference.py; here --shape NAME:1x3 and --const NAME=VALUE count. Constants
become initialisers, the shapes of results between are forgotten.
"""

import sys

import numpy as np
import onnx
from onnx import helper, numpy_helper


def pairs(flag, separator):
    words = sys.argv[3:]
    values = [value for name, value in zip(words, words[1:]) if name == flag]
    return dict(value.rsplit(separator, 1) for value in values)


def main():
    model = onnx.load(sys.argv[1])
    graph, shapes, consts = model.graph, pairs("--shape", ":"), pairs("--const", "=")
    for port in [port for port in graph.input if port.name in consts]:
        kind = port.type.tensor_type
        shape = [d.dim_value for d in kind.shape.dim]
        value = np.full(shape, float(consts[port.name])).astype(helper.tensor_dtype_to_np_dtype(kind.elem_type))
        graph.initializer.append(numpy_helper.from_array(value, port.name))
        graph.input.remove(port)
    for port in graph.input:
        if port.name in shapes:
            sizes = [int(size) for size in shapes[port.name].split("x")]
            port.CopyFrom(helper.make_tensor_value_info(port.name, port.type.tensor_type.elem_type, sizes))
    del graph.value_info[:]
    for port in graph.output:
        port.type.tensor_type.ClearField("shape")
    onnx.save(onnx.shape_inference.infer_shapes(model), sys.argv[2])


if __name__ == "__main__":
    main()
