"""jem train --preset: the recipe is the default, given options win, and a model that lacks what the
recipe needs is refused. What a run was made with is read from its note of options in a checkpoint.
"""

import json
import os
import struct

import numpy as np
import pytest

import jem as binding
from cli_support import idx, jem, write_npy  # noqa: F401 (idx is a fixture)

PRESETS = ["safe", "jem2020", "jempp", "sada", "mjem", "igebm", "classifier"]
SHORT = ["--steps", 2, "--sgld-steps", 1, "--capacity", 200, "--batch", 12]


def start(data, directory, *options):
    """A short run; the options as its checkpoint notes them, and the model's description."""
    out, checkpoint = directory / "m", directory / "c"
    for path in (out, checkpoint):
        path.unlink(missing_ok=True)
    jem("train", "--data", data, "--out", out, "--checkpoint", checkpoint, *options)
    content = checkpoint.read_bytes()
    header = json.loads(content[8 : 8 + struct.unpack("<Q", content[:8])[0]])
    notes = [v for v in header["__metadata__"].values() if v.startswith('{"options"')]
    return json.loads(notes[0])["options"], json.loads(jem("info", "--model", out, "--json"))


def test_help_lists_the_presets():
    lines = jem("train", "--help").splitlines()
    for name in PRESETS:
        summary = binding.preset(name).info.summary
        assert any(line.split()[:1] == [name] and summary in line for line in lines), name


@pytest.mark.parametrize("name", PRESETS)
@pytest.mark.parametrize("form", ["images", "table"])
def test_every_preset_trains(name, form, tmp_path):
    data = tmp_path / "data"
    if form == "images":
        write_npy(data)
    else:
        data.mkdir()
        x = np.random.default_rng(0).normal(size=(40, 3)).astype(np.float32)
        np.save(data / "X.npy", x)
        np.save(data / "y.npy", (x[:, 0] > 0).astype(np.int64))
    options, info = start(data, tmp_path, "--preset", name, *SHORT)
    needs = binding.preset(name).info.arch_options
    norm = info["arch"].partition("norm=")[2] or "none"
    assert not needs or needs == f"norm={norm}"
    assert info["training"]["preset"] == name
    if form == "images":
        assert info["input_range"] == [binding.preset(name).info.input_low, 1]


# Options as the recipes' tables have them; "" = not given.
EXPECTED = {
    "safe": {"batch": "64", "labelled-batch": "", "chains": "64", "epochs": "150", "lr": "0.0001",
             "grad-clamp": "1", "no-x-clamp": "", "energy-l2": "0.1", "clip-norm": "5",
             "start": "uniform", "crop": "0", "capacity": "10000"},
    "jem2020": {"labelled-batch": "64", "sgld-steps": "20", "noise-std": "0.01", "warmup": "1000",
                "grad-clamp": "none", "no-x-clamp": "given", "crop": "1", "flip": "given",
                "augment-data": "given", "schedule": "step", "lr-factor": "0.3", "w-px": "1"},
    "jempp": {"optimizer": "sgd", "lr": "0.1", "weight-decay": "0.0004", "sgld-steps": "10",
              "noise-std": "0", "start": "gaussian", "start-rank": "32", "lr-factor": "0.2"},
    "sada": {"batch": "64", "labelled-batch": "128", "epochs": "100", "sam-rho": "2",
             "sam-adaptive": "given", "augment-data": "", "input-noise": "0"},
    "mjem": {"energy-l2": "0.5", "noise-std": "0.001", "sgld-steps": "5", "sam-rho": "0"},
    "igebm": {"batch": "128", "labelled-batch": "", "w-pyx": "0", "step-size": "10",
              "grad-clamp": "0.01", "epochs": "10", "schedule": "constant", "energy-l2": "1"},
    "classifier": {"w-px": "0", "energy-l2": "0", "w-pyx": "1", "crop": "1", "flip": "given"},
}


@pytest.mark.parametrize("name", PRESETS)
def test_recipe_is_the_default(idx, name, tmp_path):
    options, _ = start(idx, tmp_path, "--preset", name, "--arch",
                       "mlp-4:" + (binding.preset(name).info.arch_options or "norm=none"),
                       "--stop-after", 1, "--limit", 128)
    assert {key: options[key] for key in EXPECTED[name]} == EXPECTED[name]


OVERRIDES = [
    ("jem2020", ["--crop", 0, "--lr", 0.5], {"crop": "0", "lr": "0.5", "flip": "given"}),
    ("jem2020", ["--no-augment"], {"crop": "0", "flip": "", "augment-data": ""}),
    ("jem2020", ["--x-low", -2], {"x-low": "-2", "no-x-clamp": ""}),
    ("jem2020", ["--w-pyx", 0], {"w-pyx": "0", "labelled-batch": ""}),
    ("jem2020", ["--classifier"], {"w-px": "0", "energy-l2": "0"}),
    ("jempp", ["--start", "uniform"], {"start": "uniform", "start-rank": "0"}),
    ("jempp", ["--matched-noise"], {"matched-noise": "given", "noise-std": ""}),
    ("sada", ["--sam-rho", 0], {"sam-rho": "0", "sam-adaptive": ""}),
    ("sada", ["--labelled-batch", 9, "--batch", 8],
     {"labelled-batch": "9", "batch": "8", "chains": "8"}),
    ("safe", ["--schedule", "cosine", "--lr-floor", 0.1], {"schedule": "cosine"}),
]


