"""Writes a benchmark model: make.py NAME FILE.onnx"""

import sys

import sequence
import vision

MODELS = {make.__name__: make for make in vision.MODELS + sequence.MODELS}

if __name__ == "__main__":
    MODELS[sys.argv[1]]().save(sys.argv[2])
