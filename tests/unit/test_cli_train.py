"""jem train: every form of data, options, schedules, labels, interruptions and divergence."""

import itertools
import json
import os
import re
import signal
import subprocess
import time

import numpy as np
import pytest
from cli_support import (CLASSES, JEM, OOD_SETS, SIDE, apply, idx, images, jem, last_of, png_header,
                         train, write_cifar, write_idx, write_npy, x_test)

# ---- train --------------------------------------------------------------------------------------

FORMS = {
    "idx": lambda d: write_idx(d),
    "idx-gz": lambda d: write_idx(d, packed=True),
    "idx-prefix": lambda d: write_idx(d, prefix="digits-") / "digits",
    "npy-u8": lambda d: write_npy(d),
    "npy-f4": lambda d: write_npy(d, np.float32),
    "npy-f8-one-split": lambda d: write_npy(d, np.float64, test=False),
}


@pytest.mark.parametrize("form", FORMS)
def test_train_and_eval_of_every_form(form, tmp_path):
    data = FORMS[form](tmp_path / "data")
    out = tmp_path / "m.safetensors"
    assert "30 steps" in train(data, out, "--lr", 0.01)
    info = json.loads(jem("info", "--model", out, "--json"))
    assert info["shape"] == [1, SIDE, SIDE] and len(info["classes"]) == CLASSES
    assert np.allclose(info["input_range"], [-1, 1], atol=0.01) or "npy-f" in form
    report = json.loads(jem("eval", "--model", out, "--data", data, "--json"))
    assert report["n"] == (60 if "one-split" in form else 30)
    assert report["accuracy"] > 0.8
    assert sorted(os.listdir(tmp_path)) == ["data", "m.safetensors"]


@pytest.mark.parametrize("classes", [10, 100])
def test_train_on_cifar(classes, tmp_path):
    data = write_cifar(tmp_path / "data", classes)
    # The fine labels are 0..2, the coarse ones 19.
    train(data, tmp_path / "few", "--classes", 3, steps=1)
    train(data, tmp_path / "m", steps=2)
    info = json.loads(jem("info", "--model", tmp_path / "m", "--json"))
    assert info["shape"] == [3, 32, 32] and len(info["classes"]) == classes
    assert info["classes"][0] == ("airplane" if classes == 10 else "0")
    report = json.loads(jem("eval", "--model", tmp_path / "m", "--data", data, "--json"))
    assert report["n"] == 8 and set(report["auroc"]) == set(OOD_SETS)
    jem("sample", "--model", tmp_path / "m", "--n", 4, "--steps", 2, "--png", tmp_path / "s.png")
    assert png_header(tmp_path / "s.png")[3] == 2  # colour


def test_fashion_class_names(tmp_path):
    data = write_idx(tmp_path / "my-fashion")
    train(data, tmp_path / "m", steps=1)
    names = json.loads(jem("info", "--model", tmp_path / "m", "--json"))["classes"]
    assert len(names) == 10 and names[0] == "T-shirt/top" and names[9] == "Ankle boot"


def test_tables(tmp_path):
    rng = np.random.default_rng(0)
    y = np.arange(90) % 2
    x = rng.normal(0, 1, (90, 5)) + 4 * y[:, None]
    np.save(tmp_path / "X.npy", x)
    np.save(tmp_path / "y.npy", y.astype(np.int32))
    train(tmp_path, tmp_path / "m", "--lr", 0.01, steps=60)
    info = json.loads(jem("info", "--model", tmp_path / "m", "--json"))
    assert info["shape"] == [5, 1, 1]
    assert np.allclose(info["input_range"], [x.min(), x.max()])
    report = json.loads(jem("eval", "--model", tmp_path / "m", "--data", tmp_path, "--json"))
    assert report["accuracy"] > 0.9 and set(report["auroc"]) == {"uniform", "interp", "inverted"}


