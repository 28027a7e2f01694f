"""Explanations: maps against differences of the scores, and paths to rows that are usual."""

import numpy as np
import pytest
from detector_support import CLASSES, INPUTS, make_detector, make_model, noise, rows

import jem

pytestmark = pytest.mark.filterwarnings("ignore::jem.JemWarning")  # of rows that are far out
KINDS = [kind.name for kind in jem.score_kinds() if kind.source != "gradient"]


@pytest.fixture(scope="module")
def model():
    return make_model()


@pytest.fixture(scope="module")
def detector(model):
    return make_detector(model)


def differences(score, x, step):
    """Of fourth order: what is left out is step^4 of the fifth derivative."""
    out = np.empty(x.shape)
    for k in range(INPUTS):
        def at(times):
            moved = x.copy()
            moved[:, k] += times * step
            return score(moved).astype(float)

        out[:, k] = (8 * (at(1) - at(-1)) - (at(2) - at(-2))) / (12 * step)
    return out


def check_differences(score, x, got, kind):
    """Most rows agree, but not those with a kink or a tie of two kinds within the steps."""
    # ViM is a difference of squares in float, which short steps do not show.
    expected = differences(score, x, 2.0**-4 if kind == "vim" else 2.0**-7)
    apart = np.linalg.norm(got - expected, axis=1) / np.linalg.norm(expected, axis=1)
    part = 0.4 if kind == "knn" else 0.6  # the nearest row changes often
    assert np.quantile(apart, part) < 2e-3, (kind, np.sort(apart))


@pytest.mark.parametrize("kind", KINDS)
def test_maps_of_kinds(model, kind):
    x = noise(30, 3, 0.6)
    for rank in (128, 6):  # with the latter something lies beside the basis
        found = make_detector(model, [kind], rank=rank, flag_range=0, temperature=1.5, gen_classes=2)
        map = found.explain(x, kind, steps=0).map
        check_differences(lambda a: found.score(a, kind), x, map, kind)
        assert np.array_equal(map, found.explain(x, steps=0).map)  # a kind alone serves as it is


@pytest.mark.parametrize("combine", ["largest", "sum"])
def test_maps_of_combined_kinds(model, combine):
    """Beyond the held-out rows surprises are what the slopes say, exactly."""
    found = make_detector(model, ["mahalanobis", "knn"], combine=combine, flag_range=0)
    x = 3 * noise(400, 4)
    held_out = rows(2000, 2)[0]
    beyond = [found.score(x, k) > found.score(held_out, k).max() * 1.05
              for k in ("mahalanobis", "knn")]
    x = x[np.all(beyond, axis=0)][:30]
    assert len(x) >= 10
    check_differences(found.score, x, found.explain(x, steps=0).map, combine)


def test_two_sides(model):
    found = make_detector(model, ["energy"], two_sided=["energy"], flag_range=0)
    held_out = found.score(rows(2000, 2)[0], "energy")
    x = 4 * noise(400, 5)
    for side in (found.score(x, "energy") < held_out.min() - 0.1,
                 found.score(x, "energy") > held_out.max() + 0.1):
        assert side.sum() >= 3
        far = x[side]
        check_differences(found.score, far, found.explain(far, steps=0).map, "energy")


def test_the_largest_decides(model, detector):
    x = noise(40, 6)
    map = detector.explain(x, steps=0).map
    kinds = detector.detect(x)["kind"]
    assert len(set(kinds)) > 1
    for i, kind in enumerate(kinds):
        alone = detector.explain(x[i : i + 1], int(kind), steps=0).map[0]
        cosine = map[i] @ alone / np.linalg.norm(map[i]) / np.linalg.norm(alone)
        assert cosine == pytest.approx(1, abs=1e-5)


# ---- paths --------------------------------------------------------------------------------------


def test_usual_rows_are_usual(detector):
    x = noise(100, 7)
    found = detector.explain(x, steps=300)
    before, after = detector.detect(x), detector.detect(found.usual)
    np.testing.assert_array_equal(found.scores[:, 0], before["score"])
    np.testing.assert_array_equal(found.scores[:, 1], after["score"])
    assert (before["flag"] != 0).mean() > 0.8
    assert (after["flag"] == 0).mean() > 0.95
    assert (found.scores[:, 1] <= found.scores[:, 0]).all()
    assert np.abs(found.usual).max() <= 1


def test_usual_rows_are_near(detector):
    """Nearer than the nearest of two thousand rows that are usual."""
    x = noise(50, 7)
    found = detector.explain(x, steps=300)
    usual = rows(2000, 8)[0]
    nearest = np.linalg.norm(x[:, None] - usual[None], axis=2).min(axis=1)
    assert np.median(np.linalg.norm(found.usual - x, axis=1) / nearest) < 1


