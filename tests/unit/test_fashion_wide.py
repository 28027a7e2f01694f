"""examples/fashion: the sets of the wide table, and the arithmetic of what the detector sees."""

import os
import pathlib
import sys

import numpy as np
import pytest
from cli_support import images
from sklearn.metrics import roc_auc_score, roc_curve

sys.path.insert(0, str(pathlib.Path(os.environ["JEM_SOURCE"]) / "examples" / "fashion"))

import data  # noqa: E402
import detection  # noqa: E402
import ood_clothes as clothes  # noqa: E402
import ood_drawn as drawn  # noqa: E402
import recipe  # noqa: E402
import tables  # noqa: E402
import targets  # noqa: E402
import wide  # noqa: E402
from built import jem  # noqa: E402

N = 40
OF_CLOTHES = [kind for kind in wide.SETS if kind.of]
by_name = pytest.mark.parametrize("kind", wide.SETS, ids=lambda kind: kind.name)


@pytest.fixture(scope="module")
def test_images():
    return data.Images(*images(60, 2, side=28, classes=10))


@pytest.fixture
def rng():
    return np.random.default_rng(5)


@pytest.fixture
def greys(test_images):
    return test_images.x[:, 0].astype(np.float64)


def rows(x):
    return {image.tobytes() for image in x}


# ---- every set ----------------------------------------------------------------------------------


@by_name
def test_a_set_has_images_like_the_data(kind, test_images):
    made = wide.make(kind, test_images, N)
    assert made.shape == (N, 1, 28, 28) and made.dtype == np.uint8
    assert len(rows(made)) > N / 2 and made.max() > 64


@by_name
def test_a_set_depends_on_its_name_and_the_seed_alone(kind, test_images):
    made = wide.make(kind, test_images, N)
    assert (made == wide.make(kind, test_images, N)).all()
    assert (made == wide.make_all(test_images, N)[kind.name]).all()
    assert (made != wide.make(kind, test_images, N, seed=1)).any()


@by_name
def test_a_set_is_none_of_the_data_s_nor_of_the_other_table_s(kind, test_images):
    """The data, rotated by 90 degrees either way, and inverted."""
    made = rows(wide.make(kind, test_images, N))
    x = test_images.x
    for other in (x, np.rot90(x, 1, (2, 3)), np.rot90(x, 3, (2, 3)), 255 - x):
        assert not made & rows(np.ascontiguousarray(other))


def test_names_and_numbers():
    names = [kind.name for kind in wide.SETS]
    assert len(set(names)) == len(names) == 22
    assert sum(kind.near for kind in wide.SETS) == len(OF_CLOTHES) + 1  # and photographs
    assert all(kind.what for kind in wide.SETS)


def test_rounding_cuts_what_overshoots():
    x = np.array([[[-3.0, 0.4, 254.6, 300.0]]])
    assert wide.eight_bits(x).tolist() == [[[[0, 0, 255, 255]]]]


def test_a_set_takes_each_image_once_and_of_its_classes_only(test_images):
    upside_down = next(kind for kind in OF_CLOTHES if kind.name == "upside down")
    made = wide.make(upside_down, test_images, 1000)
    allowed = test_images.x[np.isin(test_images.y, clothes.UPRIGHT)]
    assert len(made) == len(allowed) == 48
    assert rows(np.ascontiguousarray(made[:, :, ::-1, ::-1])) == rows(allowed)


# ---- of clothes ---------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [kind for kind in OF_CLOTHES
                                  if kind.name not in ("halves", "collage")],
                         ids=lambda kind: kind.name)
def test_an_image_is_made_of_one(kind, greys):
    changed = greys.copy()
    changed[7] = greys[8]
    before, after = (kind.make(np.random.default_rng(5), x, None) for x in (greys, changed))
    assert np.flatnonzero((before != after).any(axis=(1, 2))).tolist() == [7]


