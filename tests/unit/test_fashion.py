"""examples/fashion: its metrics against closed forms, and the whole of it on tiny data."""

import json
import os
import pathlib
import sys

import numpy as np
import pytest
from cli_support import idx_images, idx_labels, images, write

sys.path.insert(0, str(pathlib.Path(os.environ["JEM_SOURCE"]) / "examples" / "fashion"))

import classification  # noqa: E402
import data  # noqa: E402
import fashion  # noqa: E402
import metrics  # noqa: E402
import picture  # noqa: E402
import recipe  # noqa: E402
import report  # noqa: E402
import samples  # noqa: E402
import tables  # noqa: E402
import targets  # noqa: E402
import training  # noqa: E402
import wide  # noqa: E402
from built import jem  # noqa: E402

STEPS, PER_CLASS = 6, 5
TINY = {"arch": "cnn-4-4-4", "batch": 8}
DETECTION = {"PROMISE": {"fpr": 0.3, "confidence": 0.5}, "PROMISES": [(0.3, 0.0), (0.3, 0.5)],
             "CALIBRATION_ROWS": [10, 20], "FITTED_PER_CLASS": [3], "WIDE_IMAGES": 20}


@pytest.fixture
def rng():
    return np.random.default_rng(5)


# ---- metrics ------------------------------------------------------------------------------------


def test_temperature_is_recovered(rng):
    logits = 3 * rng.normal(size=(20000, 10))
    labels = (logits + rng.gumbel(size=logits.shape)).argmax(axis=1)  # a draw of softmax(logits)
    assert metrics.best_temperature(2.5 * logits, labels) == pytest.approx(2.5, rel=0.03)


def test_cross_entropy_is_the_library_s(rng):
    logits = rng.normal(size=(50, 4)).astype(np.float32)
    labels = rng.integers(0, 4, 50)
    expected = jem.classification_metrics(logits, labels).nll
    assert metrics.cross_entropy(logits, labels) == pytest.approx(expected, rel=1e-6)


def test_frechet_distance_of_the_same_is_none(rng):
    rows = rng.normal(size=(40, 60))  # fewer rows than columns: singular
    assert metrics.frechet_distance(rows, rows) == pytest.approx(0, abs=1e-6)


def test_frechet_distance_of_a_shift_is_its_square(rng):
    rows = rng.normal(size=(200, 6)) @ rng.normal(size=(6, 6))
    shift = np.arange(6.0)
    assert metrics.frechet_distance(rows, rows + shift) == pytest.approx(shift @ shift, rel=1e-6)


def test_frechet_distance_of_matrices_that_do_not_commute(rng):
    a, b = (rng.normal(size=(300, 4)) @ rng.normal(size=(4, 4)) for _ in range(2))
    cov_a, cov_b = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    shift = a.mean(axis=0) - b.mean(axis=0)
    product = np.sqrt(np.linalg.eigvals(cov_a @ cov_b).real).sum()
    expected = shift @ shift + np.trace(cov_a + cov_b) - 2 * product
    assert metrics.frechet_distance(a, b) == pytest.approx(expected, rel=1e-9)


def test_distance_within_classes():
    x = np.array([[0.0, 0.0], [3.0, 4.0], [100.0, 0.0], [100.0, 1.0], [100.0, 3.0]])
    labels = np.array([0, 0, 1, 1, 1])
    assert metrics.within_class_distance(x, labels) == pytest.approx((5 + (1 + 2 + 3) / 3) / 2)


# ---- data ---------------------------------------------------------------------------------------


def test_resizing_aligns_the_centres():
    ramp = np.tile(np.arange(8.0), (1, 8, 1))
    middle = np.clip((np.arange(28) + 0.5) * 8 / 28 - 0.5, 0, 7)
    assert data.resized(ramp, 28)[0] == pytest.approx(np.tile(middle, (28, 1)))
    assert data.resized(ramp.swapaxes(1, 2), 28)[0] == pytest.approx(np.tile(middle, (28, 1)).T)


def test_digits_are_images():
    digits = data.digits()
    assert digits.shape == (1797, 1, 28, 28) and digits.dtype == np.uint8
    assert digits.min() == 0 and digits.max() == 255


def test_balanced_takes_the_first_of_each_class():
    y = np.arange(30) % 10
    some = data.Images(np.arange(30), y).balanced(2)
    assert some.x.tolist() == [i for label in range(10) for i in (label, label + 10)]
    with pytest.raises(ValueError, match="3 images; expected 4"):
        data.Images(np.arange(30), y).balanced(4)


