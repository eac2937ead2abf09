"""What converters read: a model with its constants folded and its shapes known, as ONNX Runtime makes it."""

import onnxruntime


def simplify(model, to):
    """Writes the model with standard operators only."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.optimized_model_filepath = str(to)
    options.log_severity_level = 3
    onnxruntime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
