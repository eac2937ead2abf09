"""Converts a model for ncnn: convert_ncnn.py MODEL.onnx FOLDER

Writes FOLDER/model.ncnn.param, FOLDER/model.ncnn.bin and FOLDER/axes.json: the batch axis of each input and
output, which ncnn does not have. The converter says it in the example that it writes beside the model. Some
models convert only as they are, some only simplified.
"""

import importlib.util
import json
import pathlib
import re
import shutil
import subprocess
import sys

import ncnn
from simplified import simplify


def axes(example, pattern):
    """Of each line that matches, the number in `batch_index=`, or none."""
    found = (re.search(r"batch_index=(\d+)", line) for line in example.splitlines() if re.search(pattern, line))
    return [int(match[1]) if match else None for match in found]


def missing(param):
    """The kinds of layers of a model that ncnn does not have."""
    kinds = {line.split()[0] for line in param.read_text().splitlines()[2:] if line.strip()}
    return sorted(kind for kind in kinds if ncnn.layer_to_index(kind) < 0)


def convert(folder):
    """Converts FOLDER/model.onnx; gives why ncnn would reject the result, if it would."""
    program = pathlib.Path(importlib.util.find_spec("pnnx").origin).parent / "pnnx"
    program.chmod(0o755)
    outcome = subprocess.run([program, "model.onnx", "fp16=0"], cwd=folder, capture_output=True)
    if outcome.returncode:
        return f"pnnx ends with {outcome.returncode}"
    unknown = missing(folder / "model.ncnn.param")
    return f"ncnn has no layer {', '.join(unknown)}" if unknown else None


def main():
    model, folder = map(pathlib.Path, sys.argv[1:])
    shutil.copyfile(model, folder / "model.onnx")
    if why := convert(folder):
        simplify(model, folder / "model.onnx")
        if convert(folder):
            raise SystemExit(why)
    example = (folder / "model_ncnn.py").read_text()
    found = {"inputs": axes(example, r"ex\.input\("), "outputs": axes(example, r"out\.append\(")}
    (folder / "axes.json").write_text(json.dumps(found))


if __name__ == "__main__":
    main()