# ---- samples, judge and picture -----------------------------------------------------------------


def test_chains_follow_their_class(tmp_path, rng):
    some = data.Images(rng.integers(0, 256, (40, 1, 8, 8)).astype(np.uint8), np.arange(40) % 10)
    labels = np.repeat(np.arange(10), 3)
    chain = {"start": "gaussian", "step_size": 50.0, "noise_std": 0.0}
    with jem.Model.create("cnn-4-8", 1, 10, height=8, width=8, seed=3) as model:
        model.save(tmp_path / "m")
        starts, ends = samples.draw(tmp_path / "m", some, 3, 1, chain, seed=4)
        with jem.Sampler(model, seed=4, capacity=1, x_low=-1, x_high=1, **chain) as sampler:
            sampler.fit(model.input_from_u8(some.x), some.y)
            x = sampler.start(30, labels)
        moved = x - 50 * model.energy_grad(x, labels)[1]
        assert (starts == model.input_to_u8(x)).all()
        assert (np.abs(ends.astype(int) - model.input_to_u8(moved)) <= 1).all()
        assert (starts != ends).mean() > 0.3


@pytest.mark.parametrize("arch", ["cnn-4-8", "wrn-10-1"])
def test_the_judge_s_features_are_what_its_head_sees(arch, tmp_path, rng):
    with jem.Model.create(arch, 1, 10, height=8, width=8, seed=3) as model:
        model.save(tmp_path / "m")
        head, bias = model.get_tensor("head.weight"), model.get_tensor("head.bias")
        x = rng.integers(0, 256, (5, 1, 8, 8)).astype(np.uint8)
        features = samples.Judge(tmp_path / "m", 1).features(x)
        assert features.shape == (5, head.shape[1])
        logits = model.logits(model.input_from_u8(x))
        assert features @ head.T + bias == pytest.approx(logits, abs=1e-5)


def test_nearest_is_by_distance(rng):
    training_images = rng.integers(0, 256, (50, 1, 6, 6)).astype(np.uint8)
    x = np.clip(training_images[[7, 3, 30]].astype(int) + 2, 0, 255).astype(np.uint8)
    assert (picture.nearest(x, training_images) == training_images[[7, 3, 30]]).all()


def test_mosaic_goes_row_by_row():
    x = np.arange(6, dtype=np.uint8).reshape(6, 1, 1, 1) * np.ones((1, 1, 3, 4), np.uint8)
    made = picture.mosaic(x, 3)
    step = np.array([3, 4]) + picture.GAP
    assert made.shape == (2 * step[0], 3 * step[1])
    assert made[:: step[0], :: step[1]].tolist() == [[0, 1, 2], [3, 4, 5]]


# ---- reports ------------------------------------------------------------------------------------


def test_median_is_of_each_figure():
    reports = [{"a": {"b": value, "c": "text"}} for value in (1.0, 5.0, 2.0)]
    assert tables.median(reports) == {"a": {"b": 2.0, "c": "text"}}


def test_median_goes_through_lists_and_keeps_what_is_always_the_same():
    reports = [{"n": 7, "rows": [{"a": value}, {"a": 0.5}]} for value in (1.0, 5.0, 2.0, 4.0)]
    made = tables.median(reports)
    assert made == {"n": 7, "rows": [{"a": 3.0}, {"a": 0.5}]} and isinstance(made["n"], int)


def made_up(accuracy, twin, frechet, of_starts=10.0):
    return {"models": {"jem": {"accuracy": accuracy}, "twin": {"accuracy": twin}},
            "samples": {"samples": {"frechet": frechet}, "starts": {"frechet": of_starts}}}


@pytest.mark.parametrize("text, report_, met", [
    ("accuracy", made_up(0.9001, 0, 0), True),
    ("accuracy", made_up(0.8999, 0, 0), False),
    ("accuracy above the twin's", made_up(0.90, 0.914, 0), True),
    ("accuracy above the twin's", made_up(0.90, 0.916, 0), False),
    ("Frechet distance, samples over starts", made_up(0, 0, 4.9), True),
    ("Frechet distance, samples over starts", made_up(0, 0, 5.1), False),
])
def test_targets(text, report_, met):
    (target,) = [target for target in targets.TARGETS if target.text == text]
    assert target.applies(report_) and target.met(target.figure(report_)) == met