def test_unlabelled_rows_train_a_pure_energy_model(tmp_path):
    np.save(tmp_path / "X.npy", images(40, 1)[0])
    message = jem("train", "--data", tmp_path, "--arch", "mlp-8", "--out", tmp_path / "m", expect=1)
    assert "no labels" in message
    train(tmp_path, tmp_path / "m", "--w-pyx", 0, steps=5)
    report = json.loads(jem("eval", "--model", tmp_path / "m", "--data", tmp_path, "--json"))
    assert "accuracy" not in report and "uniform" in report["auroc"]


def test_training_is_reproducible(idx, x_test, tmp_path):
    def logits_of(name, *options):
        train(idx, tmp_path / name, *options, steps=10)
        return apply("logits", tmp_path / name, x_test[0], tmp_path / "y.npy")

    first = logits_of("a", "--seed", 5, "--threads", 1)
    assert np.array_equal(first, logits_of("b", "--seed", 5, "--threads", 1))
    assert not np.array_equal(first, logits_of("c", "--seed", 6, "--threads", 1))


def test_log_and_schedule(idx, tmp_path):
    train(idx, tmp_path / "m", "--log", tmp_path / "log", "--lr", 1e-3, steps=20)
    lines = [json.loads(line) for line in (tmp_path / "log").read_text().splitlines()]
    assert [line["step"] for line in lines] == list(range(1, 21))
    expected = [1e-3] * 12 + [3e-4] * 5 + [0.9e-4] * 3
    assert np.allclose([line["lr"] for line in lines], expected)
    for line in lines:
        parts = sum(line[f"loss_{term}"] for term in ("px", "pyx", "pxy", "l2"))
        assert np.isclose(line["loss"], parts, rtol=1e-4, atol=1e-5)
        assert np.isclose(line["gap"], line["f_data"] - line["f_samples"], rtol=1e-3, atol=1e-4)
        assert 0 <= line["accuracy"] <= 1 and line["seconds_sampling"] >= 0


@pytest.mark.parametrize("options, decay", [
    (["--schedule", "constant"], lambda s: 1.0),
    (["--schedule", "cosine"], lambda s: (1 + np.cos(np.pi * s)) / 2),
    (["--schedule", "cosine", "--lr-floor", 0.2], lambda s: 0.6 + 0.4 * np.cos(np.pi * s)),
    (["--milestones", 0.25, 0.5, 0.9, "--lr-factor", 0.5],
     lambda s: 0.5 ** (int(s >= 0.25) + int(s >= 0.5) + int(s >= 0.9))),
])
def test_schedules(idx, options, decay, tmp_path):
    train(idx, tmp_path / "m", "--log", tmp_path / "log", "--lr", 1e-3, *options, steps=20)
    rates = [json.loads(line)["lr"] for line in (tmp_path / "log").open()]
    assert np.allclose(rates, [1e-3 * decay(t / 20) for t in range(20)], rtol=1e-5, atol=1e-10)


def test_schedule_of_a_time(idx, tmp_path):
    jem("train", "--data", idx, "--arch", "mlp-8", "--out", tmp_path / "m", "--seconds", 1,
        "--schedule", "cosine", "--lr", 1e-3, "--log", tmp_path / "log")
    lines = [json.loads(line) for line in (tmp_path / "log").open()]
    rates = np.array([line["lr"] for line in lines])
    assert rates[0] > 0.9e-3 and rates[-1] < 0.1e-3 and (np.diff(rates) <= 0).all()


def test_average_is_saved(idx, x_test, tmp_path):
    """Of a run of two steps d is 0.1 and 2/11, so the average lies between the parameters."""
    for name, steps, options in (("first", 1, []), ("last", 2, []), ("mean", 2, ["--ema", 0.9]),
                                 ("start", 1, ["--ema", 0.9])):
        train(idx, tmp_path / name, "--schedule", "constant", *options, steps=steps)
    first, last, mean, start = (
        np.frombuffer(data_of(tmp_path / n), "f4") for n in ("first", "last", "mean", "start"))
    assert np.allclose(mean, (2 * start + 9 * last) / 11, atol=1e-6)
    assert not np.allclose(start, first, atol=1e-6)


def data_of(path):
    """The values of a model file."""
    content = path.read_bytes()
    return content[8 + int.from_bytes(content[:8], "little"):]


