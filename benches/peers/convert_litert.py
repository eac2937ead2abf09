"""Converts a model for LiteRT: convert_litert.py MODEL.onnx FOLDER [SAMPLES.npz]; writes FOLDER/model.tflite

With samples, one in each row of an input's array, the converter quantises to 8 bits: its own codes, as it computes
models in QDQ form in f32. A scale for each channel of weights makes files that LiteRT rejects, so tensors have one.
"""

import pathlib
import sys

import numpy as np
import onnx2tf
from simplified import simplify


def calibration(samples, folder):
    """What the converter reads: a file for each input, channels last, as it is fed, with mean and deviation."""
    for name, array in np.load(samples).items():
        path = folder / f"{name}.npy"
        np.save(path, np.moveaxis(array, 1, -1) if array.ndim > 2 else array)
        yield [name, str(path), 0.0, 1.0]


def cause(error):
    """What made an error at first, in one line."""
    while error.__cause__:
        error = error.__cause__
    return str(error).splitlines()[0]


def main():
    model, folder, *samples = map(pathlib.Path, sys.argv[1:])
    simplify(model, folder / "model.onnx")
    options = {}
    if samples:
        data = list(calibration(samples[0], folder))
        options = {"output_integer_quantized_tflite": True, "custom_input_op_name_np_data_path": data,
                   "quant_type": "per-tensor"}
    made = folder / ("model_integer_quant.tflite" if samples else "model_float32.tflite")
    try:
        onnx2tf.convert(
            input_onnx_file_path=str(folder / "model.onnx"),
            output_folder_path=str(folder),
            tflite_backend="flatbuffer_direct",
            copy_onnx_input_output_names_to_tflite=True,
            non_verbose=True,
            **options,
        )
    except RuntimeError as error:
        # It also makes files that nobody reads here, with codes of 16 bits, which may fail.
        if not made.exists():
            raise SystemExit(cause(error))
    made.rename(folder / "model.tflite")


if __name__ == "__main__":
    main()
