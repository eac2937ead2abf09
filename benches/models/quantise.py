"""Quantises a model: quantise.py FORMAT MODEL.onnx FOLDER [ARGUMENT...], with the arguments of tests/python/reference.py

Writes FOLDER/model.onnx in QDQ form, as ONNX Runtime's static quantiser makes it from random inputs, and these
inputs to FOLDER/samples.npz, one array for each input with one sample in each row. Weights have a scale for each
channel. Activations are `u8` with any zero point, or `s8` around 0. In a model with convolutions everything between
them computes with codes too; elsewhere only products do, as exporters of transformers leave it.
"""

import contextlib
import logging
import pathlib
import sys

import numpy as np
import onnx
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process

sys.path.insert(0, str(pathlib.Path(__file__).parents[2] / "tests/python"))
import reference  # noqa: E402

FORMATS = {"u8": (QuantType.QUInt8, False), "s8": (QuantType.QInt8, True)}
PRODUCTS = {"Conv", "Gemm", "MatMul"}
BETWEEN = {"Add", "AveragePool", "Clip", "Concat", "Flatten", "GlobalAveragePool", "MaxPool", "Relu", "Reshape",
           "Transpose"}
SAMPLES = 4


class Samples(CalibrationDataReader):
    """Gives each sample once."""

    def __init__(self, samples):
        self.rest = iter(samples)

    def get_next(self):
        return next(self.rest, None)


def main():
    name, model, folder, *words = sys.argv[1:]
    activations, is_symmetric = FORMATS[name]
    folder = pathlib.Path(folder)
    args = reference.arguments([model, str(folder), *words])
    session, random = reference.session(model), np.random.default_rng(reference.SEED + 1)
    samples = [reference.inputs(session, args, random)[0] for _ in range(SAMPLES)]
    np.savez(folder / "samples.npz", **{key: np.concatenate([s[key] for s in samples]) for key in samples[0]})
    prepared = folder / "prepared.onnx"
    quant_pre_process(model, str(prepared), skip_symbolic_shape=True)
    has_convolutions = any(node.op_type == "Conv" for node in onnx.load(prepared).graph.node)
    quantize_static(
        str(prepared),
        str(folder / "model.onnx"),
        Samples(samples),
        QuantFormat.QDQ,
        op_types_to_quantize=sorted(PRODUCTS | BETWEEN if has_convolutions else PRODUCTS),
        per_channel=True,
        activation_type=activations,
        weight_type=QuantType.QInt8,
        extra_options={"ActivationSymmetric": is_symmetric},
    )
    prepared.unlink()


if __name__ == "__main__":
    logging.disable()
    with contextlib.redirect_stdout(sys.stderr):
        main()
