"""Converts a model for LiteRT: convert_litert.py MODEL.onnx FOLDER; writes FOLDER/model.tflite"""

import pathlib
import sys

import onnx2tf
from simplified import simplify


def main():
    model, folder = map(pathlib.Path, sys.argv[1:])
    simplify(model, folder / "model.onnx")
    onnx2tf.convert(
        input_onnx_file_path=str(folder / "model.onnx"),
        output_folder_path=str(folder),
        tflite_backend="flatbuffer_direct",
        copy_onnx_input_output_names_to_tflite=True,
        non_verbose=True,
    )
    (folder / "model_float32.tflite").rename(folder / "model.tflite")


if __name__ == "__main__":
    main()
