"""Models of sequences and vectors: transformer encoders, recurrent layers, an autoencoder. Batch 1."""

import numpy as np
from blocks import Model, dense, relu

TOKENS, VOCABULARY = 128, 4096
STEPS, FEATURES, HIDDEN, CLASSES = 50, 40, 128, 12
MASKED = np.float32(-1e4)


def affine(model, x, inner, outer):
    """A fully connected layer of each token."""
    return model.op("Add", model.op("MatMul", x, model.weight(inner, outer, fan_in=inner, gain=1.0)), model.bias(outer))


def normalise(model, x, width):
    scale = model.constant(np.ones(width, "f4"))
    return model.op("LayerNormalization", x, scale, model.bias(width), axis=-1, epsilon=1e-12)


def gelu(model, x):
    """With the error function, spelled out as exporters do."""
    inner = model.op("Erf", model.op("Div", x, model.constant(np.float32(2**0.5))))
    twice = model.op("Mul", x, model.op("Add", inner, model.constant(np.float32(1))))
    return model.op("Mul", twice, model.constant(np.float32(0.5)))


def attention(model, x, mask, width, heads):
    def split(y, order):
        shape = model.constant(np.array([1, TOKENS, heads, width // heads]))
        return model.op("Transpose", model.op("Reshape", y, shape), perm=order)

    query, key, value = (affine(model, x, width, width) for _ in range(3))
    scores = model.op("MatMul", split(query, [0, 2, 1, 3]), split(key, [0, 2, 3, 1]))
    scores = model.op("Div", scores, model.constant(np.float32((width // heads) ** 0.5)))
    weights = model.op("Softmax", model.op("Add", scores, mask), axis=-1)
    mixed = model.op("Transpose", model.op("MatMul", weights, split(value, [0, 2, 1, 3])), perm=[0, 2, 1, 3])
    joined = model.op("Reshape", mixed, model.constant(np.array([1, TOKENS, width])))
    return affine(model, joined, width, width)


def encoder(name, layers, width, inner, heads):
    """Devlin and others, 2018: an encoder of TOKENS tokens, some of which are masked."""
    model = Model(name)
    ids, keep = model.input("input_ids", [1, TOKENS], "i8"), model.input("attention_mask", [1, TOKENS], "i8")
    words = model.op("Gather", model.weight(VOCABULARY, width, fan_in=1, gain=1.0), ids, axis=0)
    places = model.weight(TOKENS, width, fan_in=1, gain=1.0)
    x = normalise(model, model.op("Add", words, places), width)
    dropped = model.op("Sub", model.constant(np.float32(1)), model.op("Cast", keep, to=1))
    row = model.op("Reshape", dropped, model.constant(np.array([1, 1, 1, TOKENS])))
    mask = model.op("Mul", row, model.constant(MASKED))
    for _ in range(layers):
        x = normalise(model, model.op("Add", x, attention(model, x, mask, width, heads)), width)
        y = affine(model, gelu(model, affine(model, x, width, inner)), inner, width)
        x = normalise(model, model.op("Add", x, y), width)
    model.output(x, "hidden", [1, TOKENS, width])
    return model


def tinybert():
    """TinyBERT-4L-312 (Jiao and others, 2019)."""
    return encoder("tinybert", 4, 312, 1200, 12)


def minilm():
    """MiniLM-L6-H384 (Wang and others, 2020)."""
    return encoder("minilm", 6, 384, 1536, 12)


def recurrent(name, kind, gates, **attributes):
    """A recurrent layer over STEPS frames, the last state classified."""
    model = Model(name)
    x = model.input("frames", [STEPS, 1, FEATURES])
    weight = model.weight(1, gates * HIDDEN, FEATURES, fan_in=FEATURES, gain=1.0)
    recurrence = model.weight(1, gates * HIDDEN, HIDDEN, fan_in=HIDDEN, gain=1.0)
    bias = model.constant(model.random.normal(0, 0.1, (1, 2 * gates * HIDDEN)).astype("f4"))
    states = model.op(kind, x, weight, recurrence, bias, hidden_size=HIDDEN, **attributes)
    frames = model.op("Squeeze", states, model.constant(np.array([1])))
    last = model.op("Gather", frames, model.constant(np.array(STEPS - 1)), axis=0)
    model.output(dense(model, last, (HIDDEN, CLASSES)), "scores", [1, CLASSES])
    return model


def lstm():
    return recurrent("lstm", "LSTM", 4)


def gru():
    """With the reset gate after the product, as PyTorch and cuDNN have it."""
    return recurrent("gru", "GRU", 3, linear_before_reset=1)


def autoencoder():
    """Anomaly detection of MLPerf Tiny."""
    sizes = [640, 128, 128, 128, 128, 8, 128, 128, 128, 128]
    model = Model("autoencoder")
    x = model.input("spectrum", [1, sizes[0]])
    for pair in zip(sizes, sizes[1:]):
        x = dense(model, x, pair, relu)
    model.output(dense(model, x, (sizes[-1], sizes[0])), "spectrum_again", [1, sizes[0]])
    return model


MODELS = [tinybert, minilm, lstm, gru, autoencoder]