def test_few_labels(idx, tmp_path):
    """Two labels per class; the density still sees every row."""
    options = ["--batch", 60, "--labels-per-class", 2, "--input-noise", 0, "--chains", 60]
    train(idx, tmp_path / "m", "--log", tmp_path / "log", *options, steps=15)
    few, *others = [json.loads(line) for line in (tmp_path / "log").open()]
    right = np.array([line["accuracy"] for line in (few, *others)]) * 6
    assert np.allclose(right, right.round()) and len(set(right.round())) > 2
    whole = first_step(idx, tmp_path, "--batch", 60, "--input-noise", 0, "--chains", 60)
    assert np.isclose(few["f_data"], whole["f_data"], rtol=1e-5)
    assert few["loss_pyx"] != whole["loss_pyx"]
    classifier = first_step(idx, tmp_path, *options, "--classifier")
    assert np.isclose(classifier["loss_pyx"], few["loss_pyx"], rtol=1e-5)
    apart = first_step(idx, tmp_path, "--batch", 60, "--labelled-batch", 7, "--input-noise", 0)
    assert np.isclose(apart["accuracy"] * 7, round(apart["accuracy"] * 7))
    assert np.isclose(apart["f_data"], whole["f_data"], rtol=1e-5)


def test_augmentation_is_for_labelled_rows(idx, tmp_path):
    base = first_step(idx, tmp_path, "--input-noise", 0)
    moved = first_step(idx, tmp_path, "--input-noise", 0, "--crop", 2, "--flip")
    assert moved["f_data"] == base["f_data"] and moved["loss_pyx"] != base["loss_pyx"]
    both = first_step(idx, tmp_path, "--input-noise", 0, "--crop", 2, "--flip", "--augment-data")
    assert both["f_data"] != base["f_data"] and both["loss_pyx"] == moved["loss_pyx"]


def test_contrastive_divergence(idx, tmp_path):
    """No steps from the data lead nowhere."""
    step = first_step(idx, tmp_path, "--start", "data", "--reinit", 1, "--sgld-steps", 0,
                      "--input-noise", 0, "--chains", 16)
    assert step["gap"] == pytest.approx(0, abs=1e-6)


def first_step(idx, tmp_path, *options):
    train(idx, tmp_path / "m", "--log", tmp_path / "log", *options, steps=1)
    return json.loads((tmp_path / "log").read_text())


def test_weights_scale_the_terms(idx, tmp_path):
    base = first_step(idx, tmp_path, "--w-px", 1, "--energy-l2", 0.1)
    other = first_step(idx, tmp_path, "--w-px", 3, "--w-pyx", 0.5, "--energy-l2", 0.2)
    assert np.isclose(base["loss_px"], -base["gap"], rtol=1e-4)
    for term, factor in (("loss_px", 3), ("loss_pyx", 0.5), ("loss_l2", 2)):
        assert np.isclose(other[term], factor * base[term], rtol=1e-4)


def test_warmup(idx, tmp_path):
    train(idx, tmp_path / "m", "--log", tmp_path / "log", "--warmup", 4, "--lr", 1e-3, steps=20)
    rates = [json.loads(line)["lr"] for line in (tmp_path / "log").open()]
    assert np.allclose(rates[:6], [0.25e-3, 0.5e-3, 0.75e-3, 1e-3, 1e-3, 1e-3])


def test_input_noise_and_chain_length_matter(idx, tmp_path):
    base = first_step(idx, tmp_path)
    assert first_step(idx, tmp_path, "--input-noise", 0.5)["f_data"] != base["f_data"]
    for option in (["--sgld-steps", 9], ["--chains", 5], ["--reinit", 1, "--start", "uniform"],
                   ["--step-size", 0.1], ["--noise-std", 0.3], ["--uniform-fraction", 0]):
        assert first_step(idx, tmp_path, *option)["f_samples"] != base["f_samples"], option


