"""tract, which runs on one thread."""

import common
import tract


def load(model, feeds, outputs, threads):
    runnable = tract.onnx().load(model).into_model().into_runnable()
    inputs, last = [tract.Tensor.from_numpy(array) for array in feeds.values()], []

    def run():
        last[:] = runnable.run(inputs)

    return run, lambda: [value.to_numpy() for value in last]


if __name__ == "__main__":
    common.main(load)
