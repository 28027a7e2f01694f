"""jem calibrate, detect and monitor: against the library, on files and streams, and refusals."""

import json
import signal
import subprocess
import time

import numpy as np
import pytest

import jem as binding
from cli_support import JEM, SIDE, idx, images, jem, model, pixels_of  # noqa: F401

pytestmark = pytest.mark.filterwarnings("ignore::jem.JemWarning")
KINDS = ["energy", "mahalanobis", "knn"]
FLAGS = ["none", "score", "range", "overflow", "not-finite"]


def as_inputs(x):
    return (x / 127.5 - 1).astype(np.float32)


def data_set(folder, n, seed, n_test=0):
    x, y = images(n, seed)
    np.save(folder / "X.npy", x)
    np.save(folder / "y.npy", y)
    if n_test:
        x, y = images(n_test, seed + 1)
        np.save(folder / "X_test.npy", x)
        np.save(folder / "y_test.npy", y)
    return folder


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return data_set(tmp_path_factory.mktemp("data"), 400, 21, 600)


@pytest.fixture(scope="module")
def calibrated(model, data, tmp_path_factory):  # noqa: F811
    path = tmp_path_factory.mktemp("model") / "m.safetensors"
    jem("calibrate", "--model", model, "--data", data, "--out", path, "--fpr", 0.05,
        "--confidence", 0, "--kinds", *KINDS)
    return path


@pytest.fixture(scope="module")
def detector(calibrated):
    return binding.Detector.of(binding.Model.load(calibrated))


def run(*args, feed=b"", expect=0):
    result = subprocess.run([JEM, *map(str, args)], input=feed, capture_output=True, timeout=600)
    assert result.returncode == expect, (args, result.stdout, result.stderr)
    return [json.loads(line) for line in result.stdout.splitlines()]


def check_lines(lines, found):
    assert [line["row"] for line in lines] == list(range(len(found)))
    assert [FLAGS.index(line["flag"]) for line in lines] == list(found["flag"])
    names = {number + 1: kind.name for number, kind in enumerate(binding.score_kinds())}
    for line, verdict in zip(lines, found):
        for name in ("score", "p_value", "probability"):
            expected = float(verdict[name])
            if name == "probability" and verdict["label"] < 0:
                assert line[name] is None
            elif np.isfinite(expected):
                assert line[name] == pytest.approx(expected, rel=1e-7)
            else:
                assert line[name] is None
        assert line["label"] == (verdict["label"] if verdict["label"] >= 0 else None)
        assert line["kind"] == names.get(verdict["kind"])


# ---- calibrate ----------------------------------------------------------------------------------


def test_the_library_makes_the_same_detector(model, data, calibrated):  # noqa: F811
    """All rows are fitted to, the test rows calibrate."""
    own = binding.Model.load(model)
    x, y = np.load(data / "X.npy"), np.load(data / "y.npy")
    made = binding.Detector(own, KINDS, fpr=0.05).fit(as_inputs(x), y)
    made.calibrate(as_inputs(np.load(data / "X_test.npy")))
    stored = binding.Detector.of(binding.Model.load(calibrated))
    fresh = as_inputs(images(100, 5)[0])
    np.testing.assert_allclose(stored.score(fresh), made.score(fresh), rtol=1e-3)
    assert stored.info.n_calibrated == made.info.n_calibrated == 300
    assert stored.info.n_fitted == 400


def test_what_is_reported(model, data, tmp_path):  # noqa: F811
    out = tmp_path / "m"
    told = json.loads(jem("calibrate", "--model", model, "--data", data, "--out", out, "--fpr", 0.1,
                          "--confidence", 0.9, "--kinds", "gradient_norm", "gen", "--two-sided",
                          "gradient-norm", "--per-class", "--combine", "sum", "--json"))
    assert told["kinds"] == ["gen", "gradient-norm"]
    assert told["fitted"] == 400 and told["held_out_rows"] == 600 and told["calibrated"] == 300
    assert told["promise"] == {"fpr": 0.1, "confidence": 0.9}
    info = binding.Detector.of(binding.Model.load(out)).info
    assert info.per_class == 1 and info.threshold == pytest.approx(told["threshold"], rel=1e-5)
    shown = json.loads(jem("info", "--model", out, "--json"))["detector"]
    assert shown["fpr"] == 0.1 and shown["calibrated"] == 300
    assert "detector" in jem("info", "--model", out)


