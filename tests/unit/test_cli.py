"""The jem command, driven as a user drives it: what works.

What a command computes is compared with numpy's own arithmetic on the logits.
"""

import json
import struct
import zlib

import numpy as np
import pytest
from cli_support import (CLASSES, SIDE, apply, idx, images, jem, model, png_header,
                         x_test)

COMMANDS = ["train", "eval", "sample", "info", "logits", "energy", "grad", "score", "attack",
            "bench"]


def logsumexp(f):
    top = f.max(axis=1, keepdims=True)
    return (top + np.log(np.exp(f - top).sum(axis=1, keepdims=True)))[:, 0]


def auroc(usual, unusual):
    return ((unusual[:, None] > usual[None, :]).mean()
            + 0.5 * (unusual[:, None] == usual[None, :]).mean())


# ---- help ---------------------------------------------------------------------------------------


def test_help_and_version():
    text = jem("--help")
    assert all(command in text for command in COMMANDS)
    assert jem("help") == text and jem("-h") == text
    assert jem("--version").startswith("jem 0.")


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of(command):
    text = jem(command, "--help")
    assert text == jem("help", command)
    assert text.startswith(f"usage: jem {command} --")
    assert all(len(line) <= 80 for line in text.splitlines())


def test_help_shows_the_defaults():
    text = " ".join(jem("train", "--help").split())
    assert "(default 0.002)" in text and "(default adam)" in text and "otherwise 0.6 0.85" in text


# ---- eval ---------------------------------------------------------------------------------------


def test_eval_agrees_with_numpy(model, idx, x_test, tmp_path):
    x, y = x_test
    f = apply("logits", model, x, tmp_path / "f.npy").astype(np.float64)
    p = np.exp(f - logsumexp(f)[:, None])
    report = json.loads(jem("eval", "--model", model, "--data", idx, "--json", "--batch", 7))
    rows = np.arange(len(y))
    assert np.isclose(report["accuracy"], (f.argmax(axis=1) == y).mean())
    assert np.isclose(report["nll"], -np.log(p[rows, y]).mean(), rtol=1e-4)
    assert np.isclose(report["brier"], ((p - np.eye(CLASSES)[y]) ** 2).sum(axis=1).mean(),
                      rtol=1e-4)
    assert 0 <= report["ece"] <= 1


def test_eval_scores_sets(model, idx, x_test, tmp_path):
    """The exact sets, and one from a path, give the AUROC that numpy finds from jem score."""
    x = np.load(x_test[0])
    other = np.random.default_rng(9).uniform(-1, 1, (25, 1, SIDE, SIDE)).astype(np.float32)
    path = str(tmp_path / "other.npy")
    np.save(path, other)
    sets = {"inverted": -x, "rotated": np.rot90(x, axes=(2, 3)), path: other}
    report = json.loads(jem("eval", "--model", model, "--data", idx, "--json", "--ood", *sets))
    assert list(report["auroc"]) == list(sets)
    for kind in ("energy", "max-softmax", "gradient-norm"):
        usual = apply("score", model, x_test[0], tmp_path / "s.npy", "--kind", kind)
        for name, rows in sets.items():
            np.save(tmp_path / "x.npy", np.ascontiguousarray(rows))
            scores = apply("score", model, tmp_path / "x.npy", tmp_path / "s.npy", "--kind", kind)
            assert np.isclose(report["auroc"][name][kind], auroc(usual, scores), atol=4e-3), name


def test_sets_that_change_nothing_are_a_guess(model, tmp_path):
    """Equal images have themselves as means, images of one colour do not change by shuffling."""
    np.save(tmp_path / "X.npy", np.repeat(images(1, 1)[0], 9, axis=0))
    found = json.loads(jem("eval", "--model", model, "--data", tmp_path, "--json"))["auroc"]
    assert found["interp"]["energy"] == 0.5 and found["shuffled"]["energy"] != 0.5
    np.save(tmp_path / "X.npy", np.full((9, 1, SIDE, SIDE), 77, np.uint8))
    found = json.loads(jem("eval", "--model", model, "--data", tmp_path, "--json"))["auroc"]
    assert found["shuffled"]["energy"] == found["rotated"]["energy"] == 0.5
    assert found["uniform"]["energy"] != 0.5 and found["constant"]["energy"] != 0.5


# ---- logits, energy, grad, score ----------------------------------------------------------------