def test_halves_are_of_different_kinds(rng):
    """Images that show their class as their grey."""
    labels = np.arange(500) % 10
    made = clothes.halves(rng, np.ones((500, 28, 28)) * labels[:, None, None], labels)
    left, right = made[:, :, :14], made[:, :, 14:]
    assert (left == labels[:, None, None]).all() and (right == right[:, :1, :1]).all()
    assert (clothes.KIND[labels] != clothes.KIND[right[:, 0, 0].astype(int)]).all()
    assert set(right[:, 0, 0]) == set(range(10))


def test_quarters_all_change_places(rng):
    x = np.kron(np.array([[0.0, 1.0], [2.0, 3.0]]), np.ones((14, 14))) * np.ones((200, 1, 1))
    made = clothes.quarters(rng, x, None)
    corners = made[:, ::14, ::14]
    assert (made == np.kron(corners, np.ones((14, 14)))).all()
    assert (np.sort(corners.reshape(200, 4)) == np.arange(4)).all()
    assert (corners != x[:, ::14, ::14]).all()
    assert len(rows(corners)) == 9  # derangements of four


def test_a_collage_is_of_small_images(rng, greys):
    made = clothes.collage(rng, greys, None)
    small = data.resized(greys, 14)
    assert made[:, :14, :14] == pytest.approx(small)
    for part in (made[:, :14, 14:], made[:, 14:, :14], made[:, 14:, 14:]):
        assert np.abs(part[:, None] - small).max(axis=(2, 3)).min(axis=1) == pytest.approx(0)


def test_tilted_by_odd_multiples_of_45_degrees(rng):
    """A bar from the centre to the right comes to lie on one half of a diagonal."""
    x = np.zeros((64, 29, 29))
    x[:, 14, 16:27] = 255
    made = clothes.tilted(rng, x, None)
    across, down = made.sum(axis=1) @ (np.arange(29) - 14), made.sum(axis=2) @ (np.arange(29) - 14)
    assert np.abs(across) == pytest.approx(np.abs(down), rel=0.02)
    assert set(zip(np.sign(across), np.sign(down))) == {(1, 1), (1, -1), (-1, 1), (-1, -1)}


def test_sheared_by_45_degrees(rng):
    """Rows, or columns, shift by their distance from the centre."""
    x = np.zeros((64, 29, 29))
    x[:, 9:20, 9:20] = rng.uniform(1, 255, (64, 11, 11))
    expected = []
    for sign in (-1, 1):
        moved = np.stack([np.roll(x[:, i], sign * (i - 14), axis=1) for i in range(29)], axis=1)
        along = np.stack([np.roll(x[:, :, i], sign * (i - 14), axis=1) for i in range(29)], axis=2)
        expected += [moved, along]
    far = np.abs(clothes.sheared(rng, x, None) - np.array(expected)).max(axis=(2, 3))
    assert far.min(axis=0) == pytest.approx(0, abs=1e-9)
    assert set(far.argmin(axis=0)) == {0, 1, 2, 3}


def test_enlarged_is_the_middle(rng):
    x = np.zeros((1, 28, 28))
    x[:, 9:18, 9:18] = rng.uniform(1, 255, (1, 9, 9))
    assert clothes.enlarged(rng, x, None) == pytest.approx(data.resized(x[:, 9:18, 9:18], 28))


def test_greys_of_fogged_and_wrapped(rng):
    x = np.array([[[0.0, 31.0, 32.0, 255.0]]])
    assert clothes.fogged(rng, x, None).tolist() == [[[127.5, 143.0, 143.5, 255.0]]]
    assert clothes.wrapped(rng, x, None).tolist() == [[[0.0, 248.0, 0.0, 248.0]]]


def test_blurred_has_the_spread_it_says(rng):
    x = np.zeros((1, 61, 61))
    x[0, 30, 30] = 1
    made, at = clothes.blurred(rng, x, None)[0], np.arange(61) - 30
    for axis in (0, 1):
        assert made.sum(axis=axis) @ at**2 == pytest.approx(16, rel=0.01)


