"""A compiled model in a shared object, called as docs/abi.md says."""

import ctypes

import numpy as np

ABI = 1
# ONNX TensorProto.DataType of the descriptor, as NumPy types.
TYPES = {1: "f4", 2: "u1", 3: "i1", 4: "u2", 5: "i2", 6: "i4", 7: "i8", 9: "?", 10: "f2", 11: "f8", 12: "u4", 13: "u8"}


class Info(ctypes.Structure):
    _fields_ = [("magic", ctypes.c_char * 8)] + [(name, ctypes.c_uint32) for name in ("abi_version", "size_bytes")] + [
        ("features", ctypes.c_uint64), ("arch", ctypes.c_uint32), ("arena_align", ctypes.c_uint32),
        ("arena_bytes", ctypes.c_uint64), ("stack_bytes", ctypes.c_uint32), ("n_inputs", ctypes.c_uint32),
        ("n_outputs", ctypes.c_uint32), ("tensors_offset", ctypes.c_uint32)]


class Tensor(ctypes.Structure):
    _fields_ = [("name_offset", ctypes.c_uint32), ("name_len", ctypes.c_uint32), ("elem", ctypes.c_uint32),
                ("rank", ctypes.c_uint32), ("dims", ctypes.c_uint64 * 8), ("size_bytes", ctypes.c_uint64),
                ("scale", ctypes.c_float), ("zero_point", ctypes.c_int32), ("quantized", ctypes.c_uint32),
                ("reserved", ctypes.c_uint32)]


class Call(ctypes.Structure):
    _fields_ = [(name, ctypes.c_uint32) for name in ("abi_version", "flags", "n_inputs", "n_outputs")] + [
        ("inputs", ctypes.c_void_p), ("outputs", ctypes.c_void_p), ("workspace", ctypes.c_void_p),
        ("workspace_size", ctypes.c_uint64), ("services", ctypes.c_void_p)]


def pointers(arrays):
    return (ctypes.c_void_p * len(arrays))(*[array.ctypes.data for array in arrays])


class Model:
    """Runs with a feed of every input by name; gives the outputs in order."""

    def __init__(self, path, name):
        library = ctypes.CDLL(str(path))
        self.entry = getattr(library, f"edgecc_{name}_run")
        info = Info.in_dll(library, f"edgecc_{name}_info")
        start = ctypes.addressof(info)
        count = info.n_inputs + info.n_outputs
        tensors = (Tensor * count).from_address(start + info.tensors_offset)
        ports = [(ctypes.string_at(start + t.name_offset, t.name_len).decode(), TYPES[t.elem], tuple(t.dims[: t.rank]))
                 for t in tensors]
        self.inputs, self.outputs = ports[: info.n_inputs], ports[info.n_inputs :]
        memory = np.zeros(info.arena_bytes + info.arena_align, "u1")
        self.workspace = memory[-memory.ctypes.data % info.arena_align :][: info.arena_bytes]

    def __call__(self, feed):
        inputs = [np.ascontiguousarray(feed[name], dtype).reshape(shape) for name, dtype, shape in self.inputs]
        outputs = [np.empty(shape, dtype) for _, dtype, shape in self.outputs]
        ins, outs = pointers(inputs), pointers(outputs)
        call = Call(ABI, 0, len(inputs), len(outputs), ctypes.addressof(ins), ctypes.addressof(outs),
                    self.workspace.ctypes.data, self.workspace.size, None)
        status = self.entry(ctypes.byref(call))
        if status:
            raise RuntimeError(f"the run failed with status {status}")
        return outputs
