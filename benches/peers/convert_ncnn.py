"""Converts a model for ncnn: convert_ncnn.py MODEL.onnx FOLDER

Writes FOLDER/model.ncnn.param, FOLDER/model.ncnn.bin and FOLDER/axes.json: the batch axis of each input and
output, which ncnn does not have. The converter says it in the example that it writes beside the model.
"""

import importlib.util
import json
import pathlib
import re
import shutil
import subprocess
import sys


def axes(example, pattern):
    """Of each line that matches, the number in `batch_index=`, or none."""
    found = (re.search(r"batch_index=(\d+)", line) for line in example.splitlines() if re.search(pattern, line))
    return [int(match[1]) if match else None for match in found]


def main():
    model, folder = map(pathlib.Path, sys.argv[1:])
    package = pathlib.Path(importlib.util.find_spec("pnnx").origin).parent
    program = package / "pnnx"
    program.chmod(0o755)
    shutil.copyfile(model, folder / "model.onnx")
    subprocess.run([program, "model.onnx", "fp16=0"], cwd=folder, check=True, stdout=subprocess.PIPE)
    example = (folder / "model_ncnn.py").read_text()
    found = {"inputs": axes(example, r"ex\.input\("), "outputs": axes(example, r"out\.append\(")}
    (folder / "axes.json").write_text(json.dumps(found))


if __name__ == "__main__":
    main()
