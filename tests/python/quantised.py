"""Quantised models on whole tasks: what is lost, beside ONNX Runtime's static quantiser.

Usage: quantised.py calibrate TASK MODEL DATA EXAMPLES.npz
       quantised.py compare TASK MODEL DATA EXAMPLES.npz QUANTISED.onnx QUANTISED.so

DATA is an archive or a file that the task needs, or `-`. `calibrate` writes examples of the model's inputs that the
task is not judged by: 100 images or sentences, or the frames of a recording. `compare` quantises the model with ONNX
Runtime from the same examples and prints, as JSON, what each quantised model loses of the answers of the model in f32,
and the limit: `ours` and `theirs` run by ONNX Runtime, `compiled` by the object compiled from ours under the name
`model`.
"""

import gzip
import json
import pathlib
import sys
import tarfile
import tempfile

import numpy as np
import onnx
import onnx.version_converter
import onnxruntime
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process

import accuracy
import tasks
from compiled import Model

SEED = 20240301
EXAMPLES = 100
OPSET = 13


def session(path):
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def runner(path, **consts):
    """A model with the interface of a compiled one; constants are inputs of it alone."""
    consts = {name: np.array(value) for name, value in consts.items()}
    run = session(path)
    known = {port.name for port in run.get_inputs()}
    return lambda feed: run.run(None, {n: v for n, v in {**feed, **consts}.items() if n in known})


# ---- Tasks ----


class Task:
    """Its models have no constant inputs, and all of their inputs are examples."""

    consts = {}
    states = {}


class Classes(Task):
    """The share of right answers."""

    limit = 0.003

    def calibrate(self):
        return {self.input: self.training}

    def answers(self, run):
        found = [np.asarray(run({self.input: image[None]})[0]).argmax() for image in self.images]
        return np.array(found) == self.labels

    def loss(self, right, found):
        return right.mean() - found.mean()


class Cifar(Classes):
    def __init__(self, model, data):
        port = session(model).get_inputs()[0]
        self.input = port.name
        with tarfile.open(data) as tar:
            training = accuracy.pixels(tar, "data_batch_1.png")[:EXAMPLES]
        self.images, self.labels = accuracy.load(data)
        if port.shape[1] == 3:
            training, self.images = (x.transpose(0, 3, 1, 2) / np.float32(255) for x in (training, self.images))
        self.training = np.ascontiguousarray(training)


class Mnist(Classes):
    limit = 0.001

    def __init__(self, model, data):
        self.input = session(model).get_inputs()[0].name
        with tarfile.open(data) as tar:
            def read(name, skip):
                content = tar.extractfile(f"package/data/{name}-ubyte").read()
                content = gzip.decompress(content) if content[:2] == b"\x1f\x8b" else content
                return np.frombuffer(content, "u1", offset=skip)

            self.images = read("t10k-images-idx3", 16).reshape(-1, 1, 28, 28).astype("f4")
            self.labels = read("t10k-labels-idx1", 8)
            self.training = read("train-images-idx3", 16).reshape(-1, 1, 28, 28)[:EXAMPLES].astype("f4")


# ---- Rendered text ----


class Text(Task):
    """The share of strings that are read otherwise."""

    limit = 0.0

    def __init__(self, model, _):
        properties = {p.key: p.value for p in onnx.load(model).metadata_props}
        self.characters = properties["character"].splitlines() + [" "]

    def images(self, seed, count):
        random = np.random.default_rng(seed)
        letters = np.array(list("ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz0123456789"))
        return np.stack([tasks.render("".join(random.choice(letters, random.integers(4, 13)))) for _ in range(count)])

    def calibrate(self):
        return {"x": self.images(SEED, EXAMPLES)[:, 0]}

    def answers(self, run):
        return np.array([tasks.greedy(run({"x": image})[0], self.characters) for image in self.images(SEED + 1, 200)])

    def loss(self, right, found):
        return (right != found).mean()


# ---- Speech ----