def test_paths_end_at_the_median(detector):
    x = rows(300, 9)[0]
    p = detector.detect(x)["p_value"]
    found = detector.explain(x)
    there = p >= 0.5
    assert 0.3 < there.mean() < 0.7
    np.testing.assert_array_equal(found.usual[there], x[there])
    moved = (found.usual != x).any(axis=1)
    assert moved[~there].mean() > 0.9
    beyond = detector.detect(found.usual)["p_value"][~there]
    assert (beyond >= 0.5).mean() > 0.9 and np.median(beyond) < 0.7  # a step beyond it at most


def test_a_kind_s_path_lowers_that_kind(detector):
    x = noise(50, 10)
    found = detector.explain(x, "energy")
    np.testing.assert_array_equal(found.scores[:, 0], detector.score(x, "energy"))
    np.testing.assert_array_equal(found.scores[:, 1], detector.score(found.usual, "energy"))
    assert (found.scores[:, 1] < found.scores[:, 0]).mean() > 0.5
    median = np.median(detector.score(rows(2000, 2)[0], "energy"))
    assert (found.scores[:, 1] < median + 0.1 * abs(median)).mean() > 0.9


def test_steps_have_the_length_that_is_asked_for(detector):
    x = noise(20, 11, 0.9)
    one = detector.explain(x, steps=1, step_size=0.01)
    length = np.linalg.norm(one.usual - x, axis=1)
    assert np.isclose(length, 0.01, rtol=1e-3).sum() + (length == 0).sum() == len(x)
    assert (length > 0).mean() > 0.5
    direction = np.einsum("ne,ne->n", one.usual - x, one.map)
    assert (direction[length > 0] < 0).all()


def test_the_best_point_of_a_path_counts(detector):
    """Steps that are too long never lose what the row had."""
    x = noise(100, 12, 0.7)
    found = detector.explain(x, steps=7, step_size=2)
    assert (found.scores[:, 1] <= found.scores[:, 0]).all()
    np.testing.assert_array_equal(found.scores[:, 1], detector.score(found.usual))


def test_rows_stand_alone(detector):
    x = noise(300, 12)
    whole = detector.explain(x, steps=30)
    for part in (slice(0, 1), slice(255, 258)):
        alone = detector.explain(x[part], steps=30)
        for name in ("map", "usual", "scores"):
            np.testing.assert_array_equal(getattr(alone, name), getattr(whole, name)[part])


# ---- odd rows -----------------------------------------------------------------------------------


def test_odd_rows(detector):
    x = rows(6, 13)[0]
    x[0, 3] = np.nan
    x[1, 4], x[1, 5] = np.inf, -np.inf
    x[2] = 1e38
    x[3, 0] = 1.5
    found = detector.explain(x, steps=0)
    assert np.isposinf(found.scores[:4, 0]).all()
    assert not found.map[:3].any()
    assert found.map[3:].any(axis=1).all()
    assert np.isfinite(found.map).all() and np.isfinite(found.usual).all()
    expected = np.nan_to_num(x, nan=0).clip(-1, 1)
    np.testing.assert_array_equal(found.usual, expected)
    assert np.isfinite(found.scores[:, 1]).all()
    walked = detector.explain(x)
    np.testing.assert_array_equal(walked.map, found.map)
    assert (walked.scores[:, 1] <= found.scores[:, 1]).all()
    with pytest.raises(jem.JemInvalidError, match="finite"):
        detector.score(x)  # which explain() takes


def test_no_rows(detector):
    found = detector.explain(np.zeros((0, INPUTS), np.float32))
    assert found.map.shape == found.usual.shape == (0, INPUTS) and found.scores.shape == (0, 2)


def test_refusals(model, detector):
    x, y = rows(500, 14)
    both = make_detector(model, ["energy", "gradient-norm"])
    with pytest.raises(jem.JemUnsupportedError, match="gradient-norm .* second derivatives"):
        both.explain(x)
    with pytest.raises(jem.JemUnsupportedError, match="second derivatives"):
        both.explain(x, "gradient-norm")
    assert both.explain(x[:1], "energy").map.any()
    bare = jem.Detector(model, ["energy", "knn"])
    with pytest.raises(jem.JemInvalidError, match="not calibrated"):
        bare.explain(x)
    with pytest.raises(jem.JemInvalidError, match="no statistics"):
        bare.explain(x, "knn")
    assert bare.explain(x[:1], "energy", steps=3).map.any()  # which needs neither
    with pytest.raises(jem.JemInvalidError, match="kind is 8"):
        bare.explain(x, "mahalanobis")
    with pytest.raises(jem.JemInvalidError, match="steps is -1"):
        detector.explain(x, steps=-1)
    with pytest.raises(jem.JemInvalidError, match="step_size is nan"):
        detector.explain(x, step_size=float("nan"))
    other = jem.Model.create("mlp-24-20:act=silu", channels=INPUTS, classes=CLASSES, seed=2)
    with pytest.raises(jem.JemMismatchError):
        detector.explain(x, model=other)
