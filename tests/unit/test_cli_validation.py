"""jem train --validation: rows held out, the best model that they choose, its temperature."""

import json
import os
import subprocess

import numpy as np
import pytest

from cli_support import CLASSES, JEM, SIDE, images, jem, last_of, write_idx, write_npy

# Overlapping classes, one of which has but one row: figures go up and down.
COUNTS = [200, 60, 39, 1]


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    folder = tmp_path_factory.mktemp("table")
    rng = np.random.default_rng(1)
    y = rng.permutation(np.repeat(range(len(COUNTS)), COUNTS))
    x = rng.normal(size=(len(y), 4)) + 1.2 * np.eye(4)[y]
    np.save(folder / "X.npy", x.astype(np.float32))
    np.save(folder / "y.npy", y)
    return folder


def command(data, out, *options, steps=160):
    return last_of(["train", "--data", data, "--arch", "mlp-8", "--steps", steps, "--batch", 16,
                    "--sgld-steps", 1, "--chains", 6, "--capacity", 30, "--threads", 1,
                    "--schedule", "constant", "--out", out, *options])


def run(data, out, *options, **how):
    """What jem train said, on both streams."""
    result = subprocess.run([JEM, *command(data, out, *options, **how)], capture_output=True,
                            text=True, check=False)
    assert result.returncode == 0, result.stderr
    return result.stdout + result.stderr


def info(model):
    return json.loads(jem("info", "--model", model, "--json"))


def lines_of(log):
    return [json.loads(line) for line in log.read_text().splitlines()]


def parameters(model):
    """The bytes of all tensors."""
    content = model.read_bytes()
    return content[8 + int.from_bytes(content[:8], "little"):]


# ---- which rows ---------------------------------------------------------------------------------


def test_default_without_test_rows(table, tmp_path):
    said = run(table, tmp_path / "m")
    assert "has no test rows of its own: 29 of its 300 rows are held out" in said
    assert "--validation 0 trains on all" in said and "271 rows of 4 features" in said
    assert "accuracy" in said and "on 29 rows held out" in said
    assert info(tmp_path / "m")["training"]["validation"]["rows"] == 29
    assert "held out" not in run(table, tmp_path / "m", "--validation", 0)
    assert "validation" not in info(tmp_path / "m")["training"]
    for options in (["--w-pyx", 0, "--start", "uniform"], ["--labels-per-class", 5],
                    ["--limit", 199]):
        assert "held out" not in run(table, tmp_path / "m", *options, steps=2)
    assert "of its 200 rows are held out" in run(table, tmp_path / "m", "--limit", 200, steps=2)


def test_none_where_there_are_test_rows(tmp_path):
    x, y = images(210, 1)
    for name, make in {"idx": write_idx, "npy": write_npy}.items():
        data = make(tmp_path / name, **({"n_train": 210} if name == "idx" else {}))
        if name == "npy":
            np.save(data / "X.npy", x)
            np.save(data / "y.npy", y)
        assert "held out" not in run(data, tmp_path / "plain", steps=20)
        run(data, tmp_path / "m", "--validation", 0, steps=20)
        assert (tmp_path / "m").read_bytes() == (tmp_path / "plain").read_bytes()
        said = run(data, tmp_path / "m", "--validation", 0.3, steps=20)
        assert "63 of 210 rows are held out" in said and "147 rows of" in said
    data = write_idx(tmp_path / "no test", n_train=210)
    for name in os.listdir(data):
        if name.startswith("t10k"):
            os.remove(data / name)
    assert "21 of its 210 rows are held out" in run(data, tmp_path / "m", steps=2)


def test_each_class_gives_its_part(tmp_path):
    """Rows are alike within a class, so that accuracies count classes."""
    y = np.repeat(range(10), 30)
    np.save(tmp_path / "X.npy", np.random.default_rng(3).normal(size=(10, 9))[y])
    np.save(tmp_path / "y.npy", y)
    found = []
    for seed in range(5):
        run(tmp_path, tmp_path / "m", "--classifier", "--input-noise", 0, "--batch", 1000, "--lr",
            1e-12, "--log", tmp_path / "log", "--seed", seed, "--arch", "mlp-200", steps=50)
        last = lines_of(tmp_path / "log")[-1]
        assert last["val_accuracy"] == pytest.approx(last["accuracy"], abs=1e-6)
        found.append(last["accuracy"])
    assert any(0 < accuracy < 1 for accuracy in found)