def test_pixelated_has_means(rng, greys):
    made = clothes.pixelated(rng, greys, None)
    assert (made == np.kron(made[:, ::7, ::7], np.ones((7, 7)))).all()
    assert made[3, 8, 22] == pytest.approx(greys[3, 7:14, 21:28].mean())
    assert len(np.unique(made[3])) == 16


def test_specks_are_a_quarter(rng):
    made = clothes.specks(rng, np.full((100, 28, 28), 100.0), None)
    assert set(np.unique(made)) == {0, 100, 255}
    assert (made == 0).mean() == pytest.approx(0.125, abs=0.01)
    assert (made == 255).mean() == pytest.approx(0.125, abs=0.01)


def test_outlines_are_edges(rng):
    """Of each image alone, not of its neighbours."""
    x = np.full((2, 28, 28), 9.0)
    x[1, :, 14:] = 30
    made = clothes.outlines(rng, x, None)
    assert (made[0] == 0).all()
    assert made[1, 5].tolist() == [0.0] * 13 + [255.0] * 2 + [0.0] * 13


def test_spectra_keep_power_and_nothing_else(rng, greys):
    made = clothes.spectra(rng, greys, None)
    power, expected = (np.abs(np.fft.fft2(x)) for x in (made, greys))
    assert power == pytest.approx(expected, abs=1e-6)
    assert made.mean(axis=(1, 2)) == pytest.approx(greys.mean(axis=(1, 2)))
    assert np.abs(np.corrcoef(made.ravel() - made.mean(), greys.ravel())[0, 1]) < 0.7


# ---- drawn --------------------------------------------------------------------------------------


def test_photographs_are_cut_to_size(rng, monkeypatch):
    """Of a photograph whose grey grows to the right, cuts grow by their size."""
    ramp = np.tile(np.arange(300.0), (250, 1))
    monkeypatch.setattr(drawn, "grey_photographs", lambda: [ramp])
    made = drawn.photographs(rng, 100, 28)
    slopes = np.diff(made, axis=2)
    assert (slopes == slopes[:, :1, :1]).all() and (np.diff(made, axis=1) == 0).all()
    assert set(slopes[:, 0, 0]) == set(range(1, 9))


def test_photographs_are_two():
    temple, flower = drawn.grey_photographs()
    assert temple.shape == flower.shape == (427, 640)
    assert not (temple == flower).any(axis=1).all() and 0 <= temple.min() < temple.max() <= 255


def test_glyphs_lie_within_the_image(rng):
    made = drawn.glyphs(rng, 400, 28)
    edges = np.concatenate([made[:, 0], made[:, -1], made[:, :, 0], made[:, :, -1]], axis=1)
    assert (edges == 0).all()
    assert (made.max(axis=(1, 2)) > 200).all() and len(rows(made)) > 100


def test_strokes_are_two_pixels_wide():
    """A straight one, from the left to the right."""
    points = np.stack([np.linspace(0.25, 0.75, 4), np.full(4, 0.5)], axis=1)
    made = drawn.scribble(points, 28)
    inked = np.flatnonzero(made.max(axis=0))
    assert made[:, 14].sum() == pytest.approx(2 * 255, rel=0.2)
    assert abs(inked[0] - 7) <= 1 and abs(inked[-1] - 20) <= 1
    assert (np.diff(inked) == 1).all() and made.sum(axis=1).argmax() in (13, 14)


def test_clouds_are_smooth_from_black_to_white(rng):
    made = drawn.clouds(rng, 50, 28)
    assert (made.min(axis=(1, 2)) == 0).all()
    assert made.max(axis=(1, 2)) == pytest.approx(255)
    assert np.abs(np.diff(made, axis=2)).mean() < 0.3 * made.std()


def sizes(image):
    """How far apart greys change along each row; all rows change at the same columns."""
    changes = np.diff(image, axis=1) != 0
    assert (changes == changes[0]).all()
    return set(np.diff(np.flatnonzero(changes[0])))


