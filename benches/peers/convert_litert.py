"""Converts a model for LiteRT: convert_litert.py MODEL.onnx FOLDER; writes FOLDER/model.tflite"""

import pathlib
import sys

import onnx2tf


def main():
    model, folder = sys.argv[1], pathlib.Path(sys.argv[2])
    onnx2tf.convert(
        input_onnx_file_path=model,
        output_folder_path=str(folder),
        tflite_backend="flatbuffer_direct",
        copy_onnx_input_output_names_to_tflite=True,
        non_verbose=True,
    )
    made = folder / f"{pathlib.Path(model).stem}_float32.tflite"
    made.rename(folder / "model.tflite")


if __name__ == "__main__":
    main()