class Speech(Task):
    """The largest change of a probability."""

    limit = 0.02
    consts = {"sr": tasks.RATE}
    states = {"state": "before"}

    def __init__(self, model, data):
        self.run, recording = runner(model, **self.consts), tasks.recording(data)
        quiet = np.zeros(tasks.RATE // 2, "f4")
        self.samples = np.concatenate([quiet, recording, quiet])

    def calibrate(self):
        """The recording faster, slower, louder and with noise, frame by frame, and the states that this leads to."""
        random, frames = np.random.default_rng(SEED), []

        def record(feed):
            frames.append(feed)
            return self.run(feed)

        for speed, gain in ((0.8, 0.5), (1.1, 1.5), (1.25, 1.0)):
            places = np.arange(0, len(self.samples), speed)
            samples = np.interp(places, np.arange(len(self.samples)), self.samples) * gain
            tasks.speech(record, (samples + 0.003 * random.standard_normal(len(samples))).astype("f4"))
        names = {"input": "input", **self.states}
        return {to: np.stack([frame[name] for frame in frames]) for name, to in names.items()}

    def answers(self, run):
        return tasks.speech(run, self.samples)

    def loss(self, right, found):
        return abs(right - found).max()


# ---- Sentences ----


WORDS = """the a one every some this that my your their old young small large red green quiet busy man woman child dog cat
horse bird river city house garden market train road teacher doctor farmer runs walks sleeps eats sees finds builds buys
sells crosses watches reads writes carries near under over behind with without before after today slowly again often food
water bread music letters stones apples stories in of on to and or but while when""".split()


class Sentences(Task):
    """How far the worst cosine of an embedding with that in f32 is from 1."""

    limit = 0.005

    def __init__(self, *_):
        pass

    def sentences(self, seed, count):
        random = np.random.default_rng(seed)
        return [" ".join(random.choice(WORDS, random.integers(4, 24))) for _ in range(count)]

    def calibrate(self):
        feeds = []

        def record(feed):
            feeds.append(feed)
            return [np.ones((1, 128, 384), "f4")]

        for sentence in self.sentences(SEED, EXAMPLES):
            tasks.embed(record, sentence)
        return {name: np.concatenate([feed[name] for feed in feeds]) for name in feeds[0]}

    def answers(self, run):
        return np.stack([tasks.embed(run, sentence) for sentence in self.sentences(SEED + 1, 200)])

    def loss(self, right, found):
        return 1 - (right * found).sum(1).min()


TASKS = {"cifar": Cifar, "mnist": Mnist, "read": Text, "speech": Speech, "sentences": Sentences}


# ---- ONNX Runtime's quantiser ----


class Reader(CalibrationDataReader):
    """The same examples; those of states are stored beside them, since they are no inputs of the other quantiser."""

    def __init__(self, examples, ports, states):
        self.feeds = iter(self.all(examples, ports, states))

    @staticmethod
    def all(examples, ports, states):
        values = {port.name: examples[states.get(port.name, port.name)] for port in ports}
        ranks = {port.name: len(port.shape) for port in ports}
        count = len(next(iter(values.values())))
        one = lambda name, value: value if value.ndim == ranks[name] else value[None]
        return ({name: one(name, value[n]) for name, value in values.items()} for n in range(count))

    def get_next(self):
        return next(self.feeds, None)


def quantise(task, model, examples, to):
    """Unsigned values, signed weights per channel, in the form that edgecc writes too. Constants are stored, as edgecc
    has them: the quantiser leaves the branches of an `If` alone unless its condition is constant."""
    raised, prepared = str(to) + ".raised", str(to) + ".prepared"
    onnx.save(store(raise_opset(onnx.load(model)), task.consts), raised)
    quant_pre_process(raised, prepared, skip_symbolic_shape=True)
    types = {"activation_type": QuantType.QUInt8, "weight_type": QuantType.QInt8}
    for per_channel in (True, False):
        reader = Reader(examples, session(prepared).get_inputs(), task.states)
        try:
            return quantize_static(prepared, str(to), reader, QuantFormat.QDQ, per_channel=per_channel, **types)
        except ValueError:
            if not per_channel:
                raise


def store(model, consts):
    """Makes inputs constants."""
    for name, value in consts.items():
        port = next(port for port in model.graph.input if port.name == name)
        kind = onnx.helper.tensor_dtype_to_np_dtype(port.type.tensor_type.elem_type)
        model.graph.input.remove(port)
        model.graph.initializer.append(onnx.numpy_helper.from_array(np.array(value, kind), name))
    return model


def raise_opset(model):
    """Scales per channel begin with opset 13."""
    opset = next(o.version for o in model.opset_import if o.domain in ("", "ai.onnx"))
    return onnx.version_converter.convert_version(model, OPSET) if opset < OPSET else model


def theirs(task, model, examples, folder):
    """What ONNX Runtime's quantiser loses; nothing where it fails."""
    path = folder / "theirs.onnx"
    try:
        quantise(task, model, examples, path)
        if all(node.op_type != "QuantizeLinear" for node in onnx.load(path).graph.node):
            raise ValueError("no value became codes")
        return task.answers(runner(path, **task.consts))
    except Exception as error:
        print(f"ONNX Runtime cannot quantise {model}: {error}", file=sys.stderr)
        return None


def compare(task, model, examples, ours, compiled):
    right = task.answers(runner(model, **task.consts))
    with tempfile.TemporaryDirectory() as folder:
        other = theirs(task, model, np.load(examples), pathlib.Path(folder))
    answers = {"ours": task.answers(runner(ours, **task.consts)), "compiled": task.answers(Model(compiled, "model"))}
    losses = {name: float(task.loss(right, found)) for name, found in answers.items()}
    return {**losses, "theirs": None if other is None else float(task.loss(right, other)), "limit": task.limit}


def main():
    action, name, model, data, examples, *rest = sys.argv[1:]
    task = TASKS[name](model, data)
    if action == "calibrate":
        np.savez(examples, **task.calibrate())
    else:
        json.dump(compare(task, model, examples, *rest), sys.stdout)


if __name__ == "__main__":
    main()
