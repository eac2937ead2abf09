"""LiteRT with its default delegate, XNNPACK; the converter has moved channels last, which costs nothing here."""

import common
import numpy as np
from ai_edge_litert.interpreter import Interpreter


def moved(array, shape, order):
    """The array in this order, where its shape is not the wanted one."""
    return array if list(array.shape) == list(shape) else np.ascontiguousarray(array.transpose(order))


def last(rank):
    return [0, *range(2, rank), 1]


def first(rank):
    return [0, rank - 1, *range(1, rank - 1)]


def load(model, feeds, outputs, threads):
    interpreter = Interpreter(model_path=model, num_threads=threads)
    interpreter.allocate_tensors()
    for port in interpreter.get_input_details():
        array = feeds[port["name"]]
        array = moved(array.astype(port["dtype"]), port["shape"], last(array.ndim))
        interpreter.set_tensor(port["index"], array)
    details = interpreter.get_output_details()
    found = {port["name"]: port["index"] for port in details}

    def results():
        for port, detail in zip(outputs, details):
            # Quantised files have other names.
            array = interpreter.get_tensor(found.get(port["name"], detail["index"]))
            yield moved(array, port["shape"], first(array.ndim))

    return interpreter.invoke, lambda: list(results())


if __name__ == "__main__":
    common.main(load)
