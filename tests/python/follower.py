"""Makes tests/data/follower.onnx: a stream of chunks with a state that is read after its next value.

    rate      i64[]            what the samples count as seconds
    audio     f32[1,samples]   a chunk
    h         f32[1,6]         the state; an initializer gives its first value
    level     f32[1,samples]
    h_next    f32[1,6]
"""

import sys

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

FLOAT = TensorProto.FLOAT


def main(path):
    mix = np.cos(np.arange(36, dtype=np.float32)).reshape(6, 6) / 3
    nodes = [
        helper.make_node("Cast", ["rate"], ["rate_f"], to=FLOAT),
        helper.make_node("Div", ["base", "rate_f"], ["gain"]),
        helper.make_node("Mul", ["audio", "gain"], ["scaled"]),
        helper.make_node("ReduceMean", ["scaled"], ["mean"], axes=[1], keepdims=1),
        helper.make_node("MatMul", ["h", "mix"], ["mixed"]),
        helper.make_node("Add", ["mixed", "mean"], ["moved"]),
        helper.make_node("Tanh", ["moved"], ["h_next"]),
        helper.make_node("Sub", ["h_next", "h"], ["change"]),
        helper.make_node("ReduceMean", ["change"], ["trend"], axes=[1], keepdims=1),
        helper.make_node("Add", ["scaled", "trend"], ["level"]),
    ]
    graph = helper.make_graph(
        nodes,
        "follower",
        [
            helper.make_tensor_value_info("rate", TensorProto.INT64, []),
            helper.make_tensor_value_info("audio", FLOAT, [1, "samples"]),
            helper.make_tensor_value_info("h", FLOAT, [1, 6]),
        ],
        [
            helper.make_tensor_value_info("level", FLOAT, [1, "samples"]),
            helper.make_tensor_value_info("h_next", FLOAT, [1, 6]),
        ],
        [
            numpy_helper.from_array(np.float32(16000), "base"),
            numpy_helper.from_array(mix, "mix"),
            numpy_helper.from_array(np.full((1, 6), 0.5, np.float32), "h"),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=7)
    onnx.checker.check_model(model)
    onnx.save(model, path)


main(sys.argv[1])
