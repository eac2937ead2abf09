"""The node cases of the ONNX wheel as files, for `cargo xtask conformance`.

Usage: conformance.py write FOLDER OPERATORS
       conformance.py bind FOLDER CASE...
       conformance.py score FOLDER CASE...

`write` makes a folder per case: model.onnx, the raw tensors in/0, ... and want/0, ..., case.json with
the inputs and want.json with the outputs; it prints a list of all cases.
`bind` marks those inputs as constants that the diagnostics in result.json ask for, and prints the names
of the cases in which it could.
`score` compares got/0, ... with want/0, ... as ONNX's own runner does, and prints what is wrong by case.
"""

import json
import pathlib
import re
import sys
import warnings

import ml_dtypes
import numpy as np
import onnx
from onnx import numpy_helper

TYPES = {
    "bool": "?", "f16": "f2", "f32": "f4", "f64": "f8",
    "i8": "i1", "i16": "i2", "i32": "i4", "i64": "i8", "u8": "u1", "u16": "u2", "u32": "u4", "u64": "u8",
}
NARROW = [np.dtype(getattr(ml_dtypes, name)) for name in dir(ml_dtypes)
          if name.startswith(("bfloat", "float", "int", "uint"))]
NOT_CONSTANT = "non-constant-operand"


def nodes_of(graph):
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            for body in [attribute.g, *attribute.graphs]:
                yield from nodes_of(body)


def operator(node):
    return f"{node.domain}.{node.op_type}" if node.domain not in ("", "ai.onnx") else node.op_type


def array(value):
    """A case's value as an array; none for sequences, absent optionals and texts."""
    value = numpy_helper.to_array(value) if isinstance(value, onnx.TensorProto) else value
    if value is None or isinstance(value, list) or np.asarray(value).dtype.kind in "OUS":
        return None
    return np.asarray(value)


def codes(dtype):
    """The type of what a compiled model stores: narrow types of ONNX are codes in integers."""
    dtype = np.dtype(dtype)
    if dtype.name in ("int2", "int4"):
        return np.dtype("i1")
    return np.dtype(f"u{dtype.itemsize}") if dtype in NARROW else dtype


def store(folder, values):
    folder.mkdir()
    for i, value in enumerate(map(array, values)):
        if value is not None:
            signed = codes(value.dtype).kind == "i" and value.dtype in NARROW
            (folder / str(i)).write_bytes((value.astype("i1") if signed else value).tobytes())


def write_case(folder, case):
    inputs, wanted = case.data_sets[0]
    folder.mkdir()
    (folder / "model.onnx").write_bytes(case.model.SerializeToString())
    store(folder / "in", inputs)
    store(folder / "want", wanted)
    stored = [(i, port, array(value)) for i, (port, value) in enumerate(zip(case.model.graph.input, inputs))]
    facts = [{"name": port.name, "file": str(i), "elem": onnx.helper.np_dtype_to_tensor_dtype(codes(value.dtype)),
              "shape": value.shape, "bound": False} for i, port, value in stored if value is not None]
    (folder / "case.json").write_text(json.dumps(facts))
    expected = [{"type": array(v).dtype.name, "shape": array(v).shape} if array(v) is not None else None
                for v in wanted]
    (folder / "want.json").write_text(json.dumps({"tensors": expected, "rtol": case.rtol, "atol": case.atol}))


def subject(case, base):
    """The operator that a case is about: that of its node, or of the case that it expands."""
    names = [operator(n) for n in case.model.graph.node if n.op_type != "Constant"]
    stem = case.name.split("_expanded")[0]
    return base[stem] if stem != case.name and stem in base else (names or ["Constant"])[0]


def write(folder, operators):
    from onnx.backend.test.case.node import collect_testcases

    listed = set(pathlib.Path(operators).read_text().split())
    cases, base, rows = collect_testcases(None), {}, []
    for case in sorted(cases, key=lambda case: case.name):
        write_case(folder / case.name, case)
        base[case.name] = subject(case, base)
        used = {operator(node) for node in nodes_of(case.model.graph)}
        rows.append({"name": case.name, "operator": base[case.name], "listed": used <= listed})
    return rows