def test_apply_agrees_with_numpy(model, x_test, tmp_path):
    x, y = x_test
    labels = tmp_path / "l.npy"
    np.save(labels, y)
    f = apply("logits", model, x, tmp_path / "f.npy")
    assert f.shape == (30, CLASSES) and f.dtype == np.float32
    energy = apply("energy", model, x, tmp_path / "e.npy")
    assert np.allclose(energy, -logsumexp(f), atol=1e-4)
    joint = apply("energy", model, x, tmp_path / "e.npy", "--labels", labels, "--batch", 7)
    assert np.allclose(joint, -f[np.arange(30), y], atol=1e-5)
    grad = apply("grad", model, x, tmp_path / "g.npy")
    assert grad.shape == (30, 1, SIDE, SIDE)
    norm = np.sqrt((grad.astype(np.float64) ** 2).sum(axis=(1, 2, 3)))
    p = np.exp(f - logsumexp(f)[:, None])
    scores = {kind: apply("score", model, x, tmp_path / "s.npy", "--kind", kind)
              for kind in ("energy", "max-softmax", "gradient-norm")}
    assert np.allclose(scores["energy"], energy, atol=1e-5)
    assert np.allclose(scores["max-softmax"], -p.max(axis=1), atol=1e-5)
    assert np.allclose(scores["gradient-norm"], norm, rtol=1e-3)


def test_grad_is_the_slope_of_energy(model, x_test, tmp_path):
    x = np.load(x_test[0])
    grad = apply("grad", model, x_test[0], tmp_path / "g.npy")
    direction = np.random.default_rng(3).normal(size=x.shape).astype(np.float32)
    ends = []
    for sign in (-1, 1):
        np.save(tmp_path / "x.npy", x + np.float32(sign * 2e-3) * direction)
        ends.append(apply("energy", model, tmp_path / "x.npy", tmp_path / "e.npy"))
    slope = (ends[1] - ends[0]) / 4e-3
    expected = (grad * direction).sum(axis=(1, 2, 3))
    # Kinks of the activation within the step cost a few percent.
    assert np.linalg.norm(slope - expected) < 0.1 * np.linalg.norm(expected)


@pytest.mark.parametrize("options", [["--threads", "1"], ["--threads", "2"], ["--batch", "1"],
                                     ["--batch", "7"]])
def test_logits_do_not_depend_on_threads_and_batch(model, x_test, tmp_path, options):
    plain = apply("logits", model, x_test[0], tmp_path / "a.npy")
    assert np.array_equal(plain, apply("logits", model, x_test[0], tmp_path / "b.npy", *options))


def test_input_forms_agree(model, x_test, tmp_path):
    x = np.load(x_test[0])
    raw, _ = images(30, 2)
    forms = {"f8": x.astype(np.float64), "flat": x.reshape(30, -1), "gray": x[:, 0], "u1": raw}
    plain = apply("logits", model, x_test[0], tmp_path / "a.npy")
    for form in forms.values():
        np.save(tmp_path / "x.npy", form)
        same = apply("logits", model, tmp_path / "x.npy", tmp_path / "b.npy")
        assert np.allclose(plain, same, atol=1e-4)
    np.save(tmp_path / "x.npy", x[:0])
    assert apply("grad", model, tmp_path / "x.npy", tmp_path / "b.npy").shape == (0, 1, SIDE, SIDE)


@pytest.mark.parametrize("version", [(1, 0), (2, 0), (3, 0)])
def test_npy_versions(model, x_test, tmp_path, version):
    with open(tmp_path / "x.npy", "wb") as file:
        np.lib.format.write_array(file, np.load(x_test[0]), version=version)
    plain = apply("energy", model, x_test[0], tmp_path / "a.npy")
    assert np.array_equal(plain, apply("energy", model, tmp_path / "x.npy", tmp_path / "b.npy"))


# ---- sample -------------------------------------------------------------------------------------


