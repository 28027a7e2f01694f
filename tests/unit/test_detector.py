"""Detectors as a user meets them: promises on fresh rows, flags with their reasons, refusals."""

import json
import struct
import threading

import numpy as np
import pytest

import jem

pytestmark = pytest.mark.filterwarnings("ignore::jem.JemWarning")  # of rows that are far out
INPUTS, CLASSES = 12, 3
FLAG = {name: number for number, name in enumerate(["none", "score", "range", "overflow", "not-finite"])}


def rows(n, seed, scale=0.15):
    """In-distribution rows and their classes."""
    rng = np.random.default_rng(seed)
    centres = np.random.default_rng(0).uniform(-0.5, 0.5, (CLASSES, INPUTS))
    y = rng.integers(0, CLASSES, n)
    return (centres[y] + rng.normal(0, scale, (n, INPUTS))).clip(-1, 1).astype(np.float32), y


@pytest.fixture(scope="module")
def model():
    made = jem.Model.create("mlp-24-20", channels=INPUTS, classes=CLASSES, seed=1)
    optimizer = jem.Optimizer(made, lr=0.01)
    for step in range(100):
        x, y = rows(64, 1000 + step)
        jem.train_step(made, optimizer, x_labelled=x, y_labelled=y, w_px=0, energy_l2=0)
    return made


@pytest.fixture(scope="module")
def detector(model):
    x, y = rows(1500, 1)
    return jem.Detector(model, fpr=0.05).fit(x, y).calibrate(rows(2000, 2)[0])


def flagged(detector, x):
    return detector.detect(x)["flag"] != FLAG["none"]


# ---- promises -----------------------------------------------------------------------------------


def test_the_rate_is_kept_and_noise_is_flagged(detector):
    n = 4000
    rate = flagged(detector, rows(n, 3)[0]).mean()
    # The calibration's Beta law (1,000 scores) and the test's binomial law, six deviations of both.
    assert abs(rate - 0.05) < 6 * np.sqrt(0.05 * 0.95 * (1 / 1000 + 1 / n))
    noise = np.random.default_rng(4).uniform(-1, 1, (500, INPUTS)).astype(np.float32)
    assert flagged(detector, noise).mean() > 0.9


def test_p_values_are_uniform(detector):
    p = np.sort(detector.detect(rows(4000, 5)[0])["p_value"])
    distance = np.abs(p - np.arange(1, len(p) + 1) / len(p)).max()
    assert distance < 2.5 * np.sqrt(1 / 1000 + 1 / 4000) + 0.001  # Kolmogorov-Smirnov, two samples


def test_a_promise_with_confidence_is_kept(model):
    """In 60 calibrations the rate exceeds 10 % in at most as many as 90 % confidence allows."""
    x, y = rows(800, 6)
    detector = jem.Detector(model, ["energy"], fpr=0.1, confidence=0.9).fit(x, y)
    fresh = rows(20000, 7)[0]
    exceeded = 0
    for draw in range(60):
        detector.calibrate(rows(200, 100 + draw)[0])
        exceeded += flagged(detector, fresh).mean() > 0.1
    assert exceeded <= 20  # P(Binomial(60, .1) > 20) is 2e-7; without confidence it is half of them


def test_thresholds_for_each_class(model):
    x, y = rows(1500, 1)
    detector = jem.Detector(model, fpr=0.1, per_class=1).fit(x, y).calibrate(rows(3000, 8)[0])
    found = detector.detect(rows(6000, 9)[0])
    for label in range(CLASSES):
        mine = found[found["label"] == label]
        rate = (mine["flag"] != 0).mean()
        assert abs(rate - 0.1) < 6 * np.sqrt(0.1 * 0.9 * (1 / 400 + 1 / len(mine))), label