def test_in_place(model, data, tmp_path):  # noqa: F811
    path = tmp_path / "m"
    path.write_bytes(model.read_bytes())
    before = binding.Model.load(path)
    jem("calibrate", "--model", path, "--data", data, "--fpr", 0.05, "--confidence", 0)
    after = binding.Model.load(path)
    np.testing.assert_array_equal(before.params, after.params)
    assert binding.Detector.of(after).info.n_calibrated == 300


def test_held_out_rows_of_training(model, tmp_path):  # noqa: F811
    """Those that jem train --validation leaves out; without test rows a tenth of the others."""
    whole = data_set(tmp_path, 600, 31)
    for options, n in (([], 60), (["--validation", 0.5], 300)):
        told = json.loads(jem("calibrate", "--model", model, "--data", whole, "--out",
                              tmp_path / "m", "--fpr", 0.1, "--confidence", 0, "--json", *options))
        assert told["held_out_rows"] == n and told["fitted"] == 600 - n
        assert told["held_out"] == "training rows that were held out"


def test_held_out_rows_of_another_set(model, data, tmp_path):  # noqa: F811
    other = tmp_path / "other"
    other.mkdir()
    data_set(other, 500, 41)
    told = json.loads(jem("calibrate", "--model", model, "--data", data, "--held-out", other,
                          "--out", tmp_path / "m", "--fpr", 0.1, "--confidence", 0, "--fit-rows",
                          150, "--json"))
    assert told["held_out_rows"] == 500 and told["fitted"] == 150


# ---- detect -------------------------------------------------------------------------------------


def test_lines(calibrated, detector, tmp_path):
    x = as_inputs(images(150, 6)[0])
    x[3, 0, 0, 0], x[70, 0, 1, 1] = np.nan, -np.inf
    x[5] *= 3
    x[90] = np.finfo(np.float32).max
    x[7] = np.random.default_rng(1).uniform(-1, 1, x[7].shape)
    np.save(tmp_path / "x.npy", x)
    lines = run("detect", "--model", calibrated, "--in", tmp_path / "x.npy", expect=3)
    check_lines(lines, detector.detect(x))
    assert {line["flag"] for line in lines} == set(FLAGS)
    run("detect", "--model", calibrated, "--in", tmp_path / "x.npy", "--out", tmp_path / "out",
        "--batch", 7, expect=3)
    assert [json.loads(line) for line in (tmp_path / "out").read_text().splitlines()] == lines


def test_nothing_unusual(calibrated, detector, tmp_path):
    x = images(200, 7)[0]
    usual = x[detector.detect(as_inputs(x))["flag"] == 0][:20]
    np.save(tmp_path / "x.npy", usual)
    assert len(run("detect", "--model", calibrated, "--in", tmp_path / "x.npy")) == 20
    everything = run("detect", "--model", calibrated, "--in", tmp_path / "x.npy", "--fpr", 0.99,
                     expect=3)
    assert sum(line["flag"] == "score" for line in everything) > 15


