"""What the jem command tells of its own accord: about data, rows that a model was not made for, and
text of any origin.
"""

import json
import os
import subprocess

import numpy as np
import pytest
from cli_support import CLASSES, JEM, apply, idx, images, jem, model, train, write_idx, x_test


def told(*args, expect=0):
    """What is said on stderr."""
    done = subprocess.run([JEM, *map(os.fsencode, map(str, args))], capture_output=True, timeout=60)
    assert done.returncode == expect, done.stderr
    return done.stderr.decode(errors="surrogateescape")


# ---- rows outside of the input range ------------------------------------------------------------


def spoil(x, values):
    x = np.load(x)
    for row, value in values.items():
        x[row, 0, 2, 3] = value
    return x


@pytest.mark.parametrize("command", ["score", "energy", "logits", "grad"])
def test_rows_out_of_range(command, model, x_test, tmp_path):
    np.save(tmp_path / "x.npy", spoil(x_test[0], {4: 90, 20: -7.5, 29: 1.5}))
    args = [command, "--model", model, "--out", tmp_path / "y.npy", "--batch", 8, "--in"]
    text = told(*args, tmp_path / "x.npy")
    assert "3 of 30 rows are outside of the model's input range -1 .. 1" in text
    assert "the first is row 4; they reach from -7.5 to 90" in text and text.count("\n") == 1
    assert told(*args, x_test[0]) == ""
    np.save(tmp_path / "x.npy", np.load(x_test[0]) * np.float32(1.00003))  # rounding
    assert told(*args, tmp_path / "x.npy") == ""


def test_pixels_as_floats(model, tmp_path):
    np.save(tmp_path / "x.npy", images(30, 2)[0].astype(np.float32))
    text = told("score", "--model", model, "--in", tmp_path / "x.npy", "--out", tmp_path / "y.npy")
    assert "30 of 30 rows" in text and "8-bit images as u1" in text


def test_eval_tells_each_set(model, idx, x_test, tmp_path):
    np.save(tmp_path / "far.npy", spoil(x_test[0], {7: 3}))
    args = ["eval", "--model", model, "--data", idx, "--ood", "uniform", "inverted", "constant"]
    assert told(*args) == ""
    text = told(*args, tmp_path / "far.npy")
    assert text.startswith(f"{tmp_path / 'far.npy'}: 1 of 30 rows") and text.count("\n") == 1


def test_rows_that_overflow(model, x_test, tmp_path):
    np.save(tmp_path / "x.npy", spoil(x_test[0], {5: -3.4e38, 9: 3.4e38}))
    text = told("logits", "--model", model, "--in", tmp_path / "x.npy", "--out", tmp_path / "y.npy")
    overflowed = np.flatnonzero(~np.isfinite(np.load(tmp_path / "y.npy")).all(axis=1))
    assert (f"overflow float32 in {len(overflowed)} of 30 rows, the first is row {overflowed[0]}"
            in text)


# ---- what training understood -------------------------------------------------------------------


def save_table(folder, x, y=None, test=None):
    folder.mkdir(exist_ok=True)
    np.save(folder / "X.npy", x)
    np.save(folder / "y.npy", np.arange(len(x)) % 2 if y is None else y)
    if test is not None:
        np.save(folder / "X_test.npy", test[0])
        np.save(folder / "y_test.npy", test[1])
    return folder


def told_of(data, tmp_path, *options):
    return told("train", "--data", data, "--arch", "mlp-8", "--out", tmp_path / "m", "--steps", 1,
                *options).splitlines()


def test_data_are_described(idx, tmp_path):
    assert told_of(idx, tmp_path)[0] == (
        f"{idx}: 60 rows of 1 x 8 x 8 (channels x height x width), 3 classes, 8-bit")
    table = save_table(tmp_path / "t", np.linspace(-2, 4, 60).reshape(12, 5))
    assert told_of(table, tmp_path)[0] == (
        f"{table}: 12 rows of 5 features, 2 classes, values -2 .. 4")
    (table / "y.npy").unlink()
    assert ", no labels, " in told_of(table, tmp_path, "--w-pyx", 0)[0]


def test_the_default_length_has_a_least_number_of_steps(idx, tmp_path):
    start = ["train", "--data", idx, "--arch", "mlp-8", "--out", tmp_path / "m", "--sgld-steps", 1]
    text = told(*start)
    assert "1000 steps instead of 10" in text
    info = ["info", "--model", tmp_path / "m", "--json"]
    steps = lambda: json.loads(jem(*info))["training"]["steps"]
    assert steps() == 1000
    assert "instead" not in told(*start, "--epochs", 10) and steps() == 10
    start[2] = write_idx(tmp_path / "100", n_train=100)
    assert "instead" not in told(*start, "--batch", 1) and steps() == 1000