def row_of(text, reports):
    (row,) = [line for line in tables.targets(reports).splitlines() if line.startswith(f"| {text}")]
    return [cell.strip() for cell in row.split("|")[3:-1]]


def test_medians_are_of_the_figures_of_the_runs():
    """Figures of the medians would be -2.00% and 0.600, and miss the bounds."""
    runs = [made_up(0.90, 0.90, 2.0, 10.0), made_up(0.91, 0.93, 6.0, 20.0),
            made_up(0.95, 0.93, 6.5, 5.0)]
    figures = ["0.00%", "-2.00%", "2.00%"]
    assert row_of("accuracy above the twin's", runs) == ["0.00%", "met", *figures]
    figures = ["0.200", "0.300", "1.300"]
    assert row_of("Frechet distance", runs) == ["0.300", "met", *figures]


def with_areas(*areas):
    """Of a run whose twin has 0.5 on all sets."""
    energies = [{"energy": area} for area in areas]
    models = {"jem": energies, "twin": [{"energy": 0.5}] * len(energies)}
    return {"models": {name: {"auroc": dict(zip(classification.OOD_SETS, row))}
                       for name, row in models.items()}}


def test_gains_in_auroc_are_of_the_medians_of_each_set():
    """A set is bad by its median, not by the run that was worst on it."""
    runs = [with_areas(0.4, *[0.6] * 5), with_areas(*[0.6] * 5, 0.4), with_areas(*[0.6] * 6)]
    figures = ["-0.100", "-0.100", "0.100"]
    start = "AUROC of F(x) above the twin's, "
    assert row_of(f"{start}worst set (from medians", runs) == ["0.100", "met", *figures]
    figures = ["0.067", "0.067", "0.100"]
    assert row_of(f"{start}mean of the sets (from medians", runs) == ["0.100", "met", *figures]


def test_targets_of_what_is_missing_do_not_apply():
    applying = {target.text for target in targets.TARGETS
                if target.applies({"models": {"jem": {"accuracy": 1.0}}})}
    assert applying == {"accuracy"}


# ---- the whole ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """A folder of images like Fashion-MNIST's, 240 to train on."""
    folder = tmp_path_factory.mktemp("tiny")
    for split, n, seed in (("train", 240, 1), ("t10k", 60, 2)):
        x, y = images(n, seed, side=28, classes=10)
        write(folder / f"{split}-images-idx3-ubyte", idx_images(x))
        write(folder / f"{split}-labels-idx1-ubyte.gz", idx_labels(y), packed=True)
    return folder


@pytest.fixture
def small(monkeypatch):
    for name in ("JEM", "TWIN", "JUDGE"):
        monkeypatch.setattr(recipe, name, getattr(recipe, name) | TINY)
    for name, value in DETECTION.items():
        monkeypatch.setattr(recipe, name, value)


def run(monkeypatch, *options):
    monkeypatch.setattr(sys, "argv", ["fashion.py", *map(str, options)])
    fashion.main()


def of_tiny(tiny, out, *options):
    return ["--data", tiny, "--out", out, "--steps", STEPS, "--per-class", PER_CLASS,
            "--sample-steps", 3, "--threads", 1, *options]


def test_the_last_twelfth_is_held_out(tiny):
    split = data.load(tiny)
    x, y = images(240, 1, side=28, classes=10)
    assert (split.training.x == x[:220]).all() and (split.held_out.x == x[220:]).all()
    assert (split.held_out.y == y[220:]).all() and len(split.test) == 60


def check_report(made):
    assert set(made["models"]) == {"jem", "twin"}
    for model in made["models"].values():
        assert list(model["auroc"]) == classification.OOD_SETS
        assert {"accuracy", "nll", "ece", "temperature", "ece_scaled"} <= set(model)
        assert model["steps"] == STEPS and model["rollbacks"] == 0
    rows = made["samples"]
    assert list(rows) == ["test", "training", "starts", "samples", "samples, chains in bf16"]
    assert rows["test"]["frechet"] == pytest.approx(0, abs=1e-6)
    assert rows["test"]["distance_ratio"] == 1
    assert rows["training"]["frechet"] > 0
    assert rows["starts"] != rows["samples"]
    assert set(made["detection"]["models"]) == {"jem", "twin"}
    assert list(made["detection"]["sets"]) == [kind.name for kind in wide.SETS]
    assert all(target.applies(made) for target in targets.TARGETS)


