"""Layers from which the benchmark models are put together: graphs as exporters write them, random weights.

A layer takes the name of its input and gives the name of its output. Batch normalisation is folded into the
weights already. The variance of weights keeps activations near one through any depth.
"""

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

OPSET, IR_VERSION, SEED = 20, 10, 20240229
TYPES = {"f4": TensorProto.FLOAT, "i8": TensorProto.INT64}


class Model:
    """A graph under construction."""

    def __init__(self, name):
        self.name, self.random = name, np.random.default_rng(SEED)
        self.nodes, self.weights, self.inputs, self.outputs = [], [], [], []

    def input(self, name, shape, dtype="f4"):
        self.inputs.append(helper.make_tensor_value_info(name, TYPES[dtype], shape))
        return name

    def output(self, value, name, shape):
        """Names the result of a layer that no other layer reads."""
        next(node for node in self.nodes if node.output[0] == value).output[0] = name
        self.outputs.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, shape))

    def constant(self, array):
        name = f"w{len(self.weights)}"
        self.weights.append(numpy_helper.from_array(np.asarray(array), name))
        return name

    def weight(self, *shape, fan_in, gain=2.0):
        """Normal with variance gain / fan_in: 2 keeps variance through a rectifier, 1 without one."""
        return self.constant(self.random.normal(0, (gain / fan_in) ** 0.5, shape).astype("f4"))

    def bias(self, size):
        return self.constant(self.random.normal(0, 0.1, size).astype("f4"))

    def op(self, kind, *inputs, **attributes):
        name = f"{kind.lower()}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, inputs, [name], name=f"/{name}", **attributes))
        return name

    def save(self, path):
        graph = helper.make_graph(self.nodes, self.name, self.inputs, self.outputs, self.weights)
        opsets = [helper.make_opsetid("", OPSET)]
        model = helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION)
        onnx.checker.check_model(model, full_check=True)
        onnx.save(model, path)


def relu(model, x):
    return model.op("Relu", x)


def relu6(model, x):
    return model.op("Clip", x, model.constant(np.float32(0)), model.constant(np.float32(6)))


def swish(model, x):
    return model.op("Mul", x, model.op("Sigmoid", x))


def hard_swish(model, x):
    return model.op("HardSwish", x)


def linear(_, x):
    return x


def conv(model, x, channels, size, activation=relu, stride=1, groups=1, pads=None):
    """Convolution of channels = (in, out); pads as ONNX has them, else half the size on each side."""
    inner, outer = channels
    size = (size, size) if isinstance(size, int) else size
    strides = (stride, stride) if isinstance(stride, int) else stride
    pads = pads or [size[0] // 2, size[1] // 2] * 2
    gain = 1.0 if activation is linear else 2.0
    weight = model.weight(outer, inner // groups, *size, fan_in=inner // groups * size[0] * size[1], gain=gain)
    y = model.op("Conv", x, weight, model.bias(outer), kernel_shape=size, strides=strides, pads=pads, group=groups)
    return activation(model, y)


def depthwise(model, x, channels, size, activation=relu, stride=1, pads=None):
    return conv(model, x, (channels, channels), size, activation, stride, channels, pads)


def pool(model, x):
    """The mean of each channel, [1, channels]."""
    return model.op("Flatten", model.op("GlobalAveragePool", x), axis=1)


def dense(model, x, sizes, activation=linear):
    """A fully connected layer of sizes = (in, out)."""
    inner, outer = sizes
    gain = 1.0 if activation is linear else 2.0
    y = model.op("Gemm", x, model.weight(outer, inner, fan_in=inner, gain=gain), model.bias(outer), transB=1)
    return activation(model, y)
