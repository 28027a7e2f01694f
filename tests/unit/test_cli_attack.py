"""jem attack: its report, beside the same attacks by the Python binding, its arrays and its picture."""

import json
import os
import signal
import subprocess

import numpy as np
import pytest

import jem as binding
from cli_support import JEM, SIDE, idx, images, jem, model, pixels_of, write_idx

EPS = ["4/255", "0.45", "0.5", "1"]


def attack(model, idx, *options):
    return json.loads(jem("attack", "--model", model, "--data", idx, "--json", *options))


@pytest.fixture(scope="module")
def rows(model):
    """The model of the binding, test images as inputs, and their labels."""
    x, y = images(30, 2)
    with binding.Model.load(model) as loaded:
        yield loaded, loaded.input_from_u8(x), y


def test_accuracy_of_each_radius_is_that_of_the_binding(model, idx, rows, tmp_path):
    net, x, y = rows
    out = tmp_path / "found.npy"
    report = attack(model, idx, "--eps", *reversed(EPS), "--steps", 15, "--restarts", 2, "--seed", 4, "--out",
                    out)
    assert list(report["robust"]) == EPS and report["n"] == len(y) and report["norm"] == "linf"
    right = net.predict(x) == y
    distance = np.where(right, np.inf, 0).astype(np.float64)
    points = x.copy()
    assert report["accuracy"] == pytest.approx(right.mean())
    for name in EPS:
        eps = 4 / 255 if "/" in name else float(name)
        left = np.flatnonzero(np.isinf(distance))
        found = net.attack(x[left], y[left], eps=eps, steps=15, restarts=2, seed=4)
        distance[left[found.success]] = found.distance[found.success]
        points[left] = found.x
        row = report["robust"][name]
        assert row["eps"] == pytest.approx(eps)
        assert row["accuracy"] == pytest.approx(np.isinf(distance).mean()), name
    assert np.array_equal(np.load(out), points)
    assert (net.predict(np.load(out)) != y).mean() == 1 - report["robust"]["1"]["accuracy"]
    assert report["median_distance"] == pytest.approx(np.median(distance), rel=1e-6)
    accuracies = [report["accuracy"]] + [row["accuracy"] for row in report["robust"].values()]
    assert accuracies == sorted(accuracies, reverse=True) and len(set(accuracies)) > 2


@pytest.mark.parametrize("kind, norm, radii", [("boundary", "l2", [0.2, 1, 3]),
                                               ("pointwise", "l0", [1, 4, 30])])
def test_one_search_for_the_nearest_serves_all_radii(model, idx, rows, kind, norm, radii):
    net, x, y = rows
    report = attack(model, idx, "--attack", kind, "--steps", 150, "--eps", *radii)
    assert report["norm"] == norm
    right = np.flatnonzero(net.predict(x) == y)
    distance = np.zeros(len(x))
    distance[right] = net.attack(x[right], y[right], kind=kind, norm=norm, eps=np.inf,
                                 steps=150).distance
    for radius in radii:
        expected = (distance > np.float32(radius)).mean()
        assert report["robust"][str(radius)]["accuracy"] == pytest.approx(expected)
    assert report["median_distance"] == pytest.approx(np.median(distance), rel=1e-6)


@pytest.mark.parametrize("kind, eps", [("apgd", "0.5"), ("square", "0.7")])
def test_other_kinds_and_refinement(model, idx, rows, kind, eps):
    net, x, y = rows
    refinement = {"refine_steps": 2, "refine_samples": 2, "refine_noise_std": 0.5}
    options = [word for name, value in refinement.items()
               for word in ("--" + name.replace("_steps", "").replace("_", "-"), value)]
    common = ["--attack", kind, "--steps", 30, "--eps", eps]
    plain = attack(model, idx, *common)
    refined = attack(model, idx, *common, *options)
    assert plain["attack"] == kind
    assert plain["robust"][eps]["accuracy"] < 1
    clean = net.attack(x, y, eps=0, steps=1, **refinement).success
    found = net.attack(x[~clean], y[~clean], kind=kind, eps=float(eps), steps=30, **refinement)
    assert refined["accuracy"] == pytest.approx((~clean).mean())
    assert refined["robust"][eps]["accuracy"] == pytest.approx((~found.success).sum() / len(x))
    assert refined != plain