@pytest.mark.parametrize("scales, word", [
    ([1, 999], ""), ([1, 1001], "deviations lie from 1 to 1e+03"), ([0, 0, 1, 5], ""),
    ([1e-3, 1e-5], ""), ([9, 30], "values from -60 to 60")])
def test_scales_of_a_table(scales, word, tmp_path):
    unit = np.resize([-1.0, 1.0], (40, 1))
    if word == "":
        scales = np.array(scales) / max(scales)  # small enough as such
    else:
        unit[:2] *= 2 if "values" in word else 1
    lines = told_of(save_table(tmp_path / "t", unit * scales), tmp_path)
    advice = [line for line in lines if "--standardize" in line]
    assert bool(advice) == bool(word) and word in "".join(advice)
    if word:
        assert not any("--standardize" in line
                       for line in told_of(tmp_path / "t", tmp_path, "--standardize"))


def test_float_images_of_pixels(tmp_path):
    data = save_table(tmp_path / "t", images(30, 1)[0].astype(np.float32))
    assert "8-bit images as u1" in "".join(told_of(data, tmp_path))


def test_advice_after_divergence(tmp_path):
    x = np.random.default_rng(0).normal(size=(40, 3)) * [1, 1, 1e5]
    args = ["train", "--data", save_table(tmp_path / "t", x), "--arch", "mlp-8", "--out",
            tmp_path / "m", "--steps", 50, "--lr", 1e18, "--optimizer", "sgd", "--clip-norm",
            "none", "--no-guard"]
    text = told(*args, expect=1).splitlines()[-1]
    assert "diverged" in text and "--standardize" in text and "lower --lr" not in text
    text = told(*args, "--standardize", expect=1).splitlines()[-1]
    assert "diverged" in text and "lower --lr" in text


# ---- tables that are standardised ---------------------------------------------------------------


def test_standardized_tables(tmp_path):
    """The model does with raw rows what was done to them by hand for another model."""
    rng = np.random.default_rng(3)
    y = np.arange(120) % 3
    raw = (rng.normal(size=(120, 4)) + y[:, None]) * [1, 50, 1e4, 1e-3] + [0, 7, -1e6, 1]
    raw[:, 3] = 5  # a column that does not vary
    unit = (raw - raw.mean(0)) / np.where(raw.std(0) > 0, raw.std(0), 1)
    data = {name: save_table(tmp_path / name, x, y) for name, x in (("raw", raw), ("unit", unit))}
    train(data["raw"], tmp_path / "m", "--standardize", "--lr", 0.01, steps=100)
    train(data["unit"], tmp_path / "n", "--lr", 0.01, steps=100)
    a, b = (apply("logits", tmp_path / m, data[k] / "X.npy", tmp_path / "y.npy")
            for m, k in (("m", "raw"), ("n", "unit")))
    assert np.allclose(a, b, atol=0.02)  # float32 of numbers around a million
    reports = [json.loads(jem("eval", "--model", tmp_path / m, "--data", data[k], "--json"))
               for m, k in (("m", "raw"), ("n", "unit"))]
    assert reports[0]["accuracy"] > 0.7 and abs(reports[0]["nll"] - reports[1]["nll"]) < 0.02
    assert np.isclose(reports[0]["auroc"]["uniform"]["energy"],
                      reports[1]["auroc"]["uniform"]["energy"], atol=0.02)
    info = json.loads(jem("info", "--model", tmp_path / "m", "--json"))
    assert np.allclose(info["input_range"], [unit.min(), unit.max()], atol=0.01)
    assert told("score", "--model", tmp_path / "m", "--in", data["raw"] / "X.npy", "--out",
                tmp_path / "y.npy") == ""
    assert "120 of 120 rows" in told("score", "--model", tmp_path / "n", "--in",
                                     data["raw"] / "X.npy", "--out", tmp_path / "y.npy")


