"""OpenVINO, on the CPU, for latency; without the hint of precision it would use bfloat16 where the processor can."""

import common
import openvino


def load(model, feeds, outputs, threads):
    hints = {
        "INFERENCE_PRECISION_HINT": "f32",
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_NUM_THREADS": threads,
        "NUM_STREAMS": 1,
    }
    request = openvino.Core().compile_model(model, "CPU", hints).create_infer_request()
    for name, array in feeds.items():
        request.set_tensor(name, openvino.Tensor(array, shared_memory=True))
    run = lambda: request.infer(share_outputs=True)
    return run, lambda: [request.get_tensor(port["name"]).data for port in outputs]


if __name__ == "__main__":
    common.main(load)