@pytest.mark.parametrize("combine", ["largest", "sum"])
def test_two_sides(model, combine):
    """Rows whose score is too low are flagged with two sides, and only with two."""
    x, y = rows(1500, 1)
    held_out = rows(2000, 2)[0]
    kinds = ["energy", "gradient-norm"]
    one = jem.Detector(model, kinds, fpr=0.05, combine=combine).fit(x, y).calibrate(held_out)
    two = jem.Detector(model, kinds, kinds, fpr=0.05, combine=combine).fit(x, y)
    two.calibrate(held_out)
    fresh = rows(4000, 3)[0]
    assert abs(flagged(two, fresh).mean() - 0.05) < 0.05
    energy = one.score(fresh, "energy")
    low = fresh[energy < np.quantile(energy, 0.002)]
    assert flagged(two, low).mean() > flagged(one, low).mean()


def test_the_threshold_moves_with_the_rate(detector):
    found = detector.detect(rows(2000, 3)[0])
    try:
        for fpr in (0.01, 0.2, 0.05):
            detector.set_threshold(fpr)
            assert detector.info.fpr == fpr
            expected = found["score"] > detector.info.threshold
            assert (flagged(detector, rows(2000, 3)[0]) == expected).all()
            assert ((found["p_value"] <= fpr) == expected).all()
    finally:
        detector.set_threshold(0.05)


# ---- what is told of a row ----------------------------------------------------------------------


def test_detections(detector, model):
    x, _ = rows(300, 10)
    found = detector.detect(x)
    logits = model.logits(x)
    assert (found["label"] == logits.argmax(axis=1)).all()
    np.testing.assert_allclose(found["probability"], model.predict_proba(x).max(axis=1), rtol=1e-6)
    np.testing.assert_array_equal(found["score"], detector.score(x))
    names = [kind.name for kind in jem.score_kinds()]
    default = {"energy", "gen", "mahalanobis", "relative-mahalanobis", "knn"}
    assert {names[kind - 1] for kind in found["kind"]} <= default


def test_rows_that_nothing_can_be_said_about(detector):
    x, _ = rows(700, 11)  # more than one block
    good = detector.detect(x)
    bad = x.copy()
    bad[3, 0], bad[5, 2], bad[300, 1] = np.nan, np.inf, -np.inf
    bad[6, 0] = 1.2
    bad[600] = np.finfo(np.float32).max
    found = detector.detect(bad)
    assert (found["flag"][[3, 5, 300]] == FLAG["not-finite"]).all()
    assert found["flag"][6] == FLAG["range"] and found["flag"][600] == FLAG["overflow"]
    assert np.isposinf(found["score"][[3, 5, 300, 600]]).all()
    assert (found["label"][[3, 5, 300, 600]] == -1).all()
    assert all(not np.isnan(found[name]).any() for name in ("score", "p_value", "probability"))
    others = np.setdiff1d(np.arange(700), [3, 5, 6, 300, 600])
    np.testing.assert_array_equal(found[others], good[others])


def test_the_range_counts_unless_told_not_to(model):
    x, y = rows(500, 1)
    detector = jem.Detector(model, fpr=0.05, flag_range=0).fit(x, y).calibrate(rows(500, 2)[0])
    row = rows(1, 3)[0]
    row[0, 0] = 1.001
    assert detector.detect(row)["flag"][0] in (FLAG["none"], FLAG["score"])


@pytest.mark.parametrize("kind", ["mahalanobis", "relative-mahalanobis", "unit-mahalanobis", "knn",
                                  "react", "scale"])
def test_features_that_overflow_are_not_usual(model, kind):
    """Logits and features are finite up to 1e37 or so; products of features are not."""
    x, y = rows(500, 1)
    detector = jem.Detector(model, [kind], fpr=0.05, flag_range=0).fit(x, y)
    for scale in (1e20, 1e33, 1e36, 1e37):
        scores = detector.score(x[:50] * np.float32(scale), kind)
        assert not np.isnan(scores).any() and not np.isneginf(scores).any()
        if scale >= 1e33:
            assert np.isposinf(scores).all(), scale