def test_every_row_comes_once_per_epoch(tmp_path):
    """Two far groups of rows: with batches of one, the order shows in the batch's accuracy."""
    x = np.repeat(np.array([[-1.0], [1.0]], np.float32), [1, 15], axis=0)
    np.save(tmp_path / "X.npy", x)
    np.save(tmp_path / "y.npy", (x[:, 0] > 0).astype(np.int64))
    jem("train", "--data", tmp_path, "--arch", "mlp-4", "--out", tmp_path / "m", "--epochs", 4,
        "--batch", 1, "--classifier", "--lr", 1e-7, "--input-noise", 0, "--log", tmp_path / "log")
    accuracy = [json.loads(line)["accuracy"] for line in (tmp_path / "log").open()]
    epochs = np.reshape(accuracy, (4, 16))
    assert set(epochs.sum(axis=1)) <= {1.0, 15.0}  # untrained: right on one group only
    odd_one = epochs if epochs.sum() < 32 else 1 - epochs
    assert len(set(odd_one.argmax(axis=1))) > 1  # and each epoch in another order


def test_lengths(idx, tmp_path):
    jem("train", "--data", idx, "--arch", "mlp-8", "--out", tmp_path / "m", "--epochs", 3,
        "--batch", 25, "--classifier", "--log", tmp_path / "log")
    assert len((tmp_path / "log").read_text().splitlines()) == 3 * (60 // 25)
    begin = time.monotonic()
    jem("train", "--data", idx, "--arch", "mlp-8", "--out", tmp_path / "m", "--seconds", 1)
    assert 0.9 < time.monotonic() - begin < 4
    assert "1 steps" in jem("train", "--data", idx, "--arch", "mlp-8", "--out", tmp_path / "m",
                            "--epochs", 1, "--limit", 20)


def test_normalised_cross_entropy(idx, tmp_path):
    """It begins at log K or so whatever the logits, here within what 1 / 0.04 makes of them."""
    log, out = tmp_path / "log", tmp_path / "m"
    train(idx, out, "--classifier", "--logit-norm", 0.04, "--lr", 0.01, "--log", log, steps=60)
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert lines[0]["loss_pyx"] > 2 * np.log(CLASSES) and lines[-1]["loss_pyx"] < 0.1
    assert json.loads(jem("info", "--model", out, "--json"))["training"]["logit_norm"] == 0.04
    assert json.loads(jem("eval", "--model", out, "--data", idx, "--json"))["accuracy"] > 0.9


def test_classifier_draws_no_chains(idx, tmp_path):
    train(idx, tmp_path / "m", "--classifier", "--log", tmp_path / "log", steps=3)
    for line in (tmp_path / "log").open():
        step = json.loads(line)
        assert step["loss"] == step["loss_pyx"]


@pytest.mark.parametrize("options", [
    ["--optimizer", "sgd", "--momentum", "0.5", "--weight-decay", "0.001", "--warmup", "5"],
    ["--start", "uniform", "--grad-clamp", "none", "--no-x-clamp", "--clip-norm", "none"],
    ["--start", "gaussian", "--x-low", "-0.5", "--x-high", "0.5", "--reinit", "1"],
    ["--class-conditional", "--backend", "ref", "--threads", "1"],
    ["--start=mixture", "--uniform-fraction=0.1", "--seed=18446744073709551615"],
    ["--sam-rho", "0.05", "--optimizer", "sgd", "--schedule", "cosine", "--ema", "0.99"],
    ["--sam-rho", "0.5", "--sam-adaptive", "--crop", "1", "--flip", "--augment-data"],
    ["--class-conditional", "--w-pxy", "0.5", "--start", "gaussian", "--start-rank", "4"],
    ["--w-px", "0", "--w-pyx", "0", "--w-pxy", "1", "--class-conditional", "--energy-l2", "0"],
    ["--w-px", "0", "--w-pyx", "0", "--energy-l2", "1"],
    ["--start", "data", "--matched-noise", "--step-size", "0.001", "--class-conditional"],
])
def test_train_options(idx, options, tmp_path):
    train(idx, tmp_path / "m", *options, steps=3)
    jem("info", "--model", tmp_path / "m")


@pytest.mark.parametrize("options", [["--beta1", 0.5], ["--beta2", 0.9], ["--eps", 0.1],
                                     ["--start-low", -0.5], ["--start-high", 0.5],
                                     ["--guard-tries", 2], ["--guard-every", 7]])
def test_options_have_an_effect(idx, options, tmp_path):
    """Of the guard's, which must first be called, a run that is too fast for it tells."""
    fast = ["--optimizer", "sgd", "--lr", 10, "--clip-norm", "none", "--guard-tries", 5]
    base = fast if options[0].startswith("--guard") else ["--start", "uniform"]
    logs = []
    for more in ([], options):
        args = ["train", "--data", idx, "--arch", "mlp-8", "--out", tmp_path / "m", "--steps", 30,
                "--batch", 8, "--capacity", 40, "--log", tmp_path / "log", *base, *more]
        subprocess.run([JEM, *last_of(args)], capture_output=True, check=False)
        lines = [json.loads(line) for line in (tmp_path / "log").open()]
        logs.append([(line["step"], line["event"], line["f_samples"]) for line in lines])
    assert logs[0] != logs[1]


# ---- labels -------------------------------------------------------------------------------------


def hide_and_change(data, parameters):
    """Changes labels as long as the classifier, which sees but a few of them, stays the same."""
    original = np.load(data / "y.npy")
    before, labels = parameters("--classifier"), original.copy()
    for first in range(0, len(labels), 4):
        kept = labels.copy()
        labels[first:first + 4] = (labels[first:first + 4] + 1) % CLASSES
        np.save(data / "y.npy", labels)
        if parameters("--classifier") != before:
            labels = kept
    np.save(data / "y.npy", labels)
    assert (labels != original).sum() >= 12 and parameters("--classifier") == before
    return original, labels


def test_hidden_labels_are_not_used(tmp_path):
    """Neither by the loss nor by any kind of start, whatever the chains follow."""
    data, out = write_npy(tmp_path / "data"), tmp_path / "m"

    def parameters(*options):
        train(data, out, "--labels-per-class", 2, "--threads", 1, *options, steps=4)
        return out.read_bytes()

    original, changed = hide_and_change(data, parameters)
    for start in ("uniform", "gaussian", "mixture", "data"):
        for follow in ([], ["--class-conditional"], ["--class-conditional", "--w-pxy", 1]):
            models = []
            for labels in (original, changed):
                np.save(data / "y.npy", labels)
                models.append(parameters("--start", start, *follow))
            assert models[0] == models[1], (start, follow)


def test_few_labels_still_make_starts_of_classes(tmp_path):
    """The labelled rows of each class, here all of one colour, are where its chains start."""
    data = tmp_path / "data"
    data.mkdir()
    x = np.repeat(np.array([10, 120, 240], np.uint8), 20)[:, None, None, None]
    np.save(data / "X.npy", np.broadcast_to(x, (60, 1, 8, 8)) + np.uint8(0))
    np.save(data / "y.npy", np.arange(60) // 20)
    train(data, tmp_path / "m", "--labels-per-class", 3, "--class-conditional", "--start",
          "gaussian", "--sgld-steps", 0, "--reinit", 1, "--no-x-clamp", "--log", tmp_path / "log",
          steps=3)
    largest = [json.loads(line)["sample_max"] for line in (tmp_path / "log").open()]
    assert np.allclose(largest, 1 - 2 * 10 / 255, atol=1e-6)  # no class varies


@pytest.mark.parametrize("options", [["--classes", 1, "--w-pyx", 0],
                                     ["--classes", 1, "--preset", "igebm"],
                                     ["--classes", 2, "--w-pyx", 0, "--start", "uniform"]])
def test_labels_that_nothing_uses_are_ignored(options, tmp_path):
    data, out = write_npy(tmp_path / "data"), tmp_path / "m"
    train(data, out, *options, arch="mlp-16:norm=spectral", steps=3)
    with_labels = out.read_bytes()
    (data / "y.npy").unlink()
    train(data, out, *options, arch="mlp-16:norm=spectral", steps=3)
    assert out.read_bytes() == with_labels


def test_a_model_of_one_class(idx, tmp_path):
    """Labelled data are no obstacle: there are energies to report, but no accuracy."""
    out = tmp_path / "m"
    train(idx, out, "--classes", 1, "--w-pyx", 0)
    report = json.loads(jem("eval", "--model", out, "--data", idx, "--json"))
    assert "accuracy" not in report and "ece" not in report
    assert set(report["auroc"]["uniform"]) == {"energy", "max-logit", "gradient-norm"}
    x = images(30, 2)[0] / np.float32(127.5) - 1
    np.save(tmp_path / "x.npy", x)
    energy = apply("energy", out, tmp_path / "x.npy", tmp_path / "e.npy")
    assert np.isclose(report["mean_energy"], energy.mean(), atol=1e-4)
    assert "mean energy" in jem("eval", "--model", out, "--data", idx)
    jem("sample", "--model", out, "--data", idx, "--n", 4, "--steps", 1, "--png", tmp_path / "s")
    message = jem("train", "--data", idx, "--out", out, "--classes", 1, expect=1)
    assert "0..0" in message


def test_default_architectures(idx, tmp_path):
    arch = lambda path: json.loads(jem("info", "--model", path, "--json"))["arch"]
    jem("train", "--data", idx, "--out", tmp_path / "m", "--steps", 1)
    assert arch(tmp_path / "m").startswith("cnn-")
    np.save(tmp_path / "X.npy", np.random.default_rng(0).normal(size=(40, 6)))
    np.save(tmp_path / "y.npy", np.arange(40) % 2)
    jem("train", "--data", tmp_path, "--out", tmp_path / "m", "--steps", 1)
    assert arch(tmp_path / "m").startswith("mlp-")


def test_each_pass_takes_the_rows_in_any_order(tmp_path):
    """At a rate of nearly 0 a row is known by its loss."""
    np.save(tmp_path / "X.npy", np.random.default_rng(0).normal(size=(3, 4)))
    np.save(tmp_path / "y.npy", [0, 1, 1])
    jem("train", "--data", tmp_path, "--arch", "mlp-4", "--out", tmp_path / "m", "--steps", 300,
        "--batch", 1, "--classifier", "--lr", "1e-30", "--input-noise", 0, "--log",
        tmp_path / "log")
    losses = [json.loads(line)["loss"] for line in (tmp_path / "log").open()]
    assert len(set(losses)) == 3
    orders = {tuple(losses[i : i + 3]) for i in range(0, 300, 3)}
    assert orders == set(itertools.permutations(set(losses)))


def catchable():
    """A test runner in the background may have made its children ignore Ctrl-C."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@pytest.mark.parametrize("number, code, name", [(signal.SIGINT, 130, "Ctrl-C"),
                                                (signal.SIGTERM, 143, "SIGTERM")])
def test_interrupted_training_saves(idx, tmp_path, number, code, name):
    out = tmp_path / "m.safetensors"
    with subprocess.Popen([JEM, "train", "--data", idx, "--arch", "mlp-16", "--out", out,
                           "--seconds", "50", "--log", tmp_path / "log"],
                          stderr=subprocess.PIPE, text=True, preexec_fn=catchable) as process:
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            if (tmp_path / "log").exists() and (tmp_path / "log").stat().st_size > 0:
                break
            time.sleep(0.02)
        process.send_signal(number)
        message = process.communicate(timeout=20)[1]
    assert process.returncode == code and f"stopped by {name}" in message
    assert "was saved to" in message
    assert json.loads(jem("info", "--model", out, "--json"))["training"]["steps"] > 0
    assert sorted(os.listdir(tmp_path)) == ["log", "m.safetensors"]


def test_what_nohup_ignores_stays_ignored(idx, tmp_path):
    """The hang-up of a terminal ends a run, unless it was started to outlive its terminal."""
    def run(action):
        log = tmp_path / f"log{int(action)}"
        with subprocess.Popen([JEM, "train", "--data", idx, "--arch", "mlp-16", "--out",
                               tmp_path / "m", "--steps", "60", "--sgld-steps", "100", "--log",
                               log], stderr=subprocess.PIPE, text=True,
                              preexec_fn=lambda: signal.signal(signal.SIGHUP, action)) as process:
            while process.poll() is None and not (log.exists() and log.stat().st_size > 0):
                time.sleep(0.01)
            process.send_signal(signal.SIGHUP)
            message = process.communicate()[1]
        return process.returncode, message

    code, message = run(signal.SIG_DFL)
    assert code == 129 and "stopped by SIGHUP" in message
    code, message = run(signal.SIG_IGN)
    assert code == 0 and "stopped" not in message


def test_a_long_step_is_interrupted_too(idx, tmp_path):
    """One step of a million Langevin steps: the progress callback must end it."""
    with subprocess.Popen([JEM, "train", "--data", idx, "--arch", "mlp-16", "--out",
                           tmp_path / "m", "--steps", "5", "--sgld-steps", "1000000"],
                          stderr=subprocess.PIPE, text=True, preexec_fn=catchable) as process:
        time.sleep(1.0)
        process.send_signal(signal.SIGINT)
        message = process.communicate(timeout=10)[1]
    assert process.returncode == 130 and "no model was written" in message
    assert os.listdir(tmp_path) == []


def test_divergence_saves_the_last_good_model(idx, tmp_path):
    message = jem("train", "--data", idx, "--arch", "mlp-16", "--out", tmp_path / "m", "--steps",
                  200, "--optimizer", "sgd", "--lr", "1e18", "--clip-norm", "none", "--no-guard",
                  expect=1)
    assert "diverged" in message and "was saved to" in message
    jem("info", "--model", tmp_path / "m")


def test_divergence_is_undone(idx, tmp_path):
    """A rate that is 20 times too high is halved until the run goes on; the log tells each time."""
    args = ["train", "--data", idx, "--arch", "mlp-16", "--out", tmp_path / "m", "--steps", 40,
            "--log", tmp_path / "log", "--batch", 16]
    result = subprocess.run([JEM, *last_of([*args, "--lr", 10])], capture_output=True, text=True,
                            check=True)
    events = [json.loads(line) for line in (tmp_path / "log").read_text().splitlines()]
    rollbacks = [line for line in events if line["event"] != 0]
    assert rollbacks and len(rollbacks) == result.stderr.count("rolled back from step")
    assert events[-1]["step"] == 40 and events[-1]["lr"] < 10
    assert "diverged in step 1" in jem(*args, "--lr", "1e18", expect=1)


@pytest.mark.parametrize("rate, every, tries", [(0.3, 10, 1), (3, 1000, 5)])
def test_the_last_try_is_told_and_undone(idx, tmp_path, rate, every, tries):
    """What is reported and saved is the state that remains, and every alarm has its log line."""
    out, log = tmp_path / "m", tmp_path / "log"
    args = ["train", "--data", idx, "--arch", "mlp-8", "--batch", 8, "--sgld-steps", 2, "--chains",
            6, "--capacity", 30, "--optimizer", "sgd", "--clip-norm", "none", "--seed", 1, "--lr",
            rate, "--steps", 400, "--guard-every", every, "--guard-tries", tries, "--log", log,
            "--out", out]
    result = subprocess.run([JEM, *map(str, args)], capture_output=True, text=True, check=False)
    undone = [line for line in result.stderr.splitlines() if line.startswith("rolled back")]
    failed, last = map(int, re.search(r"step (\d+) to (\d+),", undone[-1]).groups())
    message = result.stderr.splitlines()[-1]
    assert result.returncode == 1 and f"diverged in step {failed} " in message
    lines = [json.loads(line) for line in log.open()]
    assert sum(line["event"] for line in lines) == len(undone)
    assert (lines[-1]["event"], lines[-1]["step"]) == (1, last)
    assert out.exists() == (last > 0) == (rate < 1)
    if last == 0:
        assert "no model was written" in message
    else:
        training = json.loads(jem("info", "--model", out, "--json"))["training"]
        assert training["steps"] == last and f"model of step {last} was saved" in message
