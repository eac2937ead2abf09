"""Models of one kernel each, to measure the ways in which kernels run. Batch 1."""

import numpy as np
from blocks import Model, depthwise as depthwise_layer, relu6
from onnx import TensorProto
from sequence import affine, normalise


def product(rows, columns, depth):
    """A product with constant weights, of a size that occurs in classifiers and transformers."""
    model = Model(f"product_{rows}x{columns}x{depth}")
    x = model.input("x", [rows, depth])
    weight = model.weight(depth, columns, fan_in=depth, gain=1.0)
    model.output(model.op("MatMul", x, weight), "y", [rows, columns])
    return model


def clamped(rows, columns, depth):
    """A product with a bias and a clamp."""
    model = Model("clamped")
    y = relu6(model, affine(model, model.input("x", [rows, depth]), depth, columns))
    model.output(y, "y", [rows, columns])
    return model


def scores(rows, columns, depth):
    """A product of the rows of two inputs."""
    model = Model("scores")
    x, y = model.input("x", [rows, depth]), model.input("y", [columns, depth])
    model.output(model.op("MatMul", x, model.op("Transpose", y, perm=[1, 0])), "z", [rows, columns])
    return model


def codes(rows, columns, depth):
    """A product of codes with constant weights, with a bias, as codes."""
    model = Model("codes")
    weight = dequantised(model, codes_of(model, depth, columns), np.full(columns, 0.01, "f4"), axis=1)
    bias = dequantised(model, sums_of(model, columns), np.full(columns, 0.0005, "f4"), axis=0)
    y = model.op("MatMul", quantised(model, model.input("x", [rows, depth])), weight)
    return output_codes(model, model.op("Add", y, bias), [rows, columns])


def codes_depthwise(channels, side, size, stride):
    """A convolution of codes, each channel apart."""
    model = Model("codes_depthwise")
    weight = dequantised(model, codes_of(model, channels, 1, size, size), np.full(channels, 0.01, "f4"), axis=0)
    bias = dequantised(model, sums_of(model, channels), np.full(channels, 0.0005, "f4"), axis=0)
    x = quantised(model, image(model, channels, side))
    y = model.op("Conv", x, weight, bias, group=channels, strides=[stride] * 2, pads=[size // 2] * 4)
    side = -(-side // stride)
    y = model.op("Transpose", quantised(model, y, 4.0), perm=[0, 2, 3, 1])
    model.output(y, "y", [1, side, side, channels])
    return model


def codes_of(model, *shape):
    return model.constant(model.random.integers(-127, 128, shape, "i1"))


def sums_of(model, size):
    return model.constant(model.random.integers(-1000, 1000, size, "i4"))


def dequantised(model, values, scales, axis):
    return model.op("DequantizeLinear", values, model.constant(scales), axis=axis)


def quantised(model, x, scale=0.05):
    """Numbers rounded to codes."""
    scale, zero = model.constant(np.float32(scale)), model.constant(np.uint8(128))
    return model.op("DequantizeLinear", model.op("QuantizeLinear", x, scale, zero), scale, zero)


def output_codes(model, y, shape):
    model.output(quantised(model, y, 4.0), "y", shape)
    return model


def image(model, channels, side):
    """An input with the channels last, as layers inside a network find it, seen with the channels first."""
    return model.op("Transpose", model.input("x", [1, side, side, channels]), perm=[0, 3, 1, 2])


def output_image(model, y, channels, side):
    model.output(model.op("Transpose", y, perm=[0, 2, 3, 1]), "y", [1, side, side, channels])
    return model


def depthwise(channels, side, size, stride):
    model = Model("depthwise")
    y = depthwise_layer(model, image(model, channels, side), channels, size, relu6, stride)
    return output_image(model, y, channels, -(-side // stride))


def max_pool(channels, side, size, stride):
    model = Model("max_pool")
    y = model.op("MaxPool", image(model, channels, side), kernel_shape=[size, size], strides=[stride, stride])
    return output_image(model, y, channels, (side - size) // stride + 1)


def totals(rows, columns):
    """The sum of each column."""
    model = Model("totals")
    x, axes = model.input("x", [rows, columns]), model.constant(np.array([0]))
    model.output(model.op("ReduceSum", x, axes, keepdims=0), "y", [columns])
    return model


def softmax(rows, columns):
    return same_shape("softmax", rows, columns, lambda model, x: model.op("Softmax", x, axis=-1))


def layer_norm(rows, columns):
    return same_shape("layer_norm", rows, columns, lambda model, x: normalise(model, x, columns))


def exp(rows, columns):
    return same_shape("exp", rows, columns, lambda model, x: model.op("Exp", x))


def copies(rows, columns):
    """Two inputs side by side."""
    model = Model("copies")
    x, y = (model.input(name, [rows, columns]) for name in ("x", "y"))
    model.output(model.op("Concat", x, y, axis=1), "z", [rows, 2 * columns])
    return model


def transposed(rows, columns):
    model = Model("transposed")
    model.output(model.op("Transpose", model.input("x", [rows, columns]), perm=[1, 0]), "y", [columns, rows])
    return model


def integers(rows, columns):
    """Arithmetic on elements of 64 bits."""
    model = Model("integers")
    x = model.input("x", [rows, columns], "i8")
    twice = model.op("Mul", x, model.op("Add", x, model.constant(np.array(3))))
    model.output(model.op("Cast", twice, to=TensorProto.FLOAT), "y", [rows, columns])
    return model


def attention(heads, tokens, width):
    """Softmax of scaled products of rows, times other rows."""
    model = Model("attention")
    query, key, value = (model.input(name, [heads, tokens, width]) for name in "qkv")
    scale = model.constant(np.float32(width**-0.5))
    parts = model.op("MatMul", query, model.op("Transpose", key, perm=[0, 2, 1]))
    shares = model.op("Softmax", model.op("Mul", parts, scale), axis=-1)
    model.output(model.op("MatMul", shares, value), "y", [heads, tokens, width])
    return model


def same_shape(name, rows, columns, layer):
    model = Model(name)
    model.output(layer(model, model.input("x", [rows, columns])), "y", [rows, columns])
    return model


MODELS = [product, clamped, scores, codes, codes_depthwise, depthwise, max_pool, totals, softmax, layer_norm, exp, copies, transposed,
          integers, attention]