def test_the_rate_counts_rows_outside_of_the_range(model):
    """Two of a hundred in-distribution rows lie outside: less cannot be promised, more can."""
    def mixed(n, seed):
        x, y = rows(n, seed)
        x[np.random.default_rng(seed + 1).random(n) < 0.02, 0] = 1.5
        return x, y

    for kinds in (["energy"], None):
        with pytest.raises(jem.JemInvalidError, match="always flagged"):
            jem.Detector(model, kinds, fpr=0.01).fit(*rows(500, 1)).calibrate(mixed(4000, 2)[0])
        detector = jem.Detector(model, kinds, fpr=0.05).fit(*rows(500, 1))
        detector.calibrate(mixed(8000, 2)[0])
        found = detector.detect(mixed(8000, 4)[0])
        assert abs((found["flag"] != 0).mean() - 0.05) < 6 * np.sqrt(0.05 * 0.95 * (1 / 4000 + 1 / 8000))
        outside = found[found["flag"] == FLAG["range"]]
        assert len(outside) > 100 and np.isposinf(outside["score"]).all()
        assert (outside["p_value"] > 0.01).all()  # as many as one in fifty are like that
        with pytest.raises(jem.JemInvalidError, match="always flagged"):
            detector.set_threshold(0.01)
        assert detector.info.fpr == 0.05


def test_rates_near_one(model):
    x, _ = rows(50, 2)
    detector = jem.Detector(model, ["energy"], fpr=0.999).calibrate(x)
    assert detector.info.threshold == detector.score(x, "energy").min()


def test_a_row_depends_on_nothing_else(detector, model):
    x, _ = rows(523, 12)
    whole = detector.detect(x)
    np.testing.assert_array_equal(whole, np.concatenate([detector.detect(x[i:i + 1]) for i in range(523)]))
    with jem.Model.create(model.arch, channels=INPUTS, classes=CLASSES, threads=1) as alone:
        for name, values in model.tensors().items():
            alone.set_tensor(name, values)
        np.testing.assert_array_equal(whole, detector.detect(x, model=alone))


def test_many_threads(detector):
    x, _ = rows(400, 13)
    expected, wrong = detector.detect(x), []

    def work():
        for _ in range(10):
            wrong.append((detector.detect(x) != expected).any())

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(wrong) == 40 and not any(wrong)


# ---- label sets ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def labelled(model):
    """Classes overlap, so that some rows have several labels."""
    return jem.Detector(model, ["energy"], fpr=0.1, temperature=2.0).calibrate(*wide(1500, 20))


def wide(n, seed):
    return rows(n, seed, scale=0.5)


@pytest.mark.parametrize("coverage", [0.5, 0.8, 0.95])
def test_label_sets_cover(labelled, coverage):
    x, y = wide(6000, 21)
    sets = labelled.label_sets(x, coverage)
    held = sets[np.arange(len(y)), y].mean()
    assert abs(held - coverage) < 6 * np.sqrt(coverage * (1 - coverage) * (1 / 1500 + 1 / 6000))


def test_label_sets_by_hand(labelled, model):
    x, y = wide(1500, 20)
    fresh = wide(50, 22)[0]

    def surprises(rows):
        f = model.logits(rows).astype(float) / 2.0
        p = np.exp(f - f.max(axis=1, keepdims=True))
        return 1 - p / p.sum(axis=1, keepdims=True)

    known = np.sort(surprises(x)[np.arange(1500), y])
    for coverage in (0.1, 0.9, 0.999):
        limit = known[int(np.ceil(coverage * 1501 - 1e-9)) - 1]
        np.testing.assert_array_equal(labelled.label_sets(fresh, coverage),
                                      surprises(fresh) <= limit + 1e-7)
    sizes = [labelled.label_sets(fresh, c).sum() for c in (0.1, 0.5, 0.9, 0.99)]
    assert sizes == sorted(sizes) and sizes[0] < sizes[-1]


def test_label_sets_need_labels_and_rows(labelled, detector):
    x, _ = rows(5, 1)
    with pytest.raises(jem.JemInvalidError, match="without labels"):
        detector.label_sets(x)
    with pytest.raises(jem.JemInvalidError, match="at least 9999"):
        labelled.label_sets(x, 0.9999)
    with pytest.raises(jem.JemInvalidError, match="coverage is 1"):
        labelled.label_sets(x, 1.0)
    assert labelled.info.n_labelled == 1500 and detector.info.n_labelled == 0
    overflowing = np.full((1, INPUTS), np.finfo(np.float32).max, np.float32)
    assert labelled.label_sets(overflowing, 0.5).all()


