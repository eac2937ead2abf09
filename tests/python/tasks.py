"""Whole tasks with a compiled model and with ONNX Runtime: is the answer the same?

Usage: tasks.py TASK DATA MODEL.onnx OBJECT.so [MODEL.onnx OBJECT.so]

DATA is a file that the task needs, or `-`. Each object is compiled under the name `model`. Prints what was
done; fails if the two answers differ.
"""

import sys

import numpy as np
import onnx
import onnxruntime
from PIL import Image, ImageDraw, ImageFont

from compiled import Model

SEED = 20240229
RATE = 16000
RAW_RATE = 8000


def oracle(path, **consts):
    """ONNX Runtime with the interface of a compiled model; constants are inputs of it alone."""
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    consts = {name: np.array(value) for name, value in consts.items()}
    return lambda feed: session.run(None, {**feed, **consts})


def require(condition, what):
    if not condition:
        raise SystemExit(what)


# ---- Reading text ----


def render(text):
    """Black on white, 48 pixels high, as the recogniser wants it: [1,3,48,320] from -1 to 1."""
    image = Image.new("RGB", (320, 48), "white")
    ImageDraw.Draw(image).text((6, 6), text, "black", ImageFont.load_default(28))
    return np.asarray(image, "f4").transpose(2, 0, 1)[None] / 127.5 - 1


def greedy(scores, characters):
    """Connectionist temporal classification: the best of each step without repeats and blanks."""
    best = scores[0].argmax(1)
    kept = best[(best != 0) & (best != np.concatenate([[-1], best[:-1]]))]
    return "".join(characters[i - 1] for i in kept)


def read(_, model, compiled):
    properties = {p.key: p.value for p in onnx.load(model).metadata_props}
    characters = properties["character"].splitlines() + [" "]
    ours, theirs, random = Model(compiled, "model"), oracle(model), np.random.default_rng(SEED)
    letters = np.array(list("ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz0123456789"))
    right = 0
    for _ in range(100):
        text = "".join(random.choice(letters, random.integers(4, 13)))
        image = {"x": render(text)}
        mine, other = (greedy(run(image)[0], characters) for run in (ours, theirs))
        require(mine == other, f"{text!r} is read as {mine!r}, by ONNX Runtime as {other!r}")
        right += mine == text
    return f"100 strings are read alike, {right} of them as they were written"


# ---- Finding speech ----


def recording(path):
    """Samples from -1 to 1 at 16 kHz, of a file of raw 16-bit samples at 8 kHz."""
    samples = np.fromfile(path, "<i2").astype("f4") / 32768
    times = np.arange(0, len(samples), RAW_RATE / RATE)
    return np.interp(times, np.arange(len(samples)), samples).astype("f4")