def test_frames_are_answered_as_they_come(calibrated, detector):
    x = as_inputs(images(9, 8)[0])
    command = [JEM, "detect", "--model", str(calibrated), "--in", "-", "--raw"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        lines = []
        for frame in x: # each is sent when the one before was answered
            process.stdin.write(frame.tobytes())
            process.stdin.flush()
            lines.append(json.loads(process.stdout.readline()))
        process.stdin.close()
        assert process.wait(timeout=60) in (0, 3)
    check_lines(lines, detector.detect(x))


def test_frames_that_end_early(calibrated):
    x = as_inputs(images(3, 8)[0]).tobytes()
    result = subprocess.run([JEM, "detect", "--model", str(calibrated), "--in", "-", "--raw"],
                            input=x[:-5], capture_output=True, timeout=60)
    assert result.returncode == 1 and len(result.stdout.splitlines()) == 2
    assert f"truncated: {SIDE * SIDE * 4 - 5} bytes follow frame 2".encode() in result.stderr
    assert run("detect", "--model", calibrated, "--in", "-", "--raw") == []


# ---- monitor ------------------------------------------------------------------------------------


def stream(n_usual, n_shifted):
    usual = as_inputs(images(n_usual, 11)[0])
    shifted = np.random.default_rng(2).uniform(-1, 1, (n_shifted, 1, SIDE, SIDE)).astype(np.float32)
    return np.concatenate([usual, shifted])


def test_an_alarm_after_a_shift(calibrated, detector):
    x = stream(1500, 300)
    lines = run("monitor", "--model", calibrated, "--in", "-", "--raw", "--every", 500,
                feed=x.tobytes(), expect=3)
    events = [line["event"] for line in lines]
    assert events.count("seen") >= 2 and events.count("alarm") == 1 and events[-1] == "end"
    monitor = binding.Monitor(detector.scores)
    monitor.update(detector.score(x))
    at = lines[events.index("alarm")]["alarm_at"]
    assert lines[-1]["alarm_at"] == at == monitor.info.alarm_at > 1500
    assert lines[-1]["rows"] == 1800
    assert lines[-1]["log_evidence"] == pytest.approx(monitor.info.log_evidence, rel=1e-5)


def test_no_alarm_without_a_shift(calibrated, tmp_path):
    np.save(tmp_path / "x.npy", stream(1500, 0))
    (end,) = run("monitor", "--model", calibrated, "--in", tmp_path / "x.npy")
    assert end["event"] == "end" and not end["alarm"] and end["alarm_at"] is None


def test_a_snapshot_goes_on(calibrated, tmp_path):
    x, snapshot = stream(700, 100), tmp_path / "s"
    (whole,) = [line for line in run("monitor", "--model", calibrated, "--in", "-", "--raw",
                                     feed=x.tobytes(), expect=3) if line["event"] == "end"]
    options = ["monitor", "--model", calibrated, "--in", "-", "--raw", "--snapshot", snapshot]
    run(*options, feed=x[:600].tobytes())
    last = run(*options, feed=x[600:].tobytes(), expect=3)[-1]
    assert last == whole
    said = subprocess.run([JEM, *map(str, options), "--alpha", "0.1"], input=b"", timeout=60,
                          capture_output=True)
    assert said.returncode == 1 and b"calibration" in said.stderr
    snapshot.write_bytes(b"nonsense")
    said = subprocess.run([JEM, *map(str, options)], input=b"", capture_output=True, timeout=60)
    assert said.returncode == 1 and b"snapshot" in said.stderr
    assert snapshot.read_bytes() == b"nonsense"


def test_a_signal_ends_the_stream(calibrated, tmp_path):
    command = [JEM, "monitor", "--model", str(calibrated), "--in", "-", "--raw", "--every", "1",
               "--snapshot", str(tmp_path / "s")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        process.stdin.write(stream(2, 0).tobytes())
        process.stdin.flush()
        process.stdout.readline()
        time.sleep(0.1)
        process.send_signal(signal.SIGTERM)
        process.stdin.write(b"x")  # what it waits for
        process.stdin.close()
        last = process.stdout.read().splitlines()[-1]
        assert process.wait(timeout=60) == 0
    assert json.loads(last)["event"] == "end" and (tmp_path / "s").exists()


# ---- refusals -----------------------------------------------------------------------------------


def test_refusals(model, data, calibrated, tmp_path):  # noqa: F811
    np.save(tmp_path / "x.npy", images(3, 1)[0])
    for command in ("detect", "monitor"):
        assert "no detector; jem calibrate makes one" in \
            jem(command, "--model", model, "--in", tmp_path / "x.npy", expect=1)
    common = ["calibrate", "--model", model, "--data", data, "--out", tmp_path / "m"]
    assert "at least" in jem(*common, "--fpr", 0.0001, expect=1)
    assert "expected one of energy" in jem(*common, "--kinds", "enargy", expect=2)
    assert "two_sided" in jem(*common, "--kinds", "energy", "--two-sided", "gen", expect=2)
    assert "expected one" in jem(*common, "--held-out", data, "--validation", 0.1, expect=2)
    assert not (tmp_path / "m").exists()
    assert "x.npy" in jem("detect", "--model", calibrated, "--in", tmp_path / "x.npy", "--out",
                          tmp_path / "x.npy", expect=2)


def test_eval_has_the_detector(calibrated, data, detector, tmp_path):
    """Its scores of features, the combined one, and flags at the stored threshold."""
    told = json.loads(jem("eval", "--model", calibrated, "--data", data, "--ood", "rotated", "--json"))
    x = detector.model.input_from_u8(np.load(data / "X_test.npy"))  # rows that calibrate: to the bit
    flagged = detector.detect(x)["flag"] != 0
    assert told["false_positive_rate"] == pytest.approx(flagged.mean())
    assert told["promise"]["false_positive_rate"] == 0.05
    (rotated,) = told["ood"].values()
    turned = np.ascontiguousarray(np.rot90(x, 1, (2, 3)))
    by_hand = [binding.auroc(detector.score(x, kind), detector.score(turned, kind))
               for kind in (0, "mahalanobis", "knn")]
    for kind, expected in zip(("detector", "mahalanobis", "knn"), by_hand):
        assert min(abs(rotated[kind]["auroc"] - expected), 1) < 1e-6, kind
    flagged = detector.detect(turned)["flag"] != 0
    assert rotated["detector"]["flagged"] == pytest.approx(flagged.mean())


def test_bench(tmp_path):
    told = json.loads(jem("bench", "--arch", "mlp-16", "--shape", "5x1x1", "--op", "detect",
                          "--runs", 3, "--json"))
    assert list(told["batches"]) == ["1", "64"]
    assert all(row["p50_ms"] > 0 and row["ratio"] > 0 for row in told["batches"].values())
    told = json.loads(jem("bench", "--arch", "mlp-16", "--shape", "5x1x1", "--op", "score",
                          "--kind", "knn", "--batch", 5, "--runs", 3, "--json"))
    assert list(told["batches"]) == ["5"] and told["kind"] == "knn"


# ---- explain ------------------------------------------------------------------------------------


def test_explain(calibrated, detector, tmp_path):
    x = as_inputs(images(5, 12)[0])
    x[2] = np.random.default_rng(3).uniform(-1, 1, x[2].shape)
    x[3, 0, 0, 0] = np.nan
    np.save(tmp_path / "x.npy", x)
    told = jem("explain", "--model", calibrated, "--in", tmp_path / "x.npy", "--png",
               tmp_path / "p.png", "--map", tmp_path / "map.npy", "--usual", tmp_path / "usual.npy",
               "--steps", 60, "--scale", 2)
    found = detector.explain(x, steps=60)
    np.testing.assert_array_equal(np.load(tmp_path / "map.npy"), found.map)
    np.testing.assert_array_equal(np.load(tmp_path / "usual.npy"), found.usual)
    assert len(told.splitlines()) == 6 and "not-finite" in told
    pixels = pixels_of(tmp_path / "p.png").astype(int)
    cell = 2 * SIDE + 2
    assert pixels.shape == (5 * cell + 2, 3 * cell + 2, 3)

    def cell_at(row, column):
        return pixels[2 + row * cell:, 2 + column * cell:][:2 * SIDE:2, :2 * SIDE:2]

    np.testing.assert_allclose(cell_at(2, 0)[..., 1], (x[2, 0] + 1) * 127.5, atol=0.51)
    np.testing.assert_allclose(cell_at(2, 2)[..., 1], (found.usual[2, 0] + 1) * 127.5, atol=0.51)
    reds, blues = cell_at(2, 1)[..., 0], cell_at(2, 1)[..., 2]
    part = found.map[2, 0] / np.abs(found.map[2]).max()
    assert (reds[part < -0.1] < 240).all() and (blues[part > 0.1] < 240).all()
    assert (cell_at(3, 1) == 255).all()  # the map of a row that is not finite


def test_explain_refuses(calibrated, tmp_path):
    np.save(tmp_path / "x.npy", images(3, 1)[0])
    common = ["explain", "--model", calibrated, "--in", tmp_path / "x.npy"]
    assert "nowhere to write" in jem(*common, expect=2)
    assert "kind" in jem(*common, "--map", tmp_path / "m", "--kind", "entropy", expect=2)