def png_pixels(path):
    """The rows of a gray, unfiltered-or-not PNG; filters 0 to 4."""
    content = path.read_bytes()
    width, height, _, _ = png_header(path)
    packed, at = b"", 8
    while at < len(content):
        length, kind = struct.unpack(">I4s", content[at:at + 8])
        packed += content[at + 8:at + 8 + length] if kind == b"IDAT" else b""
        at += length + 12
    raw = np.frombuffer(zlib.decompress(packed), np.uint8).reshape(height, width + 1)
    out = np.zeros((height + 1, width + 1), int)
    for y in range(height):
        for x in range(width):
            left, up, corner = out[y + 1, x], out[y, x + 1], out[y, x]
            guess = left + up - corner
            paeth = min((abs(guess - left), 0, left), (abs(guess - up), 1, up),
                        (abs(guess - corner), 2, corner))[2]
            add = [0, left, up, (left + up) // 2, paeth][raw[y, 0]]
            out[y + 1, x + 1] = (raw[y, x + 1] + add) % 256
    return out[1:, 1:]


def test_sample(model, tmp_path):
    png, out = tmp_path / "s.png", tmp_path / "x.npy"
    jem("sample", "--model", model, "--n", 5, "--steps", 3, "--png", png, "--out", out, "--scale",
        2)
    x = np.load(out)
    assert x.shape == (5, 1, SIDE, SIDE) and np.abs(x).max() <= 1
    cell = 2 * SIDE + 2
    assert png_header(png) == (3 * cell + 2, 2 * cell + 2, 8, 0)
    pixels = png_pixels(png)
    for i in range(5):
        top, left = 2 + i // 3 * cell, 2 + i % 3 * cell
        shown = pixels[top:top + 2 * SIDE, left:left + 2 * SIDE]
        expected = np.kron(np.rint((x[i, 0] + 1) * 127.5), np.ones((2, 2)))
        assert np.abs(shown - expected).max() <= 1
    assert (pixels[:2] == 255).all() and (pixels[2 + cell:, 2 + 2 * cell:] == 255).all()


def test_sampling_is_reproducible(model, tmp_path):
    def draw(*options):
        jem("sample", "--model", model, "--n", 4, "--steps", 4, "--out", tmp_path / "x.npy",
            *options)
        return np.load(tmp_path / "x.npy")

    first = draw()
    assert np.array_equal(first, draw("--threads", 2))
    assert not np.array_equal(first, draw("--seed", 1))
    assert not np.array_equal(first, draw("--class", 1))
    assert not np.array_equal(first, draw("--steps", 5))


def test_chains_stay_where_they_are_told(model, tmp_path):
    def reach(*options):
        jem("sample", "--model", model, "--n", 9, "--steps", 2, "--out", tmp_path / "x.npy",
            *options)
        return np.abs(np.load(tmp_path / "x.npy")).max()

    assert reach("--x-low", -0.5, "--x-high", 0.25) == 0.5
    wild = ["--no-x-clamp", "--noise-std", 0, "--step-size", 100]
    gradient = reach(*wild, "--grad-clamp", "none")
    assert gradient > 1 and reach(*wild, "--grad-clamp", 1e-4) <= 1.021


def test_sample_lowers_the_energy(model, tmp_path):
    def mean_energy(steps):
        jem("sample", "--model", model, "--n", 32, "--steps", steps, "--out", tmp_path / "x.npy")
        return apply("energy", model, tmp_path / "x.npy", tmp_path / "e.npy").mean()

    assert mean_energy(50) < mean_energy(0)


def test_sample_grid_starts_from_the_classes(model, idx, tmp_path):
    png, out = tmp_path / "s.png", tmp_path / "x.npy"
    jem("sample", "--model", model, "--n", 11, "--steps", 0, "--png", png, "--out", out, "--grid",
        "--data", idx)
    x = np.load(out)
    assert x.shape == (4 * CLASSES, 1, SIDE, SIDE)
    cell = 2 * SIDE + 2
    assert png_header(png)[:2] == (4 * cell + 2, CLASSES * cell + 2)
    for i in range(len(x)):  # the class shows in which rows are bright
        bands = [x[i, 0, c * SIDE // CLASSES:(c + 1) * SIDE // CLASSES].mean()
                 for c in range(CLASSES)]
        assert np.argmax(bands) == i // 4


# ---- info ---------------------------------------------------------------------------------------


def test_info(model):
    info = json.loads(jem("info", "--model", model, "--json", "--tensors"))
    assert info["arch"].startswith("cnn-4-8") and info["macs"] > 0 and info["bytes"] > 0
    counts = [int(np.prod(tensor["shape"])) for tensor in info["tensors"]]
    assert sum(counts) == info["params"] and len(counts) == info["tensor_count"]
    assert info["library"]["version"] in jem("--version")
    assert set(info["library"]["kernels"]) == {"isa", "avx512", "bf16"}
    text = jem("info", "--model", model, "--tensors")
    assert all(tensor["name"] in text for tensor in info["tensors"])