# ---- refusals -----------------------------------------------------------------------------------


def test_too_few_rows_say_how_many(model):
    x, y = rows(200, 1)
    detector = jem.Detector(model, ["energy"], fpr=0.01, confidence=0.95).fit(x, y)
    with pytest.raises(jem.JemInvalidError, match="at least 299"):
        detector.calibrate(rows(298, 2)[0])
    assert detector.info.n_calibrated == 0
    detector.calibrate(rows(299, 2)[0])
    with pytest.raises(jem.JemInvalidError, match="at least 2995"):
        detector.set_threshold(0.001, 0.95)
    assert detector.info.fpr == 0.01 and detector.info.confidence == 0.95
    detector.set_threshold(0.01)


def test_steps_out_of_order(model):
    x, y = rows(200, 1)
    detector = jem.Detector(model)
    with pytest.raises(jem.JemInvalidError, match="jem_detector_fit"):
        detector.calibrate(x)
    detector.fit(x, y)
    with pytest.raises(jem.JemInvalidError, match="not calibrated"):
        detector.detect(x)
    with pytest.raises(jem.JemInvalidError, match="not calibrated"):
        detector.set_threshold(0.1)
    assert detector.score(x, "energy").shape == (200,)
    with pytest.raises(jem.JemInvalidError, match="not calibrated"):
        detector.score(x)
    with pytest.raises(jem.JemInvalidError, match="detector's kinds"):
        detector.score(x, "entropy")


def test_another_model_is_refused(model, detector):
    x, _ = rows(5, 1)
    with jem.Model.create(model.arch, channels=INPUTS, classes=CLASSES, seed=9) as other:
        with pytest.raises(jem.JemMismatchError, match="other parameters"):
            detector.detect(x, model=other)
        for name, values in model.tensors().items():
            other.set_tensor(name, values)
        np.testing.assert_array_equal(detector.detect(x, model=other), detector.detect(x))
        other.set_tensor("head.bias", model.tensors()["head.bias"] + 1e-6)
        with pytest.raises(jem.JemMismatchError, match="other parameters"):
            detector.detect(x, model=other)
    with jem.Model.create(model.arch, channels=INPUTS, classes=CLASSES, backend="ref") as other:
        other.params = model.params
        with pytest.raises(jem.JemMismatchError, match="backend"):
            detector.detect(x, model=other)
    with jem.Model.create("mlp-8", channels=INPUTS, classes=CLASSES) as other:
        with pytest.raises(jem.JemMismatchError):
            detector.detect(x, model=other)


@pytest.mark.parametrize("first, second", [("mlp-24-20", "mlp-24-20:act=silu"), ("mlp-5-14", "mlp-36")])
def test_another_architecture_is_refused(first, second):
    """The second two have 109 parameters each, and features of another width."""
    shape = {"channels": 1, "classes": 1} if first == "mlp-5-14" else \
        {"channels": INPUTS, "classes": CLASSES}
    x = np.random.default_rng(1).uniform(-1, 1, (200, shape["channels"])).astype(np.float32)
    with jem.Model.create(first, **shape) as one, jem.Model.create(second, **shape) as two:
        detector = jem.Detector(one, fpr=0.1).fit(x).calibrate(x)
        two.params = one.params
        with pytest.raises(jem.JemMismatchError, match="architecture"):
            detector.detect(x, model=two)


def test_another_range_is_refused(model, detector):
    x, _ = rows(5, 1)
    with jem.Model.create(model.arch, channels=INPUTS, classes=CLASSES, input_low=-2.0, input_high=2.0) as other:
        other.params = model.params
        with pytest.raises(jem.JemMismatchError, match="input range"):
            detector.detect(x, model=other)