def test_rows_held_out_do_not_train(tmp_path):
    x, y = images(16, 1)
    np.save(tmp_path / "X.npy", x)
    options = ["--validation", 0.25, "--keep-best", "none", "--start", "uniform"]

    def trained(labels):
        np.save(tmp_path / "y.npy", labels)
        run(tmp_path, tmp_path / "m", *options, steps=4)
        return parameters(tmp_path / "m")

    whole, held_out = trained(y), 0
    for row in range(len(y)):
        x_row = x.copy()
        x_row[row] = 255 - x_row[row]
        np.save(tmp_path / "X.npy", x_row)
        held_out += trained(y) == whole
    assert held_out == 4


# ---- figures and the best -----------------------------------------------------------------------

WILD = ["--lr", 0.05, "--classifier", "--no-guard"]


def test_intervals(table, tmp_path):
    log = tmp_path / "log"
    run(table, tmp_path / "m", "--log", log, steps=130)
    assert [line["step"] for line in lines_of(log) if "val_nll" in line] == [50, 100]
    run(table, tmp_path / "m", "--log", log, "--batch", 4, steps=140)  # a pass is 67 steps
    assert [line["step"] for line in lines_of(log) if "val_nll" in line] == [67, 134]
    assert all(0 < line["val_accuracy"] < 1 for line in lines_of(log) if "val_nll" in line)


@pytest.mark.parametrize("keep", ["accuracy", "nll"])
@pytest.mark.parametrize("average", [[], ["--ema", 0.9]], ids=["last", "average"])
def test_the_best_is_kept(table, tmp_path, keep, average):
    log, out = tmp_path / "log", tmp_path / "m"
    options = [*WILD, *average, "--validation", 0.3]
    run(table, out, *options, "--keep-best", keep, "--log", log, steps=400)
    found = [(line["step"], line[f"val_{keep}"]) for line in lines_of(log) if "val_nll" in line]
    best = max(value for _, value in found) if keep == "accuracy" else min(v for _, v in found)
    step = max(s for s, value in found if value == best)
    assert step < 400 and len(found) == 8  # or this proves nothing: choose another rate
    kept = info(out)["training"]
    assert kept["steps"] == 400 and kept["validation"]["step"] == step
    assert kept["validation"][keep] == pytest.approx(best, rel=1e-4)
    run(table, tmp_path / "then", *options, "--keep-best", "none", steps=step)
    assert parameters(out) == parameters(tmp_path / "then")


def test_the_average_is_what_is_judged(table, tmp_path):
    found = []
    for average in ([], ["--ema", 0.99]):  # of the same steps
        run(table, tmp_path / "m", *WILD, *average, "--log", tmp_path / "log", steps=50)
        found.append(lines_of(tmp_path / "log")[-1])
    assert found[0]["loss"] == found[1]["loss"] and found[0]["val_nll"] != found[1]["val_nll"]


def test_a_step_that_was_undone_is_judged_again(tmp_path):
    """A run that diverges after step 50, goes back to 30 and comes to 50 with other parameters."""
    log, data = tmp_path / "log", write_idx(tmp_path / "data")
    said = run(data, tmp_path / "m", "--optimizer", "sgd", "--clip-norm", "none", "--lr", 0.5,
               "--seed", 1, "--guard-every", 30, "--schedule", "step", "--batch", 8, "--sgld-steps",
               2, "--validation", 0.3, "--log", log, steps=400)
    assert "from step 55 to 30" in said  # or this proves nothing: choose another seed
    first, second = [line["val_nll"] for line in lines_of(log) if line["step"] == 50]
    assert first != second


def test_nothing_is_kept_unless_asked(table, tmp_path):
    options = [*WILD, "--keep-best", "none"]
    said = run(table, tmp_path / "m", *options)
    assert "validation of step 160" in said
    assert info(tmp_path / "m")["training"]["validation"]["step"] == 160


# ---- going on -----------------------------------------------------------------------------------

KINDS = {
    "accuracy": WILD,
    "nll": ["--keep-best", "nll", "--fit-temperature"],
    "average": [*WILD, "--ema", 0.9, "--keep-best", "nll"],
    "none": ["--keep-best", "none"],
}