def test_batches_and_limit(tmp_path, model, rows):
    """More rows than a batch has: the later ones are attacked with numbers of their own."""
    net = rows[0]
    data = write_idx(tmp_path / "many", n_test=300)
    x, y = images(300, 2)
    whole = attack(model, data, "--eps", 0.2, "--steps", 5, "--out", tmp_path / "a.npy")
    some = attack(model, data, "--eps", 0.2, "--steps", 5, "--limit", 270, "--out",
                  tmp_path / "b.npy")
    assert (whole["n"], some["n"]) == (300, 270) and whole["accuracy"] == 1
    assert np.array_equal(np.load(tmp_path / "a.npy")[:270], np.load(tmp_path / "b.npy"))
    expected = net.attack(net.input_from_u8(x), y, eps=0.2, steps=5)
    assert np.array_equal(np.load(tmp_path / "a.npy"), expected.x)


def test_table_and_usual_radii(model, idx):
    text = jem("attack", "--model", model, "--data", idx, "--steps", 3)
    lines = text.splitlines()
    first = [i for i, line in enumerate(lines) if line.startswith("radius")][0]
    assert [line.split()[0] for line in lines[first + 1:first + 7]] == [
        f"{n}/255" for n in (2, 4, 8, 16, 32, 64)]
    assert len({len(line) for line in lines[first:first + 7]}) == 1
    assert "attack             pgd" in text and "\nmedian distance" in text


# ---- the picture -------------------------------------------------------------------------------


def test_the_curve_lies_where_the_accuracies_are(model, idx, tmp_path):
    picture = tmp_path / "curve.png"
    report = attack(model, idx, "--eps", *EPS, "--steps", 10, "--png", picture)
    image = pixels_of(picture).astype(int)
    blue = image[:, :, 2] - image[:, :, 0] > 100
    left, right, top, bottom = 72, 608, 48, 348  # of the frame, in plot.c
    edge = 2  # around the picture, in png_grid.c
    points = [(0, report["accuracy"])] + [(row["eps"], row["accuracy"])
                                          for row in report["robust"].values()]
    for eps, accuracy in points:
        x = round(left + eps * (right - left)) + edge
        y = round(bottom - accuracy * (bottom - top)) + edge
        assert blue[y - 1:y + 2, x - 1:x + 2].all(), (eps, accuracy)
    columns = blue.any(axis=0)
    assert columns[left + edge:right + edge].all()  # one line without gaps
    assert not columns[:left - 8].any() and not blue[:, right + 12:].any()
    assert (image[bottom + edge, left + edge:right + edge] < 120).all() or blue[bottom + edge].any()


# ---- refusals ----------------------------------------------------------------------------------


@pytest.mark.parametrize("options, word", [
    (["--eps", "x"], "--eps is x; expected a number of 0 or more, or a fraction"),
    (["--eps", "-0.1"], "--eps"),
    (["--eps", "8/0"], "--eps is 8/0"),
    (["--eps", "8/255/2"], "--eps is 8/255/2"),
    (["--eps", "1e99"], "--eps is 1e99"),
    (["--eps", "0.5", "1/2"], "--eps names"),
    (["--steps", "0"], '--steps is "0"'),
    (["--refine-step-size", "0"], "--refine-step-size"),
    (["--out", "-"], "report is written to standard output"),
])
def test_usage(model, idx, options, word):
    assert word in jem("attack", "--model", model, "--data", idx, *options, expect=2)


def test_norms_of_an_attack(model, idx):
    assert "JEM_ATTACK_SQUARE takes JEM_NORM_LINF" in jem(
        "attack", "--model", model, "--data", idx, "--attack", "square", "--norm", "l2", expect=1)


def test_data_without_labels_and_models_of_one_class(model, idx, tmp_path):
    np.save(tmp_path / "X.npy", images(5, 1)[0])
    assert "has no labels" in jem("attack", "--model", model, "--data", tmp_path, expect=1)
    with binding.Model.create("cnn-4", channels=1, height=SIDE, width=SIDE, classes=1) as one:
        one.save(tmp_path / "one.safetensors")
    assert "has one class" in jem("attack", "--model", tmp_path / "one.safetensors", "--data", idx,
                                  expect=1)


def test_a_signal_stops_it(model, idx, tmp_path):
    out = tmp_path / "x.npy"
    process = subprocess.Popen(
        [JEM, "attack", "--model", model, "--data", idx, "--attack", "boundary", "--steps",
         "1000000", "--out", out], stderr=subprocess.PIPE, text=True)
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(2)
    os.kill(process.pid, signal.SIGINT)
    assert process.wait(60) == 130
    assert "stopped by Ctrl-C; nothing was written" in process.stderr.read()
    assert not out.exists()