def test_checkerboards_have_two_greys_in_squares(rng):
    seen = set()
    for image in drawn.checkerboards(rng, 100, 28):
        low, high = np.unique(image)
        assert high - low >= 64 and 0 <= low and high <= 255
        (size,) = sizes(image)
        assert sizes(image.T) == {size}
        seen.add(size)
    assert seen == set(range(1, 8))


def test_gratings_have_one_frequency(rng):
    made = drawn.gratings(rng, 100, 28)
    assert 0 <= made.min() and made.max() <= 255
    power = np.abs(np.fft.fft2(made - made.mean(axis=(1, 2), keepdims=True)))**2
    frequency = np.fft.fftfreq(28, 1 / 28)
    size = np.hypot(frequency[:, None], frequency)
    strongest = size.ravel()[power.reshape(100, -1).argmax(axis=1)]
    assert strongest.min() >= 1 and strongest.max() <= 15 and strongest.std() > 2


def test_codes_have_three_marks(rng):
    made = drawn.codes(rng, 20, 28)
    assert set(np.unique(made)) == {0, 255}
    dark = made == 0
    finder = np.ones((7, 7), bool)
    finder[1:-1, 1:-1] = False
    finder[2:-2, 2:-2] = True
    for corner in (dark[:, :7, :7], dark[:, :7, -7:], dark[:, -7:, :7]):
        assert (corner == finder).all()
    for quiet in (dark[:, 7, :8], dark[:, :8, 7], dark[:, 7, -8:], dark[:, :8, -8],
                  dark[:, -8, :8], dark[:, -8:, 7]):
        assert not quiet.any()
    assert 0.4 < dark[:, 8:, 8:].mean() < 0.6


def test_stars_are_few(rng):
    counts = (drawn.stars(rng, 500, 28) > 0).sum(axis=(1, 2))
    assert counts.min() == 5 and counts.max() == 50


# ---- arithmetic ---------------------------------------------------------------------------------


def by_sklearn(inside, outside):
    """AUROC, and the share of `outside` under the least threshold that passes 95 % of `inside`."""
    y = np.r_[np.ones(len(inside)), np.zeros(len(outside))]
    fpr, tpr, _ = roc_curve(y, -np.r_[inside, outside], drop_intermediate=False)
    return {"auroc": 1 - roc_auc_score(y, np.r_[inside, outside]),
            "fpr95": fpr[tpr >= 0.95].min()}


def test_figures_are_scikit_learn_s(rng):
    inside, outside = rng.normal(size=300).round(1), rng.normal(1, 2, 200).round(1)  # with ties
    assert detection.figures(inside, outside) == pytest.approx(by_sklearn(inside, outside))


class Told:
    """A detector whose score is an image's first pixel; it flags what is above its threshold."""

    def __init__(self):
        self.threshold, self.seen, self.promises = 0.5, [], []

    def score(self, x, kind=0):
        return x[:, 0, 0, 0] * (1 if kind == 0 else -1)

    def detect(self, x):
        return {"flag": np.where(self.score(x) > self.threshold, 3, 0)}

    def calibrate(self, x):
        self.seen.append(x)
        self.threshold = np.median(self.score(x))
        return self

    def set_threshold(self, fpr, confidence):
        self.promises.append((fpr, confidence))
        self.threshold = 1 - fpr


def told_inputs(rng, n_held_out=70):
    inputs = object.__new__(detection.Inputs)
    inputs.test, inputs.held_out, a, b = (rng.random((n, 1, 2, 2))
                                          for n in (50, n_held_out, 30, 40))
    inputs.sets = {"a": a + 0.3, "b": b}
    return inputs


def test_sets_are_told_apart_from_the_test_images(rng):
    inputs = told_inputs(rng)
    inside, a = inputs.test[:, 0, 0, 0], inputs.sets["a"][:, 0, 0, 0]
    made = detection.told_apart(Told(), inputs)
    assert list(made) == ["a", "b"] and made["a"] == pytest.approx(by_sklearn(inside, a))
    knn = detection.told_apart(Told(), inputs, "knn")
    assert knn["a"] == pytest.approx(by_sklearn(-inside, -a))