@pytest.mark.parametrize("config, message", [
    ({"fpr": 0.0}, "fpr is 0"), ({"fpr": 1.0}, "fpr is 1"), ({"fpr": 1e-20}, "fpr is 1e-20"), ({"fpr": float("nan")}, "fpr is nan"),
    ({"confidence": 1.0}, "confidence is 1"), ({"rank": 0}, "rank is 0"),
    ({"rank": 257}, "rank is 257"), ({"bank_bytes": 1}, "bank_bytes is 1"),
    ({"combine": 3}, "combine is 3"), ({"confidence": 1e-20}, "confidence is 1e-20"),
    ({"kinds": ["energy"], "two_sided": ["knn"]}, "two_sided"), ({"neighbours": 0}, "neighbours is 0"),
    ({"temperature": 0.0}, "temperature"), ({"gen_gamma": 1.0}, "gen_gamma is 1"),
])
def test_settings_out_of_range(model, config, message):
    with pytest.raises(jem.JemInvalidError, match=message):
        jem.Detector(model, **config)


def test_no_kinds(model):
    with pytest.raises(ValueError, match="kinds is empty"):
        jem.Detector(model, [])


def test_a_cancelled_fit_leaves_the_former_one(model):
    x, y = rows(600, 1)
    detector = jem.Detector(model, fpr=0.05).fit(x, y).calibrate(rows(600, 2)[0])
    before = detector.detect(x)
    for call in (lambda p: detector.fit(x[:300], y[:300], progress=p),
                 lambda p: detector.calibrate(x, progress=p)):
        with pytest.raises(jem.JemCancelledError):
            call(lambda done, total: done >= 256)
        np.testing.assert_array_equal(detector.detect(x), before)
    with pytest.raises(jem.JemInvalidError, match="do not vary|are 0"):
        detector.fit(np.repeat(x[:1], 50, axis=0))
    np.testing.assert_array_equal(detector.detect(x), before)


def test_probabilities_have_the_model_s_temperature(model, detector):
    x, _ = rows(50, 14)
    try:
        model.temperature = 2.5
        expected = model.predict_proba(x).max(axis=1)
        np.testing.assert_allclose(detector.detect(x)["probability"], expected, rtol=1e-6)
    finally:
        model.temperature = 1.0


# ---- in the model's file ------------------------------------------------------------------------

CONFIGS = {
    "default": {},
    "one-kind": {"kinds": ["energy"]},
    "two-sided": {"kinds": ["gradient-norm", "knn"], "two_sided": ["gradient-norm"]},
    "all": {"kinds": [kind.name for kind in jem.score_kinds()], "combine": "sum"},
    "per-class": {"per_class": 1, "flag_range": 0, "neighbours": 7, "rank": 9},
}


def copied(model, **config):
    made = jem.Model.create(model.arch, channels=INPUTS, classes=CLASSES, **config)
    made.params = model.params
    return made


@pytest.fixture(params=CONFIGS)
def stored(model, request):
    """A model with a detector, and the detector."""
    own = copied(model)
    detector = jem.Detector(own, fpr=0.1, seed=5, **CONFIGS[request.param])
    detector.fit(*rows(1500, 1)).calibrate(*rows(1500, 2))
    detector.set_threshold(0.2)
    detector.store()
    return own, detector


def assert_same(found, detector):
    x, _ = rows(300, 3)
    np.testing.assert_array_equal(found.detect(x), detector.detect(x))
    np.testing.assert_array_equal(found.score(x), detector.score(x))
    for name in ("kinds", "fpr", "confidence", "threshold", "n_fitted", "n_calibrated", "bank_rows",
                 "rank", "per_class"):
        assert getattr(found.info, name) == getattr(detector.info, name), name
    np.testing.assert_array_equal(found.label_sets(x, 0.7), detector.label_sets(x, 0.7))
    found.set_threshold(0.05)
    before = detector.info.fpr
    detector.set_threshold(0.05)
    assert found.info.threshold == detector.info.threshold
    detector.set_threshold(before)