@pytest.mark.parametrize("kind", KINDS)
def test_pieces_make_the_whole(table, tmp_path, kind):
    run(table, tmp_path / "whole", *KINDS[kind], "--log", tmp_path / "log of whole")
    pieces = [*KINDS[kind], "--checkpoint", tmp_path / "c", "--log", tmp_path / "log"]
    run(table, tmp_path / "m", *pieces, "--stop-after", 60)
    run(table, tmp_path / "m", *pieces, "--stop-after", 55, "--resume")
    run(table, tmp_path / "m", *pieces, "--resume")
    assert (tmp_path / "m").read_bytes() == (tmp_path / "whole").read_bytes()
    run(table, tmp_path / "m", *pieces, "--resume")  # there is nothing left to do
    assert (tmp_path / "m").read_bytes() == (tmp_path / "whole").read_bytes()
    figures = [[(line["step"], line.get("val_nll")) for line in lines_of(log)]
               for log in (tmp_path / "log", tmp_path / "log of whole")]
    assert figures[0] == figures[1]


def test_the_end_of_a_shorter_run_is_no_interval(table, tmp_path):
    """A run that goes on beyond its length chooses among the steps of one that had the other."""
    options = [*WILD, "--keep-best", "nll"]
    run(table, tmp_path / "whole", *options, steps=190)
    pieces = [*options, "--checkpoint", tmp_path / "c"]
    run(table, tmp_path / "m", *pieces, steps=70)
    run(table, tmp_path / "m", *pieces, "--resume", steps=190)
    assert (tmp_path / "m").read_bytes() == (tmp_path / "whole").read_bytes()


def test_resume_wants_the_same(table, tmp_path):
    pieces = ["--checkpoint", tmp_path / "c"]

    def refused(*options):
        return jem(*command(table, tmp_path / "m", *pieces, "--resume", *options), expect=2)

    run(table, tmp_path / "m", *pieces, "--stop-after", 60)
    assert "--validation is 0, but was 0.1" in refused("--validation", 0)
    assert "--keep-best is nll, but was accuracy" in refused("--keep-best", "nll")
    y = np.load(table / "y.npy")
    np.save(tmp_path / "X.npy", np.load(table / "X.npy"))
    np.save(tmp_path / "y.npy", np.where(np.arange(len(y)) == 7, 0, y))
    other = command(tmp_path, tmp_path / "m", *pieces, "--resume")
    assert y[7] == 0 or "other data" in jem(*other, expect=2)
    run(table, tmp_path / "m", *pieces, "--resume")


REFUSED = [
    (["--validation", 0.6], "from 0 to 0.5"),
    (["--validation", 0.003], "of 300 rows are none"),
    (["--validation", 0, "--keep-best", "nll"], "--keep-best has no rows"),
    (["--validation", 0, "--fit-temperature"], "--fit-temperature has no rows"),
    (["--validation", 0.1, "--w-pyx", 0, "--start", "uniform"], "labelled data"),
    (["--keep-best", "auroc"], "none, accuracy, nll"),
]


@pytest.mark.parametrize("options, word", REFUSED, ids=[row[1] for row in REFUSED])
def test_refused(table, tmp_path, options, word):
    assert word in jem(*command(table, tmp_path / "m", *options), expect=2)
    assert os.listdir(tmp_path) == []


# ---- temperature --------------------------------------------------------------------------------


def test_temperature(tmp_path):
    """A classifier that has learned random labels by heart is much too sure of itself."""
    x, _ = images(200, 1)
    y = np.random.default_rng(4).integers(0, CLASSES, len(x))
    np.save(tmp_path / "X.npy", x)
    np.save(tmp_path / "y.npy", y)
    out, options = tmp_path / "m", [*WILD, "--lr", 0.01, "--validation", 0.3, "--keep-best", "none",
                                    "--arch", "mlp-64"]
    run(tmp_path, tmp_path / "plain", *options, steps=300)
    said = run(tmp_path, out, *options, "--fit-temperature", steps=300)
    temperature = info(out)["temperature"]
    assert temperature > 3 and f"temperature {temperature:.4g}, fitted" in said
    assert info(tmp_path / "plain")["temperature"] == 1
    assert parameters(out) == parameters(tmp_path / "plain")
    x, y = images(90, 9)
    test = tmp_path / "test"
    test.mkdir()
    np.save(test / "X.npy", x)
    np.save(test / "y.npy", np.random.default_rng(5).integers(0, CLASSES, len(x)))

    def report(model):
        return json.loads(jem("eval", "--model", model, "--data", test, "--json"))

    sure, calibrated = report(tmp_path / "plain"), report(out)
    assert calibrated["nll"] < 0.8 * sure["nll"] and calibrated["ece"] < sure["ece"]
    assert calibrated["accuracy"] == sure["accuracy"] and calibrated["auroc"] == sure["auroc"]
    assert calibrated["temperature"] == temperature and "temperature" not in sure
