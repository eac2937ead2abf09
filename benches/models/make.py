"""Writes a benchmark model: make.py NAME[:SIZES] FILE.onnx, where sizes such as 3x5 are a function's arguments"""

import sys

import kernels
import sequence
import vision

MODELS = {make.__name__: make for make in vision.MODELS + sequence.MODELS + kernels.MODELS}

if __name__ == "__main__":
    name, _, sizes = sys.argv[1].partition(":")
    MODELS[name](*(int(size) for size in sizes.split("x") if size)).save(sys.argv[2])