def test_files_and_clones_keep_the_detector(stored, tmp_path):
    model, detector = stored
    assert_same(jem.Detector.of(model), detector)
    assert_same(jem.Detector.of(model.clone()), detector)
    model.save(tmp_path / "m")
    loaded = jem.Model.load(tmp_path / "m")
    assert_same(jem.Detector.of(loaded), detector)
    loaded.save(tmp_path / "again")
    assert (tmp_path / "m").read_bytes() == (tmp_path / "again").read_bytes()
    with jem.Model.create(model.arch, channels=INPUTS, classes=CLASSES) as other:
        other.load_matching(tmp_path / "m")
        with pytest.raises(jem.JemNotFoundError):
            jem.Detector.of(other)


def test_the_one_in_the_model_is_a_copy(model):
    own = copied(model)
    detector = jem.Detector(own, ["energy"], fpr=0.1).calibrate(rows(300, 2)[0])
    detector.store()
    detector.set_threshold(0.5)
    taken = jem.Detector.of(own)
    assert taken.info.fpr == 0.1
    jem.Detector(own, ["margin"], fpr=0.1).calibrate(rows(300, 2)[0]).store()
    assert jem.Detector.of(own).info.kinds != taken.info.kinds  # the last one counts


def test_other_parameters_drop_the_detector(model, tmp_path):
    def with_detector():
        own = copied(model)
        jem.Detector(own, ["energy"], fpr=0.1).calibrate(rows(300, 2)[0]).store()
        return own

    def train(own):
        x, y = rows(64, 1)
        jem.train_step(own, jem.Optimizer(own), x_labelled=x, y_labelled=y, w_px=0, energy_l2=0)

    def set_params(own):
        own.params = own.params

    model.save(tmp_path / "weights")
    for change in (train, set_params, lambda own: own.set_tensor("head.bias", np.zeros(CLASSES)),
                   lambda own: own.load_matching(tmp_path / "weights")):
        own = with_detector()
        change(own)
        with pytest.raises(jem.JemNotFoundError, match="no detector"):
            jem.Detector.of(own)
        own.save(tmp_path / "m")
        assert header(tmp_path / "m")["__metadata__"]["jem.format"] == "1"


def test_a_detector_of_other_settings_is_refused(model):
    own = copied(model)
    jem.Detector(own, ["energy"], fpr=0.1).calibrate(rows(300, 2)[0]).store()
    for config, word in (({"backend": "ref"}, "backend"), ({"precision_scoring": "bf16"}, "precision")):
        try:
            other = own.clone(**config)
        except jem.JemUnsupportedError:
            continue  # bf16 on this processor
        with pytest.raises(jem.JemMismatchError, match=word):
            jem.Detector.of(other)
    own.set_standardization(np.zeros(INPUTS), np.full(INPUTS, 2.0))
    with pytest.raises(jem.JemMismatchError, match="standardisation"):
        jem.Detector.of(own)


def test_what_cannot_be_stored(model, detector):
    own = copied(model)
    fresh = jem.Detector(own)
    with pytest.raises(jem.JemInvalidError, match="not calibrated"):
        fresh.store()
    with jem.Model.create(model.arch, channels=INPUTS, classes=CLASSES, seed=9) as other:
        foreign = jem.Detector(other, ["energy"], fpr=0.1).calibrate(rows(300, 2)[0])
        foreign.model = own
        with pytest.raises(jem.JemMismatchError, match="other parameters"):
            foreign.store()


# ---- files that are not what they should be -----------------------------------------------------


def header(path):
    data = path.read_bytes()
    return json.loads(data[8:8 + struct.unpack("<Q", data[:8])[0]])


def rewrite(path, edit):
    """The file with edited metadata and tensors {name: (dtype, shape, bytes)}, without a digest."""
    data = path.read_bytes()
    begin = 8 + struct.unpack("<Q", data[:8])[0]
    parsed = json.loads(data[8:begin])
    metadata = {k: v for k, v in parsed.pop("__metadata__").items() if not k.startswith("jem.digest")}
    tensors = {name: [t["dtype"], t["shape"], data[begin + t["data_offsets"][0]:
                                                   begin + t["data_offsets"][1]]]
               for name, t in parsed.items()}
    edit(metadata, tensors)
    at, body, out = 0, b"", {"__metadata__": metadata}
    for name, (dtype, shape, values) in tensors.items():
        out[name] = {"dtype": dtype, "shape": shape, "data_offsets": [at, at + len(values)]}
        at, body = at + len(values), body + values
    text = json.dumps(out).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(struct.pack("<Q", len(text)) + text + body)


