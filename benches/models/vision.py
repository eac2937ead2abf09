"""Image classifiers of the literature, 224 x 224 unless they are smaller by nature, batch 1."""

import math

from blocks import Model, conv, dense, depthwise, hard_swish, linear, pool, relu, relu6, swish

CLASSES = 1000


def image(name, size=224):
    model = Model(name)
    return model, model.input("image", [1, 3, size, size])


def classify(model, x, channels, classes=CLASSES):
    model.output(dense(model, pool(model, x), (channels, classes)), "scores", [1, classes])
    return model


def eighths(width):
    """The multiple of eight near a scaled number of channels, at most 10 % below it."""
    near = max(8, int(width + 4) // 8 * 8)
    return near if near >= 0.9 * width else near + 8


def squeeze_excite(model, x, channels, inner, activation, gate):
    """Each channel scaled by a gate that sees the mean of all."""
    mean = model.op("GlobalAveragePool", x)
    hidden = conv(model, mean, (channels, inner), 1, activation)
    scores = conv(model, hidden, (inner, channels), 1, linear)
    return model.op("Mul", x, model.op(gate, scores))


def inverted(model, x, channels, expanded, size, stride, activation, excite=None):
    """Expansion, depthwise convolution, projection, with a shortcut where shapes allow."""
    inner, outer = channels
    y = x if expanded == inner else conv(model, x, (inner, expanded), 1, activation)
    y = depthwise(model, y, expanded, size, activation, stride)
    y = excite(y) if excite else y
    y = conv(model, y, (expanded, outer), 1, linear)
    return model.op("Add", x, y) if stride == 1 and inner == outer else y


def mobilenet_v2():
    """Sandler and others, 2018, table 2: expansion, channels, repetitions, stride."""
    rows = [(1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1)]
    model, x = image("mobilenet_v2")
    x, inner = conv(model, x, (3, 32), 3, relu6, 2), 32
    for expansion, outer, count, stride in rows:
        for n in range(count):
            x = inverted(model, x, (inner, outer), inner * expansion, 3, stride if n == 0 else 1, relu6)
            inner = outer
    return classify(model, conv(model, x, (320, 1280), 1, relu6), 1280)


def mobilenet_v3_small():
    """Howard and others, 2019, table 2: size, expanded, channels, excitation, activation, stride."""
    rows = [(3, 16, 16, True, relu, 2), (3, 72, 24, False, relu, 2), (3, 88, 24, False, relu, 1)]
    rows += [(5, 96, 40, True, hard_swish, 2)] + 2 * [(5, 240, 40, True, hard_swish, 1)]
    rows += [(5, 120, 48, True, hard_swish, 1), (5, 144, 48, True, hard_swish, 1), (5, 288, 96, True, hard_swish, 2)]
    rows += 2 * [(5, 576, 96, True, hard_swish, 1)]
    model, x = image("mobilenet_v3_small")
    x, inner = conv(model, x, (3, 16), 3, hard_swish, 2), 16
    for size, expanded, outer, excited, activation, stride in rows:
        def excite(y):
            return squeeze_excite(model, y, expanded, eighths(expanded / 4), relu, "HardSigmoid")

        x = inverted(model, x, (inner, outer), expanded, size, stride, activation, excite if excited else None)
        inner = outer
    x = pool(model, conv(model, x, (96, 576), 1, hard_swish))
    x = dense(model, x, (576, 1024), hard_swish)
    model.output(dense(model, x, (1024, CLASSES)), "scores", [1, CLASSES])
    return model


# Tan and Le, 2019, table 1: expansion, size, channels, repetitions, stride.
EFFICIENT = [(1, 3, 16, 1, 1), (6, 3, 24, 2, 2), (6, 5, 40, 2, 2), (6, 3, 80, 3, 2), (6, 5, 112, 3, 1),
             (6, 5, 192, 4, 2), (6, 3, 320, 1, 1)]


def efficientnet(name, activation, is_excited):
    model, x = image(name)
    x, inner = conv(model, x, (3, 32), 3, activation, 2), 32
    for expansion, size, outer, count, stride in EFFICIENT:
        for n in range(count):
            expanded, squeezed = inner * expansion, max(1, inner // 4)

            def excite(y):
                return squeeze_excite(model, y, expanded, squeezed, activation, "Sigmoid")

            step = stride if n == 0 else 1
            x = inverted(model, x, (inner, outer), expanded, size, step, activation, excite if is_excited else None)
            inner = outer
    return classify(model, conv(model, x, (320, 1280), 1, activation), 1280)


def efficientnet_b0():
    return efficientnet("efficientnet_b0", swish, True)


def efficientnet_lite0():
    """Without excitation, with a bounded rectifier, as its authors published it for edge devices."""
    return efficientnet("efficientnet_lite0", relu6, False)


def squeezenet():
    """Iandola and others, 2016, version 1.1: channels before, squeezed, expanded twice."""
    fires = [(64, 16, 64), (128, 16, 64), None, (128, 32, 128), (256, 32, 128), None, (256, 48, 192), (384, 48, 192),
             (384, 64, 256), (512, 64, 256)]

    def shrink(x):
        return model.op("MaxPool", x, kernel_shape=[3, 3], strides=[2, 2], ceil_mode=1)

    model, x = image("squeezenet")
    x = shrink(conv(model, x, (3, 64), 3, relu, 2, pads=[0, 0, 0, 0]))
    for fire in fires:
        if fire is None:
            x = shrink(x)
            continue
        inner, squeezed, outer = fire
        x = conv(model, x, (inner, squeezed), 1)
        parts = [conv(model, x, (squeezed, outer), 1), conv(model, x, (squeezed, outer), 3)]
        x = model.op("Concat", *parts, axis=1)
    scores = pool(model, conv(model, x, (512, CLASSES), 1))
    model.output(scores, "scores", [1, CLASSES])
    return model


def residual(model, x, channels, stride, body):
    """The sum of a body and a shortcut, rectified."""
    inner, outer = channels
    straight = x if stride == 1 and inner == outer else conv(model, x, channels, 1, linear, stride, pads=[0] * 4)
    return relu(model, model.op("Add", body(x), straight))


def resnet(name, counts, is_deep):
    """He and others, 2015, table 1; the stride is in the 3 x 3 convolution."""
    model, x = image(name)
    x = conv(model, x, (3, 64), 7, relu, 2)
    x = model.op("MaxPool", x, kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1])
    inner = 64
    for stage, count in enumerate(counts):
        width = 64 << stage
        outer = 4 * width if is_deep else width
        for n in range(count):
            step = 2 if n == 0 and stage > 0 else 1

            def plain(y):
                return conv(model, conv(model, y, (inner, width), 3, relu, step), (width, width), 3, linear)

            def bottleneck(y):
                y = conv(model, conv(model, y, (inner, width), 1), (width, width), 3, relu, step)
                return conv(model, y, (width, outer), 1, linear)

            x = residual(model, x, (inner, outer), step, bottleneck if is_deep else plain)
            inner = outer
    return classify(model, x, inner)


def resnet18():
    return resnet("resnet18", [2, 2, 2, 2], False)


def resnet50():
    return resnet("resnet50", [3, 4, 6, 3], True)


def resnet8():
    """Image classification of MLPerf Tiny: three stages of one block, 32 x 32."""
    model, x = image("resnet8", 32)
    x, inner = conv(model, x, (3, 16), 3), 16
    for outer in (16, 32, 64):
        stride = 1 if outer == inner else 2

        def body(y):
            return conv(model, conv(model, y, (inner, outer), 3, relu, stride), (outer, outer), 3, linear)

        x, inner = residual(model, x, (inner, outer), stride, body), outer
    scores = dense(model, pool(model, x), (64, 10))
    model.output(model.op("Softmax", scores, axis=1), "probabilities", [1, 10])
    return model


def same(extent, size, stride):
    """The padding before and after with which an output has ceil(extent / stride) elements."""
    total = max(0, (math.ceil(extent / stride) - 1) * stride + size - extent)
    return total // 2, total - total // 2


def kws():
    """Keyword spotting of MLPerf Tiny, a DS-CNN (Zhang and others, 2017): 49 frames of 10 coefficients."""
    model = Model("kws")
    x = model.input("spectrum", [1, 1, 49, 10])
    (top, bottom), (left, right) = same(49, 10, 2), same(10, 4, 2)
    x = conv(model, x, (1, 64), (10, 4), relu, 2, pads=[top, left, bottom, right])
    for _ in range(4):
        x = conv(model, depthwise(model, x, 64, 3), (64, 64), 1)
    scores = dense(model, pool(model, x), (64, 12))
    model.output(model.op("Softmax", scores, axis=1), "probabilities", [1, 12])
    return model


MODELS = [mobilenet_v2, mobilenet_v3_small, efficientnet_b0, efficientnet_lite0, squeezenet, resnet18, resnet50, resnet8,
          kws]