def check_temperature(made, out, held_out):
    with jem.Model.load(out / "twin.safetensors") as model:
        logits = model.logits(model.input_from_u8(held_out.x))
    assert (made["models"]["twin"]["temperature"]
            == pytest.approx(metrics.best_temperature(logits, held_out.y), rel=1e-3))


def test_one_command_makes_everything(tiny, small, tmp_path, monkeypatch, capfd):
    out = tmp_path / "run"
    run(monkeypatch, *of_tiny(tiny, out))
    printed = capfd.readouterr().out
    made = json.loads((out / "report.json").read_text())
    check_report(made)
    check_temperature(made, out, data.load(tiny).held_out)
    assert printed.endswith((out / "report.md").read_text())
    with jem.Model.load(out / "twin.detector.safetensors") as model:
        assert jem.Detector.of(model).info.confidence == 0.5
    assert all(target.text in printed for target in targets.TARGETS)
    assert (out / "fashion.png").read_bytes().startswith(b"\x89PNG")

    models = {path: path.stat().st_mtime_ns for path in out.glob("*.safetensors")
              if "detector" not in path.name}
    run(monkeypatch, *of_tiny(tiny, out))
    assert capfd.readouterr().out.count("is there already") == len(models) == 3
    assert models == {path: path.stat().st_mtime_ns for path in models}
    with pytest.raises(SystemExit, match="other settings"):
        run(monkeypatch, *of_tiny(tiny, out, "--seed", 1))

    other = tmp_path / "bf16"
    run(monkeypatch, *of_tiny(tiny, other, "--seed", 1, "--judge", out / "judge.safetensors",
                              "--precision-chains", "bf16"))
    assert not (other / "judge.safetensors").exists()
    assert (other / "jem.safetensors").read_bytes() != (out / "jem.safetensors").read_bytes()
    capfd.readouterr()
    run(monkeypatch, "--summary", out, out, "--beside", other)
    printed = capfd.readouterr().out
    assert "F(x) jem bf16" in printed and "| samples, trained in bf16 |" in printed
    assert "run 2" in printed


def test_report_of_a_model_at_hand(tiny, small, tmp_path, monkeypatch):
    for name in ("m", "judge"):
        with jem.Model.create("mlp-4", 1, 10, height=28, width=28) as model:
            model.save(tmp_path / name)
    monkeypatch.setattr(sys, "argv", ["report.py", "--jem", str(tmp_path / "m"), "--judge",
                                      str(tmp_path / "judge"), "--out", str(tmp_path), "--data",
                                      str(tiny), "--per-class", "2", "--sample-steps", "1",
                                      "--chain", "step-size=0.5", "start-rank=2",
                                      "start=mixture"])
    report.main()
    made = json.loads((tmp_path / "report.json").read_text())
    assert set(made["models"]) == set(made["detection"]["models"]) == {"jem"}
    assert made["chain"] == recipe.SAMPLE_CHAIN | {"steps": 1, "step-size": 0.5,
                                                    "start-rank": 2, "start": "mixture"}


@pytest.mark.parametrize("lost", [False, True], ids=["whole", "one before"])
def test_an_interrupted_training_goes_on(tiny, tmp_path, monkeypatch, lost):
    """Also where only the checkpoint before the last is left."""
    def train(name):
        options = recipe.JEM | TINY | {"steps": STEPS}
        training.train(tmp_path / f"{name}.safetensors", options, str(tiny), 220, 1)

    def stopped(command):
        whole([*command, "--stop-after", "2"])
        sys.exit("stopped")

    def resumed(command):
        assert "--resume" in command
        whole(command)

    whole = training.run
    train("straight")
    monkeypatch.setattr(training, "run", stopped)
    with pytest.raises(SystemExit, match="stopped"):
        train("pieces")
    assert not (tmp_path / "pieces.safetensors").exists()
    if lost:
        os.rename(tmp_path / "pieces.checkpoint", tmp_path / "pieces.checkpoint.prev")
    monkeypatch.setattr(training, "run", resumed)
    train("pieces")
    assert ((tmp_path / "pieces.safetensors").read_bytes()
            == (tmp_path / "straight.safetensors").read_bytes())
    assert training.history(tmp_path / "pieces.safetensors")["steps"] == STEPS


def test_a_failing_training_says_so(tiny, tmp_path, capfd):
    with pytest.raises(SystemExit, match="status"):
        training.train(tmp_path / "m.safetensors", {"arch": "nonsense"}, str(tiny), 220, 1)
    assert "nonsense" in capfd.readouterr().err