def wanted_constants(model, problems):
    """The values that diagnostics ask for, operands of nodes, and what those are made from."""
    graph = model.graph
    sources = {name: node.input for node in graph.node for name in node.output}
    found, open_names = set(), []
    for problem in problems:
        node, operand = re.search(r"node #(\d+)", problem["at"]), re.match(r"operand (\d+)", problem["message"])
        if problem["code"] == NOT_CONSTANT and node and operand:
            # A number may also be that of a node in a body, which has no graph inputs to bind.
            node, operand = int(node[1]), int(operand[1])
            inputs = graph.node[node].input if node < len(graph.node) else []
            open_names += inputs[operand : operand + 1]
    while open_names:
        name = open_names.pop()
        open_names += sources.get(name, [])
        found.add(name)
    return found


def bind(folder):
    result = json.loads((folder / "result.json").read_text())
    wanted = wanted_constants(onnx.load(folder / "model.onnx"), result.get("refused", []))
    facts = json.loads((folder / "case.json").read_text())
    chosen = [fact for fact in facts if fact["name"] in wanted and not fact["bound"]]
    for fact in chosen:
        fact["bound"] = True
    (folder / "case.json").write_text(json.dumps(facts))
    return bool(chosen)


def counted(outputs):
    """Outputs of data-dependent size by name, cut to the size that their count states."""
    counts = {o["name"]: o for o in outputs if o["name"].endswith(".count")}
    return [(o, counts.get(o["name"] + ".count")) for o in outputs if o["name"] not in counts]


def load(folder, facts):
    return np.fromfile(folder / "got" / facts["file"], TYPES[facts["elem"]]).reshape(facts["shape"])


def cut(value, count, shape):
    """The first `count` places along the one axis where the bound is not the expected extent."""
    axes = [i for i, (a, b) in enumerate(zip(value.shape, shape)) if a != b]
    if len(axes) != 1 or int(count) != shape[axes[0]]:
        return value
    return np.take(value, np.arange(int(count)), axes[0])


def compare(got, want, rtol, atol):
    np.testing.assert_array_equal(got.shape, want.shape, err_msg="shape")
    np.testing.assert_equal(got.dtype, codes(want.dtype), err_msg="type")
    if want.dtype in NARROW:
        rtol = max(rtol, 2**-6) if want.dtype.name == "bfloat16" else rtol
        got, want = got.view(want.dtype).astype("f4"), want.astype("f4")
    np.testing.assert_allclose(got, want, rtol=rtol, atol=atol)


def score(folder):
    """What is wrong with a case's outputs, or none."""
    outputs = json.loads((folder / "result.json").read_text())["outputs"]
    expected = json.loads((folder / "want.json").read_text())
    found = counted([{**o, "file": str(i)} for i, o in enumerate(outputs)])
    if len(found) != len(expected["tensors"]):
        return f"{len(found)} outputs instead of {len(expected['tensors'])}"
    for i, ((facts, count), want) in enumerate(zip(found, expected["tensors"])):
        if want is None:
            return f"output {i} cannot be compared"
        want_value = np.fromfile(folder / "want" / str(i), want["type"]).reshape(want["shape"])
        got = load(folder, facts)
        got = got if count is None else cut(got, load(folder, count), want["shape"])
        try:
            compare(got, want_value, expected["rtol"], expected["atol"])
        except AssertionError as why:
            lines = [line.strip() for line in str(why).splitlines() if line.strip()]
            return f"output {i}: " + "; ".join(lines[:4])
    return None


def main():
    warnings.simplefilter("ignore")
    task, folder = sys.argv[1], pathlib.Path(sys.argv[2])
    if task == "write":
        answer = write(folder, sys.argv[3])
    elif task == "bind":
        answer = [name for name in sys.argv[3:] if bind(folder / name)]
    else:
        answer = {name: score(folder / name) for name in sys.argv[3:]}
    json.dump(answer, sys.stdout)


if __name__ == "__main__":
    main()
