"""Attacks on detectors: rows that are out-of-distribution are made to look usual."""

import numpy as np
import pytest
from detector_support import INPUTS, make_detector, make_model, noise, rows

import jem

pytestmark = pytest.mark.filterwarnings("ignore::jem.JemWarning")  # of rows that are far out
EPS = 0.2


@pytest.fixture(scope="module")
def model():
    return make_model()


@pytest.fixture(scope="module", params=["largest", "sum", "per_class"])
def detector(model, request):
    if request.param == "per_class":
        return make_detector(model, per_class=1)
    return make_detector(model, combine=request.param)


@pytest.fixture(scope="module")
def flagged(detector):
    x = noise(300, 1, 0.7)
    return x[detector.detect(x)["flag"] != 0][:100]


def is_usual(detector, x):
    return detector.detect(x)["flag"] == 0


SETTINGS = [
    ("pgd", "linf", {}),
    ("pgd", "l2", {"eps": 0.5}),
    ("apgd", "linf", {}),
    ("apgd", "l2", {"eps": 0.5}),
    ("square", "linf", {"steps": 300}),
    ("boundary", "l2", {"eps": 0.5, "steps": 300}),
    ("pointwise", "l0", {"eps": 4}),
]


@pytest.mark.parametrize("kind, norm, config", SETTINGS)
def test_success_is_not_being_flagged(model, detector, flagged, kind, norm, config):
    config = {"eps": EPS, **config}
    found = model.attack(flagged, detector=detector, kind=kind, norm=norm, **config)
    change = (found.x - flagged).astype(float)
    length = {"linf": np.abs(change).max(axis=1), "l2": np.linalg.norm(change, axis=1),
              "l0": (change != 0).sum(axis=1)}[norm]
    within = length <= np.float32(config["eps"])
    np.testing.assert_array_equal(found.success, is_usual(detector, found.x) & within)
    if kind in ("pgd", "apgd", "square"):
        assert within.all()
    assert found.success.mean() > 0.15
    assert np.abs(found.x).max() <= 1


def test_gradients_find_more_than_chance(model, detector, flagged):
    rng = np.random.default_rng(2)
    moves = [rng.choice([-EPS, EPS], flagged.shape) for _ in range(5)]
    by_chance = np.any([is_usual(detector, (flagged + m).clip(-1, 1)) for m in moves], axis=0)
    found = model.attack(flagged, detector=detector, kind="apgd", eps=EPS)
    assert found.success.mean() > by_chance.mean() + 0.2
    assert found.success[by_chance].mean() > 0.9


def test_rows_that_are_usual_are_left_alone(model, detector):
    x = rows(50, 3)[0]
    usual = is_usual(detector, x)
    found = model.attack(x, detector=detector, eps=EPS)
    assert usual.mean() > 0.8
    np.testing.assert_array_equal(found.x[usual], x[usual])
    assert found.success[usual].all() and (found.distance[usual] == 0).all()


def test_a_step_follows_the_map(model, detector, flagged):
    step = 0.004
    found = model.attack(flagged, detector=detector, eps=0.5, steps=1, step_size=step,
                         random_start=0)
    map = detector.explain(flagged, steps=0).map
    expected = (flagged - np.float32(step) * np.sign(map)).clip(-1, 1)
    moved = (found.x != flagged).any(axis=1)  # others had not gained
    assert moved.mean() > 0.5
    np.testing.assert_allclose(found.x[moved], expected[moved], atol=1e-7)


def test_failures_have_the_lowest_score(model, detector):
    """The cost is the score; with thresholds of classes, what it is above them."""
    x = noise(60, 4)
    found = model.attack(x, detector=detector, eps=0.02, kind="apgd")
    lost = ~found.success
    assert lost.sum() > 20
    before, after = detector.detect(x[lost]), detector.detect(found.x[lost])
    same = before["label"] == after["label"]
    assert (after["score"][same] <= before["score"][same]).all()
    assert (after["score"][same] < before["score"][same]).mean() > 0.8


def test_rows_stand_alone(model, detector):
    x = noise(300, 5, 0.7)
    whole = model.attack(x, detector=detector, eps=EPS, steps=5)
    part = model.attack(x[255:270], detector=detector, eps=EPS, steps=5, first_row=255)
    np.testing.assert_array_equal(part.x, whole.x[255:270])
    np.testing.assert_array_equal(part.success, whole.success[255:270])


def test_rows_outside_of_the_range(model, detector):
    x = rows(4, 6)[0]
    x[:, 0] = 1.5
    x[3] = 1e38
    found = model.attack(x, detector=detector, eps=0.1)
    assert not found.success.any() and np.isfinite(found.x).all()
    assert model.attack(x[:3], detector=detector, eps=1.0).success.any()


def test_refusals(model, detector, flagged):
    def refuse(message, error=jem.JemInvalidError, **config):
        with pytest.raises(error, match=message):
            model.attack(flagged, **{"detector": detector, **config})

    refuse("detector is set; expected goal JEM_GOAL_DETECTOR", goal="energy")
    refuse("detector is NULL", detector=None, goal="detector")
    refuse("refine_steps is 1", jem.JemUnsupportedError, refine_steps=1)
    refuse("not calibrated", detector=jem.Detector(model))
    slow = make_detector(model, ["gradient-norm", "energy"])
    refuse("second derivatives", jem.JemUnsupportedError, detector=slow)
    refuse("second derivatives", jem.JemUnsupportedError, detector=slow, kind="apgd")
    found = model.attack(flagged, detector=slow, kind="square", eps=EPS, steps=5)
    np.testing.assert_array_equal(found.success, is_usual(slow, found.x))
    other = jem.Model.create(model.arch, channels=INPUTS, classes=3, seed=9)
    with pytest.raises(jem.JemMismatchError):
        other.attack(flagged, detector=detector)
    closed = make_detector(model)
    closed.close()
    with pytest.raises(ValueError, match="closed"):
        model.attack(flagged, detector=closed)
    one = jem.Model.create("mlp-8", channels=INPUTS, classes=1)
    alone = jem.Detector(one, ["energy"], fpr=0.05).calibrate(rows(500, 2)[0])
    found = one.attack(flagged, detector=alone)
    np.testing.assert_array_equal(found.success, is_usual(alone, found.x))
