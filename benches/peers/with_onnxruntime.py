"""ONNX Runtime, on the CPU; inputs and outputs are bound, so that a run copies nothing."""

import common
import numpy as np
import onnxruntime


def load(model, feeds, outputs, threads):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    binding = session.io_binding()
    for name, array in feeds.items():
        binding.bind_cpu_input(name, array)
    values = [onnxruntime.OrtValue.ortvalue_from_numpy(np.zeros(p["shape"], p["type"])) for p in outputs]
    for port, value in zip(outputs, values):
        binding.bind_ortvalue_output(port["name"], value)
    return lambda: session.run_with_iobinding(binding), lambda: [value.numpy() for value in values]


if __name__ == "__main__":
    common.main(load)