def numbers_in(tensors, name):
    dtype, shape, values = tensors[name]
    return np.frombuffer(values, np.float32 if dtype == "F32" else np.int64).copy().reshape(shape)


def test_files_of_strangers(model, tmp_path):
    """Whatever a file holds as detector: an answer or a sentence, never more."""
    own = copied(model)
    jem.Detector(own, fpr=0.1, bank_bytes=1 << 20).fit(*rows(1500, 1)).calibrate(*rows(900, 2)).store()
    own.save(tmp_path / "good")
    x, _ = rows(20, 3)

    def try_with(edit):
        (tmp_path / "bad").write_bytes((tmp_path / "good").read_bytes())
        rewrite(tmp_path / "bad", edit)
        loaded = jem.Model.load(tmp_path / "bad")
        found = jem.Detector.of(loaded).detect(x)
        assert not any(np.isnan(found[name]).any() for name in ("score", "p_value", "probability"))

    try_with(lambda metadata, tensors: None)
    meta = header(tmp_path / "good")
    names = [name for name in meta if name.startswith("detector.")]
    keys = [key for key in meta["__metadata__"] if key.startswith("jem.detector.")]
    assert len(names) >= 12 and len(keys) == 36
    for name in names:
        def drop(metadata, tensors):
            del tensors[name]

        def poison(metadata, tensors):
            values = numbers_in(tensors, name)
            values.flat[values.size // 2] = np.nan if values.dtype == np.float32 else -1
            tensors[name][2] = values.tobytes()

        def huge(metadata, tensors):
            values = numbers_in(tensors, name)
            values.flat[0] = 3e38 if values.dtype == np.float32 else 2**62
            tensors[name][2] = values.tobytes()

        def shorten(metadata, tensors):
            values = numbers_in(tensors, name)[..., :-1]
            tensors[name][1:] = list(values.shape), np.ascontiguousarray(values).tobytes()

        for edit in (drop, poison, shorten):
            if edit is shorten and name in ("detector.tails", "detector.labels"):
                continue  # they may be of any number of rows
            if edit is drop and name == "detector.labels":
                continue  # or not be there
            with pytest.raises(jem.JemFormatError, match="detector"):
                try_with(edit)
        try:
            try_with(huge)
        except jem.JemFormatError:
            pass
    for key in keys:
        for value in ("", "nan", "-7", "1e400", "99999999999", "x"):
            def change(metadata, tensors):
                metadata[key] = value

            try:
                try_with(change)
            except (jem.JemFormatError, jem.JemMismatchError, jem.JemUnsupportedError):
                pass
        with pytest.raises(jem.JemFormatError, match="detector"):
            try_with(lambda metadata, tensors: metadata.pop(key))

    def other_weights(metadata, tensors):
        tensors["head.bias"][2] = np.ones(CLASSES, np.float32).tobytes()

    with pytest.raises(jem.JemMismatchError, match="other parameters"):
        try_with(other_weights)


def test_later_formats_are_told(model, tmp_path):
    own = copied(model)
    jem.Detector(own, ["energy"], fpr=0.1).calibrate(rows(300, 2)[0]).store()
    own.save(tmp_path / "m")
    assert header(tmp_path / "m")["__metadata__"]["jem.format"] == "2"
    rewrite(tmp_path / "m", lambda metadata, tensors: metadata.update({"jem.detector.format": "2"}))
    with pytest.raises(jem.JemUnsupportedError, match="detector has format 2"):
        jem.Detector.of(jem.Model.load(tmp_path / "m"))
    rewrite(tmp_path / "m", lambda metadata, tensors: metadata.update({"jem.format": "3"}))
    with pytest.raises(jem.JemUnsupportedError, match="format '3'"):
        jem.Model.load(tmp_path / "m")
