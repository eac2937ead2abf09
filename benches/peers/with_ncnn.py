"""ncnn in f32, from the files that convert_ncnn.py made."""

import json
import pathlib

import common
import ncnn


def mat(array, axis):
    return ncnn.Mat(array).clone() if axis is None else ncnn.Mat(array, batch_index=axis).clone()


def load(model, feeds, outputs, threads):
    folder = pathlib.Path(model)
    axes = json.loads((folder / "axes.json").read_text())
    net = ncnn.Net()
    net.opt.num_threads, net.opt.use_vulkan_compute = threads, False
    net.opt.use_fp16_packed = net.opt.use_fp16_storage = net.opt.use_fp16_arithmetic = False
    net.opt.use_bf16_storage = False
    if net.load_param(str(folder / "model.ncnn.param")) or net.load_model(str(folder / "model.ncnn.bin")):
        raise SystemExit("ncnn rejects the converted model")
    mats = [mat(array, axis) for array, axis in zip(feeds.values(), axes["inputs"], strict=True)]
    last = []

    def run():
        extractor = net.create_extractor()
        for n, each in enumerate(mats):
            extractor.input(f"in{n}", each)
        last[:] = [extractor.extract(f"out{n}") for n in range(len(outputs))]

    def results():
        for (status, each), axis in zip(last, axes["outputs"], strict=True):
            if status:
                raise SystemExit(f"ncnn: status {status}")
            yield each.numpy() if axis is None else each.numpy(batch_index=axis)

    return run, lambda: [array.copy() for array in results()]


if __name__ == "__main__":
    common.main(load)