def speech(run, samples):
    """The probability of speech in each 32 ms; a frame starts with the end of the one before."""
    state, frame, found = np.zeros((2, 1, 128), "f4"), np.zeros(64, "f4"), []
    for part in samples[: len(samples) // 512 * 512].reshape(-1, 512):
        frame = np.concatenate([frame[-64:], part])
        probability, state = run({"input": frame[None], "state": state})
        found.append(float(probability[0, 0]))
    return np.array(found)


def segments(probabilities):
    edges = np.flatnonzero(np.diff(np.concatenate([[0], probabilities > 0.5, [0]]).astype(int)))
    return edges.reshape(-1, 2).tolist()


def find_speech(data, model, compiled):
    quiet = np.zeros(RATE // 2, "f4")
    samples = np.concatenate([quiet, recording(data), quiet])
    ours, theirs = speech(Model(compiled, "model"), samples), speech(oracle(model, sr=RATE), samples)
    require(segments(theirs), "there is no speech in the recording")
    require(segments(ours) == segments(theirs), f"speech at {segments(ours)} instead of {segments(theirs)}")
    return f"{len(ours)} frames, speech at {segments(ours)}, probabilities within {abs(ours - theirs).max():.1e}"


# ---- Removing noise ----


def denoise(first, second, samples):
    """DTLN: a mask for the spectrum, then a filter in the time domain, over frames of 512."""
    states = [np.zeros((1, 2, 128, 2), "f4") for _ in range(2)]
    frame, result = np.zeros(512, "f4"), np.zeros(len(samples) + 512, "f4")
    for start in range(0, len(samples) - 127, 128):
        frame = np.concatenate([frame[128:], samples[start : start + 128]])
        spectrum = np.fft.rfft(frame)
        mask, states[0] = first({"input_2": np.abs(spectrum).astype("f4")[None, None], "input_3": states[0]})
        estimate = np.fft.irfft(mask[0, 0] * spectrum).astype("f4")
        clean, states[1] = second({"input_4": estimate[None, None], "input_5": states[1]})
        result[start : start + 512] += clean.reshape(512)
    return result


def remove_noise(data, first, compiled_first, second, compiled_second):
    clean = recording(data)
    noisy = clean + 0.05 * np.random.default_rng(SEED).standard_normal(len(clean)).astype("f4")
    ours = denoise(Model(compiled_first, "model"), Model(compiled_second, "model"), noisy)
    theirs = denoise(oracle(first), oracle(second), noisy)
    error = abs(ours - theirs).max()
    require(error <= 1e-4, f"the signals differ by {error:.1e}")
    return f"{len(noisy)} samples within {error:.1e}"


# ---- Finding faces ----


def faces(outputs, strides=(8, 16, 32)):
    """Boxes [x, y, width, height] and scores above 0.6 of YuNet's 12 outputs, best first, without overlaps."""
    classes, objects, boxes = outputs[0:3], outputs[3:6], outputs[6:9]
    found = []
    for stride, kind, thing, box in zip(strides, classes, objects, boxes):
        score = np.sqrt(np.clip(kind[0, :, 0], 0, 1) * np.clip(thing[0, :, 0], 0, 1))
        row, column = np.divmod(np.arange(len(score)), 320 // stride)
        centre = (np.stack([column, row], 1) + box[0, :, :2]) * stride
        size = np.exp(box[0, :, 2:]) * stride
        found += [(s, *c, *e) for s, c, e in zip(score, centre - size / 2, size) if s > 0.6]
    kept = []
    for face in sorted(found, reverse=True):
        if all(abs(face[1] - k[1]) + abs(face[2] - k[2]) > (k[3] + k[4]) / 4 for k in kept):
            kept.append(face)
    return np.array(kept)


def find_faces(data, model, compiled):
    image = np.asarray(Image.open(data).convert("RGB").resize((320, 320)), "f4")
    feed = {"input": image[..., ::-1].transpose(2, 0, 1)[None]}
    ours, theirs = faces(Model(compiled, "model")(feed)), faces(oracle(model)(feed))
    require(len(theirs), "there is no face in the picture")
    require(ours.shape == theirs.shape and np.allclose(ours, theirs, 1e-3, 1e-2), f"{ours} instead of {theirs}")
    return f"{len(ours)} faces, the best at {ours[0, 1:3].round().tolist()}"


# ---- Comparing sentences ----


SENTENCES = """a man is eating food
someone has a meal of rice and bread
the girl rides a white horse over the fields
a woman on a horse crosses the meadow
two dogs chase a ball in the park
the stock market fell sharply today""".splitlines()


def embed(run, sentence):
    """The mean over the words; words are numbered by their letters, the vocabulary is not at hand."""
    words = [101] + [1000 + sum(i * ord(c) for i, c in enumerate(w, 1)) % 3000 for w in sentence.split()] + [102]
    ids, mask = np.zeros((1, 128), "i8"), np.zeros((1, 128), "i8")
    ids[0, : len(words)], mask[0, : len(words)] = words, 1
    hidden = run({"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)})[0]
    mean = hidden[0, : len(words)].mean(0)
    return mean / np.linalg.norm(mean)


def compare_sentences(_, model, compiled):
    ours, theirs = (np.array([embed(run, s) for s in SENTENCES]) for run in (Model(compiled, "model"), oracle(model)))
    error = abs(ours @ ours.T - theirs @ theirs.T).max()
    require(error <= 1e-4, f"similarities differ by {error:.1e}")
    return f"similarities of {len(SENTENCES)} sentences within {error:.1e}"


TASKS = {task.__name__: task for task in (read, find_speech, remove_noise, find_faces, compare_sentences)}

if __name__ == "__main__":
    print(TASKS[sys.argv[1]](*sys.argv[2:]))