def test_samples_of_a_standardized_table_have_its_units(tmp_path):
    raw = np.random.default_rng(0).normal(size=(60, 2)) * [1, 1000] + [5, -3e4]
    train(save_table(tmp_path / "t", raw), tmp_path / "m", "--standardize", steps=2)
    jem("sample", "--model", tmp_path / "m", "--n", 200, "--steps", 0, "--out", tmp_path / "s.npy",
        "--data", tmp_path / "t")
    found = np.load(tmp_path / "s.npy").reshape(200, 2)
    assert np.allclose(found.mean(0), raw.mean(0), atol=4 * raw.std(0) / 10)
    assert np.allclose(found.std(0), raw.std(0), rtol=0.3)


def test_standardize_is_for_tables(idx, tmp_path):
    assert "--standardize is for tables" in jem("train", "--data", idx, "--out", tmp_path / "m",
                                                "--standardize", expect=2)


# ---- text of any origin -------------------------------------------------------------------------


def test_names_that_are_not_utf_8(idx, model, x_test, tmp_path):
    """Valid JSON, a checkpoint that can be resumed, and a model whose origin is told."""
    strange = os.fsdecode(os.fsencode(tmp_path) + b"/fa\xffr\xe4.npy")
    np.save(strange, np.load(x_test[0]))
    report = json.loads(jem("eval", "--model", model, "--data", idx, "--ood", strange, "--json"))
    assert list(report["auroc"]) == [str(tmp_path / "fa\ufffdr\ufffd.npy")]
    folder = tmp_path / os.fsdecode(b"\xc3\xa4 \xed\xa0\x80 \xc0\x80 \xf0\x9f")
    write_idx(folder)
    args = ["--data", folder, "--arch", "mlp-8", "--out", tmp_path / "m", "--checkpoint",
            tmp_path / "c", "--steps", 4, "--batch", 8]
    told("train", *args, "--stop-after", 2)
    told("train", *args, "--resume")
    info = json.loads(jem("info", "--model", tmp_path / "m", "--json"))
    assert info["training"]["steps"] == 4
    shown = os.path.basename(info["training"]["data"])
    assert shown == "ä " + 3 * "\ufffd" + " \ufffd\ufffd \ufffd\ufffd"
    report = json.loads(jem("eval", "--model", tmp_path / "m", "--data", folder, "--json"))
    assert report["data"] == info["training"]["data"]


METADATA = """
import jem, sys
model = jem.Model.load(sys.argv[1])
model.set_metadata("licence", "CC0")
model.set_metadata("note", "two\\nlines \\x1b[31mred \\x9b and \\u00e4")
for i in range(25):
    model.set_metadata(f"key{i}", str(i))
assert model.metadata_keys()[-26:] == ["note"] + [f"key{i}" for i in range(25)]
model.set_metadata("licence", None)
assert "licence" not in model.metadata_keys()
model.set_metadata("licence", "CC0")
model.save(sys.argv[2])
"""


def test_metadata_of_users_are_shown(model, tmp_path):
    subprocess.run(["/usr/bin/python3", "-c", METADATA, model, tmp_path / "m"], check=True)
    shown = json.loads(jem("info", "--model", tmp_path / "m", "--json"))["metadata"]
    assert shown == {"licence": "CC0", "note": "two\nlines \x1b[31mred \x9b and ä",
                     **{f"key{i}": str(i) for i in range(25)}}
    text = jem("info", "--model", tmp_path / "m")
    lines = text[text.index("metadata\n"):].splitlines()
    assert len(lines) == 22 and lines[-1].strip().startswith("...")
    note = ["note", "two?lines", "?[31mred", "?", "and", "ä"]
    assert any(line.split() == note for line in lines)
    assert not any(ord(c) < 32 and c != "\n" or 0x7f <= ord(c) < 0xa0 for c in text)
    assert json.loads(jem("info", "--model", model, "--json"))["metadata"] == {}
    assert "metadata" not in jem("info", "--model", model)


def test_both_spellings_of_a_choice(model, x_test, tmp_path):
    for kind in ("max-softmax", "gradient-norm"):
        a, b = (apply("score", model, x_test[0], tmp_path / "y.npy", "--kind", word)
                for word in (kind, kind.replace("-", "_")))
        assert np.array_equal(a, b)
    assert "max-softmax" in jem("score", "--model", model, "--in", "x", "--out", tmp_path / "y", "--kind",
                                "max softmax", expect=2)
    assert jem("score", "--model", model, "--in", "x", "--out", tmp_path / "y", "--kind", "energy_", expect=2)


def test_help_explains_the_line_of_progress():
    text = " ".join(jem("train", "--help").split())
    for word in ("loss, which is minimised", "ce, the cross entropy", "gap, by how much",
                 "acc, the"):
        assert word in text