def test_short_has_mean_and_lowest(rng):
    inputs = told_inputs(rng)
    areas = [by_sklearn(inputs.test[:, 0, 0, 0], x[:, 0, 0, 0])["auroc"]
             for x in inputs.sets.values()]
    assert detection.short(Told(), inputs) == pytest.approx(
        {"auroc": np.mean(areas), "lowest": min(areas),
         "flagged": (inputs.test[:, 0, 0, 0] > 0.5).mean()})


def test_promises_are_tried_in_turn(rng, monkeypatch):
    monkeypatch.setattr(recipe, "PROMISES", [(0.2, 0.0), (0.4, 0.9)])
    detector, inputs = Told(), told_inputs(rng)
    made = detection.kept_promises(detector, inputs)
    assert detector.promises == [(0.2, 0.0), (0.4, 0.9)]
    assert [one["flagged"] for one in made] == [(inputs.test[:, 0, 0, 0] > t).mean()
                                                for t in (0.8, 0.6)]


@pytest.mark.parametrize("n, blocks", [(10, 5), (30, 2), (70, 1)])
def test_blocks_that_calibrate_have_no_image_in_common(rng, n, blocks):
    detector, inputs = Told(), told_inputs(rng)
    made = detection.with_calibration_rows(detector, inputs, n)
    assert (np.concatenate(detector.seen) == inputs.held_out[:n * blocks]).all()
    rates = [(inputs.test[:, 0, 0, 0] > np.median(x[:, 0, 0, 0])).mean() for x in detector.seen]
    assert made["rows"] == n and made["blocks"] == len(detector.seen) == blocks
    assert made["most"] == max(rates) and made["flagged"] == np.median(rates)


# ---- tables and targets -------------------------------------------------------------------------


def reported(areas, stored=0.005):
    """A report of three sets, the second of which is far, whose scores are `areas` less 0, .1 .."""
    scores = {kind: {name: {"auroc": area - i / 10, "fpr95": 1 - area}
                     for name, area in zip("abc", areas)}
              for i, kind in enumerate(detection.KINDS)}
    kept = {"fpr": 0.05, "confidence": 0.95, "flagged": stored}
    few = {"rows": 7, "auroc": 0.25, "lowest": 0.125, "flagged": 0.03}
    model = {"scores": scores, "promises": [kept | {"confidence": 0.0, "flagged": 0.041}],
             "stored": kept, "fitted": [few], "calibrated": [few | {"most": 0.06}]}
    sets = {name: {"what": f"set {name}", "near": name != "b", "images": 5} for name in "abc"}
    return {"detection": {"sets": sets, "models": {"jem": model}}}


def cells(text, start):
    (found,) = [line for line in text.splitlines() if line.startswith(f"| {start} ")]
    return [cell.strip() for cell in found.split("|")[2:-1]]


def test_means_are_of_near_and_far_sets():
    text = tables.separation(reported([0.9, 0.7, 0.6])["detection"], "auroc")
    assert text.splitlines()[0].split("|")[2].strip() == "detector jem"
    assert [line.split("|")[1].strip() for line in text.splitlines()[2:5]] == ["a", "c", "b"]
    assert cells(text, "c") == ["0.6000", "0.5000", "0.4000", "0.3000"]
    assert cells(text, "mean, clothes and photographs")[0] == "0.7500"
    assert cells(text, "mean, the others")[0] == "0.7000"
    assert cells(text, "mean")[0] == "0.7333" and cells(text, "worst")[0] == "0.6000"


def test_the_worst_set_passes_most():
    text = tables.separation(reported([0.9, 0.7, 0.6])["detection"], "fpr95")
    assert cells(text, "worst")[0] == "0.4000"


