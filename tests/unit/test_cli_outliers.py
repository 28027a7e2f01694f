"""jem train --outliers: rows that are none of the data are read, used, described and compared."""

import json
import os

import numpy as np
import pytest

from cli_support import CLASSES, SIDE, idx, images, jem, train  # noqa: F401 (idx is a fixture)


@pytest.fixture(scope="module")
def outliers(tmp_path_factory):
    """Dark images with bright columns, and labels of classes that the data do not have."""
    folder = tmp_path_factory.mktemp("outliers")
    rng = np.random.default_rng(5)
    x = rng.integers(0, 90, (40, 1, SIDE, SIDE))
    x[:, :, :, ::3] += 150
    np.save(folder / "X.npy", x.astype(np.uint8))
    np.save(folder / "y.npy", np.full(len(x), 2 * CLASSES))
    return folder


def mean_energy(model, x, folder):
    np.save(folder / "in.npy", (x / np.float32(127.5) - 1).astype(np.float32))
    jem("energy", "--model", model, "--in", folder / "in.npy", "--out", folder / "e.npy")
    return np.load(folder / "e.npy").mean()


@pytest.mark.parametrize("options", [["--classifier"], [], ["--w-pyx", 0, "--start", "uniform"]],
                         ids=["classifier", "all terms", "density"])
def test_energies_move_apart(idx, outliers, tmp_path, options):
    folder = tmp_path / "test"
    folder.mkdir()
    x_out = np.load(outliers / "X.npy")
    x_in, _ = images(30, 2)
    model = tmp_path / "m"
    train(idx, model, *options, "--outliers", outliers, "--outlier-weight", 2, steps=200)
    assert mean_energy(model, x_in, folder) < -4
    assert mean_energy(model, x_out, folder) > -1
    training = json.loads(jem("info", "--model", model, "--json"))["training"]
    assert training["w_outlier"] == 2 and training["outliers"] == str(outliers)
    assert training["outlier_m_in"] == -5 and training["outlier_m_out"] == 0


def test_log_and_default_weight(idx, outliers, tmp_path):
    log = tmp_path / "log"
    train(idx, tmp_path / "m", "--outliers", outliers, "--log", log)
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert lines[0]["loss_outlier"] > 0 and lines[0]["f_outliers"] != 0
    terms = ["px", "pyx", "pxy", "l2", "outlier"]
    assert lines[0]["loss"] == pytest.approx(sum(lines[0][f"loss_{t}"] for t in terms), rel=1e-5)
    training = json.loads(jem("info", "--model", tmp_path / "m", "--json"))["training"]
    assert training["w_outlier"] == 0.1
    train(idx, tmp_path / "plain", "--log", log)
    assert json.loads(log.read_text().splitlines()[0])["loss_outlier"] == 0
    assert "w_outlier" not in json.loads(jem("info", "--model", tmp_path / "plain", "--json"))[
        "training"]


@pytest.mark.parametrize("options", [[], ["--labels-per-class", 3, "--labelled-batch", 5]],
                         ids=["all labels", "few labels"])
def test_pieces_make_the_whole(idx, outliers, tmp_path, options):
    options = ["--outliers", outliers, *options]
    train(idx, tmp_path / "whole", *options)
    pieces = [*options, "--checkpoint", tmp_path / "c"]
    train(idx, tmp_path / "m", *pieces, "--stop-after", 11)
    train(idx, tmp_path / "m", *pieces, "--resume")
    assert (tmp_path / "m").read_bytes() == (tmp_path / "whole").read_bytes()


def test_resume_wants_the_same(idx, outliers, tmp_path):
    def run(*options, expect=0):
        args = ["train", "--data", idx, "--arch", "mlp-8", "--out", tmp_path / "m", "--steps", 8,
                "--sgld-steps", 1, "--checkpoint", tmp_path / "c", *options]
        return jem(*args, expect=expect)

    x = np.load(outliers / "X.npy")
    np.save(tmp_path / "same.npy", x)
    np.save(tmp_path / "other.npy", x[::-1])
    run("--outliers", outliers, "--stop-after", 4)
    more = ["--resume", "--outliers"]
    assert "other outliers" in run(*more, tmp_path / "other.npy", expect=2)
    assert "--outlier-out is 1, but was 0" in run(*more, outliers, "--outlier-out", 1, expect=2)
    assert "--outlier-weight is not given" in run("--resume", expect=2)
    run(*more, tmp_path / "same.npy")  # a copy, as of --data
    os.remove(tmp_path / "c")
    os.remove(tmp_path / "c.prev")
    run("--stop-after", 4)
    assert "--outlier-weight is 0.1, but was not given" in run(*more, outliers, expect=2)


REFUSED = [
    (["--outlier-weight", 1], 2, "expected --outliers"),
    (["--outliers", "{0}/nothing"], 1, "does not exist"),
    (["--outliers", "{0}/wide.npy"], 1, "rows of 1x8x9; expected 1x8x8"),
    (["--outliers", "{0}/nan.npy"], 1, "NaN or infinity in row 1"),
    (["--outliers", "{0}", "--outlier-weight", 0], 2, "--outlier-weight"),
    (["--outliers", "{0}", "--outlier-in", 3], 2, "--outlier-in is 3; expected less than"),
    (["--outliers", "-", "--data", "-"], 2, "both -"),
]


@pytest.mark.parametrize("options, code, message", REFUSED, ids=[row[2] for row in REFUSED])
def test_refused(idx, outliers, tmp_path, options, code, message):
    np.save(outliers / "wide.npy", np.zeros((4, 8, 9), np.uint8))
    bad = np.zeros((4, 8, 8), np.float32)
    bad[1, 2, 3] = np.nan
    np.save(outliers / "nan.npy", bad)
    options = [str(option).format(outliers) for option in options]
    line = jem("train", "--data", idx, "--out", tmp_path / "m", *options, expect=code)
    assert message in line
    assert not os.path.exists(tmp_path / "m")