@pytest.mark.parametrize("name, given, expected", OVERRIDES, ids=lambda v: str(v)[:30])
def test_given_options_win(idx, name, given, expected, tmp_path):
    options, _ = start(idx, tmp_path, "--preset", name, "--steps", 1, "--sgld-steps", 1,
                       "--capacity", 200, *given)
    assert {key: options[key] for key in expected} == expected
    assert options["epochs"] == "" and options["steps"] == "1"


def first_rates(idx, tmp_path, *options):
    jem("train", "--data", idx, "--out", tmp_path / "m", "--log", tmp_path / "log", "--arch",
        "mlp-4:norm=batch", "--steps", 10, "--sgld-steps", 1, "--capacity", 200, "--warmup", 0,
        *options)
    return [json.loads(line)["lr"] for line in (tmp_path / "log").read_text().splitlines()]


def test_milestones_of_the_recipe(idx, tmp_path):
    rates = first_rates(idx, tmp_path, "--preset", "mjem")
    np.testing.assert_allclose(rates, [0.1] * 3 + [0.02] * 3 + [0.004] * 3 + [0.0008], rtol=1e-6)
    rates = first_rates(idx, tmp_path, "--preset", "mjem", "--milestones", 0.5)
    np.testing.assert_allclose(rates, [0.1] * 5 + [0.02] * 5, rtol=1e-6)


def test_setting_that_no_option_has(tmp_path):
    """IGEBM's Adam has beta1 = 0. The same steps by the binding, on all rows at once."""
    data = write_npy(tmp_path / "data")
    x, y = np.load(data / "X.npy"), np.load(data / "y.npy")
    jem("train", "--data", data, "--out", tmp_path / "m", "--preset", "igebm", "--classifier",
        "--w-pyx", 1, "--input-noise", 0, "--arch", "mlp-4:norm=spectral", "--batch", len(x),
        "--steps", 4)
    twin = binding.Model.create("mlp-4:norm=spectral", 1, 3, height=8, width=8, input_low=0)
    before = twin.params
    optimizer = binding.Optimizer(twin, **binding.preset("igebm", twin).optimizer)
    for _ in range(4):
        binding.train_step(twin, optimizer, x_labelled=twin.input_from_u8(x, layout="nchw"),
                           y_labelled=y, w_px=0, energy_l2=0, input_noise=0)
    moved = np.abs(twin.params - before).max()
    # Adam divides by the gradient's size, so the order of a sum shows; momentum 0.9 is off by half.
    found = binding.Model.load(tmp_path / "m").params
    np.testing.assert_allclose(found, twin.params, rtol=0, atol=0.01 * moved)


@pytest.mark.parametrize("name, labels_matter", [("mjem", False), ("jempp", True)])
def test_starts_per_class_or_not(name, labels_matter, tmp_path):
    with_labels, without = write_npy(tmp_path / "a"), write_npy(tmp_path / "b")
    (without / "y.npy").unlink()
    made = []
    for data in (with_labels, without):
        jem("train", "--data", data, "--out", tmp_path / "m", "--preset", name, "--w-pyx", 0,
            "--classes", 3, "--arch", "mlp-4:norm=batch", *SHORT)
        made.append(binding.Model.load(tmp_path / "m").params)
    assert np.array_equal(*made) != labels_matter


# ---- refusals -----------------------------------------------------------------------------------


def test_refusals(idx, tmp_path):
    base = ["train", "--data", idx, "--out", tmp_path / "m"]
    message = jem(*base, "--preset", "sada", "--arch", "mlp-8", expect=2)
    assert "preset sada needs norm=batch; the model is mlp-8:act=lrelu with norm=none" in message
    message = jem(*base, "--preset", "jem2020", "--arch", "mlp-8:norm=layer", expect=2)
    assert "preset jem2020 needs norm=none; the model is mlp-8:act=lrelu,norm=layer" in message
    message = jem(*base, "--preset", "jem", expect=2)
    assert f'no preset "jem"; expected one of {", ".join(PRESETS)}' in message
    assert "all 0" in jem(*base, "--preset", "igebm", "--w-px", 0, "--energy-l2", 0,
                            expect=2)
    assert "--capacity" in jem(*base, "--preset", "safe", "--capacity", 63, expect=2)
    assert "--sam-rho" in jem(*base, "--preset", "safe", "--sam-adaptive", expect=2)
    assert os.listdir(tmp_path) == []


def test_preset_wants_labels_only_where_it_uses_them(tmp_path):
    data = write_npy(tmp_path / "data")
    (data / "y.npy").unlink()
    start(data, tmp_path, "--preset", "igebm", *SHORT)
    start(data, tmp_path, "--preset", "jem2020", "--w-pyx", 0, *SHORT)
    message = jem("train", "--data", data, "--out", tmp_path / "n", "--preset", "jem2020", expect=1)
    assert "no labels" in message


# ---- going on -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["safe", "sada", "igebm"])
def test_resumed_runs_are_the_same(idx, name, tmp_path):
    base = ["train", "--data", idx, "--preset", name, "--batch", 8, "--sgld-steps", 2, "--capacity",
            40, "--steps", 20]
    jem(*base, "--out", tmp_path / "whole")
    pieces = [*base, "--out", tmp_path / "m", "--checkpoint", tmp_path / "c"]
    jem(*pieces, "--stop-after", 7)
    assert "--lr is 0.3" in jem(*pieces, "--lr", 0.3, "--resume", expect=2)
    if name == "sada":
        other = ["mjem" if word == name else word for word in pieces]
        assert "--preset is mjem, but was sada" in jem(*other, "--resume", expect=2)
    jem(*pieces, "--resume")
    assert (tmp_path / "m").read_bytes() == (tmp_path / "whole").read_bytes()