def test_promises_and_few_rows_are_shown():
    text = tables.detection(reported([0.9, 0.7, 0.6])["detection"])
    assert cells(text, "5% on average") == ["4.10%"]
    assert cells(text, "5% with confidence 95%, read from the file") == ["0.50%"]
    assert cells(text, "jem, fitted on 7") == ["0.2500", "0.1250", "3.00%", "3.00%"]
    assert cells(text, "jem, calibrated by 7") == ["0.2500", "0.1250", "3.00%", "6.00%"]


@pytest.mark.parametrize("text, report, met", [
    ("mean of the wide table", reported([1.0, 0.99, 0.94]), True),
    ("mean of the wide table", reported([1.0, 0.99, 0.93]), False),
    ("worst set of the wide table", reported([1.0, 0.851, 0.9]), True),
    ("worst set of the wide table", reported([1.0, 0.849, 0.9]), False),
    ("test images flagged", reported([0.9] * 3, 0.0099), True),
    ("test images flagged", reported([0.9] * 3, 0.0101), False),
])
def test_targets_of_the_wide_table(text, report, met):
    (target,) = [target for target in targets.TARGETS if text in target.text]
    assert target.applies(report) and target.met(target.figure(report)) == met


# ---- the whole ----------------------------------------------------------------------------------


@pytest.fixture
def tiny(monkeypatch, test_images):
    monkeypatch.setattr(recipe, "PROMISE", {"fpr": 0.2, "confidence": 0.5})
    monkeypatch.setattr(recipe, "PROMISES", [(0.2, 0.5), (0.4, 0.0)])
    monkeypatch.setattr(recipe, "CALIBRATION_ROWS", [20, 60, 1000])
    monkeypatch.setattr(recipe, "FITTED_PER_CLASS", [3])
    monkeypatch.setattr(recipe, "WIDE_IMAGES", 30)
    x, y = images(200, 1, side=28, classes=10)
    return data.Fashion(data.Images(x[:140], y[:140]), data.Images(x[140:], y[140:]), test_images)


def test_the_detector_is_fitted_calibrated_and_stored(tiny, tmp_path):
    """The same by hand; its scores by scikit-learn's area."""
    with jem.Model.create("mlp-6", 1, 10, height=28, width=28, seed=3) as model:
        model.save(tmp_path / "m")
        made = detection.report({"jem": tmp_path / "m"}, tiny, tmp_path, 4, 1)
        u8 = model.input_from_u8
        with jem.Detector(model, fpr=0.2) as detector:
            detector.fit(u8(tiny.training.x), tiny.training.y).calibrate(u8(tiny.held_out.x))
            test, codes = (u8(x) for x in (tiny.test.x, wide.make_all(tiny.test, 30, 4)["codes"]))
            areas = made["models"]["jem"]["scores"]
            for name, kind in (("detector", 0), ("energy", "energy"), ("knn", "knn"),
                               ("mahalanobis", "mahalanobis")):
                expected = by_sklearn(detector.score(test, kind), detector.score(codes, kind))
                assert areas[name]["codes"] == pytest.approx(expected)
            detector.set_threshold(0.2, 0.5)
            flagged = (detector.detect(test)["flag"] != 0).mean()
    jem_ = made["models"]["jem"]
    assert jem_["stored"] == {"fpr": 0.2, "confidence": 0.5, "flagged": flagged}
    assert jem_["promises"][0] == jem_["stored"] and jem_["promises"][1]["flagged"] > flagged
    assert [one["rows"] for one in jem_["fitted"]] == [30]
    assert [(one["rows"], one["blocks"]) for one in jem_["calibrated"]] == [(20, 3), (60, 1)]
    assert jem_["calibrated"][1]["auroc"] == pytest.approx(
        np.mean([one["auroc"] for one in areas["detector"].values()]))
    with jem.Model.load(tmp_path / "jem.detector.safetensors") as model:
        assert jem.Detector.of(model).info.confidence == 0.5
