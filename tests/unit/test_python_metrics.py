"""Metrics against scikit-learn where it has them, and against numpy that follows the definitions.

The oracles are naive: all pairs, all thresholds, all orders. Scores of few distinct values make
ties everywhere.
"""

import itertools

import numpy as np
import pytest

import jem

RELATIVE = 1e-12


def close(found, expected, tolerance=RELATIVE):
    np.testing.assert_allclose(found, expected, rtol=tolerance, atol=tolerance)


def rng(seed):
    return np.random.default_rng(seed)


# ---- detection -------------------------------------------------------------------------------


def scores_of(kind):
    """Scores of in- and out-of-distribution rows."""
    r = rng(3)
    few = lambda n, shift: np.round(r.normal(size=n) * 2 + shift) / 2  # noqa: E731
    inf = np.float32(np.inf)
    return {
        "distinct": (r.normal(size=83), r.normal(size=61) + 1),
        "ties": (few(200, 0), few(150, 1)),
        "worse than chance": (few(40, 2), few(55, 0)),
        "infinite": (np.append(few(30, 0), [inf, inf, -inf]), np.append(few(20, 1), [inf] * 5)),
        "one row each": ([0.5], [0.7]),
        "one row each, the other way": ([0.7], [0.5]),
        "one of many": (few(100, 0), [0.5]),
        "all equal": ([1.0] * 7, [1.0] * 4),
        "all infinite": ([inf] * 3, [inf] * 8),
        "separate": ([0, 1, 2], [3, 4]),
        "as zeros": ([-0.0, 0.0], [0.0, -0.0, 1.0]),
        "many": (few(3000, 0), r.normal(size=2500)),
    }[kind]


KINDS = ["distinct", "ties", "worse than chance", "infinite", "one row each",
         "one row each, the other way", "one of many", "all equal", "all infinite", "separate",
         "as zeros", "many"]


def points(positive, negative):
    """Shares of positives and negatives with scores >= t, for each distinct t, highest first."""
    thresholds = np.unique(np.concatenate([positive, negative]))[::-1]
    return (np.array([np.mean(positive >= t) for t in thresholds]),
            np.array([np.mean(negative >= t) for t in thresholds]))


def average_precision(positive, negative):
    total, recall = 0.0, 0.0
    for p, n in zip(*points(positive, negative)):
        total += (p - recall) * p * len(positive) / (p * len(positive) + n * len(negative))
        recall = p
    return total


def fpr_at(positive, negative, tpr):
    tprs, fprs = points(positive, negative)
    return fprs[np.argmax(tprs >= tpr)]


def naive_detection(scores_in, scores_out, tpr):
    low, high = (np.float32(s).astype(float) for s in (scores_in, scores_out))
    wins = (high[:, None] > low).mean() + 0.5 * (high[:, None] == low).mean()
    return {"auroc": wins,
            "aupr_out": average_precision(high, low), "aupr_in": average_precision(-low, -high),
            "fpr_in_positive": fpr_at(-low, -high, tpr), "fpr_out_positive": fpr_at(high, low, tpr)}


@pytest.mark.parametrize("tpr", [0.95, 0.8, 0.01, 1.0])
@pytest.mark.parametrize("kind", KINDS)
def test_detection(kind, tpr):
    found = jem.detection_metrics(*scores_of(kind), tpr=tpr)
    for name, expected in naive_detection(*scores_of(kind), tpr).items():
        close(getattr(found, name), expected)
    assert jem.auroc(*scores_of(kind)) == found.auroc


@pytest.mark.parametrize("kind", KINDS)
def test_detection_against_sklearn(kind):
    sklearn = pytest.importorskip("sklearn.metrics")
    scores_in, scores_out = (np.float32(s) for s in scores_of(kind))
    # It takes no infinite scores, so each is replaced by its place among the distinct ones.
    ranks = np.unique(np.concatenate([scores_in, scores_out]), return_inverse=True)[1].astype(float)
    is_out = np.arange(len(ranks)) >= len(scores_in)
    found = jem.detection_metrics(scores_in, scores_out)
    close(found.auroc, sklearn.roc_auc_score(is_out, ranks))
    close(found.aupr_out, sklearn.average_precision_score(is_out, ranks))
    close(found.aupr_in, sklearn.average_precision_score(~is_out, -ranks))
    fpr, tpr, _ = sklearn.roc_curve(is_out, ranks, drop_intermediate=False)
    curve = jem.roc_curve(scores_in, scores_out)
    close(curve.fpr, fpr)
    close(curve.tpr, tpr)
    close(found.fpr_out_positive, fpr[np.argmax(tpr >= 0.95)])
    fpr, tpr, _ = sklearn.roc_curve(~is_out, -ranks, drop_intermediate=False)
    close(found.fpr_in_positive, fpr[np.argmax(tpr >= 0.95)])


def test_both_conventions_by_name():
    """Of 20 in rows 19 score 0 and one 5; of 20 out rows 3 score -1 and 17 score 4."""
    found = jem.detection_metrics([0] * 19 + [5], [-1] * 3 + [4] * 17)
    assert found.fpr_in_positive == 3 / 20  # accepting scores <= 0 accepts 3 out rows
    assert found.fpr_out_positive == 1.0  # flagging 19 of 20 out rows takes scores >= -1
    found = jem.detection_metrics([0] * 19 + [5], [-1] + [4] * 19)
    assert (found.fpr_in_positive, found.fpr_out_positive) == (1 / 20, 1 / 20)


# ---- selective classification ----------------------------------------------------------------


def by_all_orders(uncertainty, loss):
    """Mean AURC and AUGRC over all orders of the rows that the uncertainties allow."""
    n, aurcs, augrcs = len(loss), [], []
    for order in itertools.permutations(range(n)):
        if (np.diff(uncertainty[list(order)]) >= 0).all():
            sums = np.cumsum(loss[list(order)])
            aurcs.append(np.mean(sums / np.arange(1, n + 1)))
            augrcs.append(np.mean((sums + np.append(0, sums[:-1])) / 2) / n)
    return np.mean(aurcs), np.mean(augrcs)


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("binary", [True, False])
def test_selection_is_the_mean_over_orders(seed, binary):
    r = rng(seed)
    n = r.integers(1, 7)
    uncertainty = r.integers(0, 3, n).astype(np.float32)
    uncertainty[uncertainty == 2] = np.inf
    loss = r.integers(0, 2, n) if binary else np.float32(r.random(n)).astype(float)
    found = jem.selective_metrics(uncertainty, loss)
    aurc, augrc = by_all_orders(uncertainty.astype(float).clip(0, 9), loss)
    close([found.aurc, found.augrc], [aurc, augrc])
    best, _ = by_all_orders(loss, loss)
    close(found.eaurc, aurc - best)
    close(found.risk, loss.mean())


@pytest.mark.parametrize("ties", [True, False])
def test_augrc_by_auroc(ties):
    """Traub et al. 2024: (1 - A) a (1 - a) + (1 - a)^2 / 2."""
    r = rng(8)
    wrong = r.random(500) < 0.3
    uncertainty = r.normal(size=500) + wrong
    if ties:
        uncertainty = uncertainty.round()
    area, accuracy = jem.auroc(uncertainty[~wrong], uncertainty[wrong]), 1 - wrong.mean()
    expected = (1 - area) * accuracy * (1 - accuracy) + 0.5 * (1 - accuracy) ** 2
    close(jem.selective_metrics(uncertainty, wrong).augrc, expected)


def test_selection_does_not_see_the_order_of_rows():
    r = rng(9)
    uncertainty, loss = r.integers(0, 5, 100), r.random(100)
    order = r.permutation(100)
    found, again = (jem.selective_metrics(uncertainty[i], loss[i]) for i in (slice(None), order))
    close([found.aurc, found.eaurc, found.augrc], [again.aurc, again.eaurc, again.augrc])
    assert jem.selective_metrics(loss, loss).eaurc == 0
    one = jem.selective_metrics([np.inf], [0.25])
    assert (one.risk, one.aurc, one.eaurc, one.augrc) == (0.25, 0.25, 0, 0.125)


def test_risk_coverage_curve():
    r = rng(10)
    uncertainty, loss = r.integers(0, 9, 77), np.float32(r.random(77)).astype(float)
    curve = jem.risk_coverage_curve(uncertainty, loss)
    steps = np.unique(uncertainty)
    close(curve.coverage, [np.mean(uncertainty <= u) for u in steps])
    close(curve.risk, [loss[uncertainty <= u].mean() for u in steps])
    generalised = np.append(0, curve.coverage * curve.risk)
    close(np.trapz(generalised, np.append(0, curve.coverage)),
          jem.selective_metrics(uncertainty, loss).augrc)
    close(jem.risk_coverage_curve([1, 1], [0, 1]), [[1], [0.5]])


# ---- classification --------------------------------------------------------------------------


def probabilities(logits, temperature):
    z = np.float32(logits).astype(float) / temperature
    p = np.exp(z - z.max(axis=1, keepdims=True))
    return p / p.sum(axis=1, keepdims=True)


def width_bins(p, bins):
    return np.minimum((p * bins).astype(int), bins - 1)


def mass_bins(p, bins):
    return np.array([(p < value).sum() * bins // len(p) for value in p])


def calibration_error(p, hit, at):
    return sum(abs((p[at == b] - hit[at == b]).sum()) for b in np.unique(at)) / len(p)


def naive_classification(logits, labels, temperature, bins):
    p = probabilities(logits, temperature)
    n, classes = p.shape
    confidence, hit = p.max(axis=1), logits.argmax(axis=1) == labels
    one_hot = np.eye(classes)[labels]
    by_class = [calibration_error(p[:, k], one_hot[:, k], width_bins(p[:, k], bins))
                for k in range(classes)]
    return {"accuracy": hit.mean(), "nll": -np.log(p[np.arange(n), labels]).mean(),
            "brier": ((p - one_hot) ** 2).sum(axis=1).mean(),
            "ece": calibration_error(confidence, hit, width_bins(confidence, bins)),
            "ece_adaptive": calibration_error(confidence, hit, mass_bins(confidence, bins)),
            "ece_classwise": np.mean(by_class)}


def logits_of(kind):
    r = rng(4)
    return {
        "plain": (r.normal(size=(200, 5)) * 2, r.integers(0, 5, 200)),
        "two classes": (r.normal(size=(90, 2)), r.integers(0, 2, 90)),
        "classes without rows": (r.normal(size=(50, 6)), r.integers(2, 4, 50)),
        "one row": (r.normal(size=(1, 4)), [2]),
        "one class": (r.normal(size=(9, 1)), np.zeros(9, int)),
        "all equal": (np.zeros((30, 3)), r.integers(0, 3, 30)),
        "repeated rows": (r.normal(size=(4, 3))[r.integers(0, 4, 61)], r.integers(0, 3, 61)),
        "large": (r.normal(size=(40, 3)) * 100, r.integers(0, 3, 40)),
    }[kind]


LOGITS = ["plain", "two classes", "classes without rows", "one row", "one class", "all equal",
          "repeated rows", "large"]


@pytest.mark.parametrize("temperature", [1.0, 0.5, 3.0])
@pytest.mark.parametrize("bins", [15, 1, 7, 1000])
@pytest.mark.parametrize("kind", LOGITS)
def test_classification(kind, bins, temperature):
    logits, labels = logits_of(kind)
    found = jem.classification_metrics(logits, labels, temperature=temperature, bins=bins)
    expected = naive_classification(np.float32(logits), labels, temperature, bins)
    for name, value in expected.items():
        close(getattr(found, name), value, 1e-11)  # sums of thousands of rounded probabilities


@pytest.mark.parametrize("bins", [15, 4])
@pytest.mark.parametrize("kind", LOGITS)
def test_reliability(kind, bins):
    logits, labels = logits_of(kind)
    p = probabilities(logits, 2.0)
    confidence, hit = p.max(axis=1), np.float32(logits).argmax(axis=1) == labels
    for name, place in (("width", width_bins), ("mass", mass_bins)):
        found = jem.reliability(logits, labels, temperature=2.0, kind=name, bins=bins)
        at = place(confidence, bins)
        assert found.count.tolist() == np.bincount(at, minlength=bins).tolist()
        for b in range(bins):
            inside = at == b
            close(found.confidence[b], confidence[inside].mean() if inside.any() else 0)
            close(found.accuracy[b], hit[inside].mean() if inside.any() else 0)


def test_classification_against_sklearn():
    sklearn = pytest.importorskip("sklearn.metrics")
    logits, labels = logits_of("plain")
    found = jem.classification_metrics(logits, labels)
    close(found.accuracy, sklearn.accuracy_score(labels, np.float32(logits).argmax(axis=1)))
    close(found.nll, sklearn.log_loss(labels, probabilities(logits, 1.0)))
    logits, labels = logits_of("two classes")
    p = probabilities(logits, 1.0)[:, 1]
    close(jem.classification_metrics(logits, labels).brier,
          2 * sklearn.brier_score_loss(labels, p))


def test_prediction_is_the_first_of_several():
    assert jem.classification_metrics([[0, 2, 2]], [1]).accuracy == 1
    assert jem.classification_metrics([[0, 2, 2]], [2]).accuracy == 0


def test_extreme_temperatures():
    logits, labels = [[3.0e38, -3.0e38], [0, 1]], [1, 1]
    cold = jem.classification_metrics(logits, labels, temperature=1e-6)
    close(cold.nll, float(np.float32(3.0e38)) * 1e6)
    assert (cold.accuracy, cold.brier, cold.ece) == (0.5, 1, 0.5)
    hot = jem.classification_metrics([[3, -3], [0, 1]], labels, temperature=1e6)
    close(hot.nll, np.log(2), 1e-5)


def test_order_of_rows_does_not_matter():
    logits, labels = logits_of("repeated rows")
    order = rng(5).permutation(len(labels))
    found = jem.classification_metrics(logits, labels)
    again = jem.classification_metrics(logits[order], labels[order])
    for name in ("accuracy", "nll", "brier", "ece", "ece_adaptive", "ece_classwise"):
        close(getattr(found, name), getattr(again, name))


# ---- intervals -------------------------------------------------------------------------------

RESAMPLES = 4000


def check_intervals(found, draws, names):
    """`draws` of each figure by numpy, a thousand. The standard error of their 5 % quantile is 0.02
    of the interval for a normal law; the test allows five times as much."""
    for name in names:
        low, high = np.quantile([draw[name] for draw in draws], [0.05, 0.95])
        allowed = 0.1 * (high - low)
        assert abs(getattr(found.low, name) - low) < allowed, name
        assert abs(getattr(found.high, name) - high) < allowed, name


@pytest.mark.parametrize("n_in, n_out", [(300, 60), (60, 300)])
def test_detection_intervals(n_in, n_out):
    r = rng(6)
    scores_in, scores_out = r.normal(size=n_in), r.normal(size=n_out) + 1
    found = jem.detection_intervals(scores_in, scores_out, resamples=RESAMPLES, level=0.9, seed=1)
    draws = []
    for _ in range(1000):
        low, high = r.choice(scores_in, n_in), r.choice(scores_out, n_out)
        m = jem.detection_metrics(low, high)
        draws.append({"auroc": m.auroc, "aupr_in": m.aupr_in, "aupr_out": m.aupr_out,
                      "fpr_in_positive": m.fpr_in_positive})
    check_intervals(found, draws, draws[0])


def test_classification_intervals():
    r = rng(7)
    labels = r.integers(0, 4, 150)
    logits = r.normal(size=(150, 4)) + 2 * np.eye(4)[labels]
    found = jem.classification_intervals(logits, labels, temperature=1.5, bins=6, level=0.9,
                                         resamples=RESAMPLES)
    draws = []
    for _ in range(1000):
        rows = r.integers(0, 150, 150)
        m = jem.classification_metrics(logits[rows], labels[rows], temperature=1.5, bins=6)
        draws.append({name: getattr(m, name) for name in ("accuracy", "nll", "brier", "ece",
                                                          "ece_adaptive", "ece_classwise")})
    check_intervals(found, draws, draws[0])


def check_extremes(found, draws):
    """With more resamples than there are draws, a level of almost 1 ends at the extremes."""
    for name in draws[0]:
        values = [draw[name] for draw in draws]
        close([getattr(found.low, name), getattr(found.high, name)], [min(values), max(values)],
              1e-7)


def test_classification_intervals_over_all_draws():
    logits, labels = np.float32([[0, 0.1], [0, 2.2], [0, 1]]), np.array([1, 0, 1])
    found = jem.classification_intervals(logits, labels, bins=2, level=1 - 1e-9, resamples=3000)
    draws = [list(rows) for rows in itertools.product(range(3), repeat=3)]
    check_extremes(found, [naive_classification(logits[d], labels[d], 1, 2) for d in draws])


def test_detection_intervals_over_all_draws():
    scores_in, scores_out = np.array([0.0, 1.0, 3.0]), np.array([1.0, 2.0])
    found = jem.detection_intervals(scores_in, scores_out, level=1 - 1e-9, resamples=3000)
    draws = itertools.product(itertools.product(scores_in, repeat=3),
                              itertools.product(scores_out, repeat=2))
    check_extremes(found, [naive_detection(*draw, 0.95) for draw in draws])


def test_quantiles_are_interpolated():
    """Of three values a < b < c: quantile q of 0 .. 0.5 is a + 2 q (b - a)."""
    r = rng(15)
    scores = r.normal(size=50), r.normal(size=50) + 1
    ends = jem.detection_intervals(*scores, resamples=3, level=1 - 1e-12)
    middle = jem.detection_intervals(*scores, resamples=3, level=1e-12).low.auroc
    half = jem.detection_intervals(*scores, resamples=3, level=0.5)
    low, high = ends.low.auroc, ends.high.auroc
    assert low < middle < high
    close([half.low.auroc, half.high.auroc], [(low + middle) / 2, (middle + high) / 2], 1e-9)


def test_interval_settings():
    r = rng(8)
    scores = r.normal(size=50), r.normal(size=50) + 1
    one = jem.detection_intervals(*scores, seed=1)
    assert one == jem.detection_intervals(*scores, seed=1, resamples=1000, level=0.95)
    assert one != jem.detection_intervals(*scores, seed=2)
    wide = jem.detection_intervals(*scores, seed=1, level=0.999)
    assert wide.low.auroc < one.low.auroc < jem.auroc(*scores) < one.high.auroc < wide.high.auroc
    # A single resample is both ends; its figures are of rows that were drawn.
    single = jem.detection_intervals(*scores, resamples=1)
    assert single.low == single.high
    assert jem.detection_intervals([1], [2]).low == jem.detection_metrics([1], [2])
    same = jem.classification_intervals([[0, 1]], [1])
    assert same.low == same.high == jem.classification_metrics([[0, 1]], [1])


# ---- samples ---------------------------------------------------------------------------------


def naive_frechet(a, b):
    """tr (C_a C_b)^(1/2) is the sum of the singular values of A B^T, if C_a = A^T A and so on."""
    a, b = (np.float32(s).astype(float) for s in (a, b))
    centred = [(s - s.mean(axis=0)) / np.sqrt(max(len(s) - 1, 1)) for s in (a, b)]
    common = np.linalg.svd(centred[0] @ centred[1].T, compute_uv=False).sum()
    traces = sum((s ** 2).sum() for s in centred)
    return ((a.mean(axis=0) - b.mean(axis=0)) ** 2).sum() + traces - 2 * common, traces


@pytest.mark.parametrize("n_a, n_b, width", [
    (300, 200, 5), (40, 41, 40), (50, 300, 64), (12, 9, 30), (7, 500, 100), (1, 20, 4), (1, 1, 3),
    (20, 30, 1), (500, 500, 130), (2, 2, 8)])
def test_frechet_distance(n_a, n_b, width):
    r = rng(n_a + n_b)
    a = r.normal(size=(n_a, width)) @ r.normal(size=(width, width)) + 1
    b = r.normal(size=(n_b, width)) * np.linspace(0.5, 3, width)
    expected, traces = naive_frechet(a, b)
    for found in (jem.frechet_distance(a, b), jem.frechet_distance(b, a)):
        assert abs(found - expected) <= 1e-10 * (traces + expected)


def test_frechet_distance_of_known_sets():
    r = rng(11)
    a = r.normal(size=(100, 20))
    assert jem.frechet_distance(a, a) <= 1e-12 * naive_frechet(a, a)[1]
    moved = np.float32(a) + np.float32(2)
    close(jem.frechet_distance(a, moved), 80, 1e-5)
    constant = np.full((9, 4), 2.0)
    assert jem.frechet_distance(constant, constant) == 0
    assert jem.frechet_distance(constant, constant + 1) == 4
    close(jem.frechet_distance([[0], [2]], [[0], [4]]), 1 + (np.sqrt(8) - np.sqrt(2)) ** 2)
    huge = a * 1e30
    close(jem.frechet_distance(huge, -2 * huge) / naive_frechet(huge, -2 * huge)[0], 1, 1e-6)


def test_frechet_distance_of_low_rank_sets():
    """Many eigenvalues are 0 in exact arithmetic, which is where rounding counts."""
    r = rng(12)
    a = r.normal(size=(200, 3)) @ r.normal(size=(3, 50))
    b = r.normal(size=(300, 2)) @ r.normal(size=(2, 50))
    expected, traces = naive_frechet(a, b)
    assert abs(jem.frechet_distance(a, b) - expected) <= 1e-7 * traces  # as jem.h says


def test_inception_score():
    r = rng(13)
    for logits in (r.normal(size=(70, 6)) * 3, r.normal(size=(1, 6)), np.zeros((5, 3)),
                   r.normal(size=(20, 1)), r.normal(size=(50, 4)) * 1000,
                   [[0, 1, -1e4], [2, 0, -1e5]]):
        p = probabilities(logits, 1.0)
        marginal = p.mean(axis=0)
        with np.errstate(all="ignore"):
            terms = np.where(p > 0, p * (np.log(p) - np.log(marginal)), 0)
        close(jem.inception_score(logits), np.exp(terms.sum(axis=1).mean()), 1e-11)
    close(jem.inception_score(np.eye(7) * 1e4), 7)
    assert jem.inception_score([[5, 1]]) == 1


def naive_precision_recall(real, samples, k):
    def share(inside, rows):
        a, b = (np.float32(s).astype(float) for s in (inside, rows))
        among = np.sqrt(((a[:, None] - a) ** 2).sum(axis=2))
        radii = np.sort(among, axis=1)[:, k]  # place 0 is the row itself
        between = np.sqrt(((b[:, None] - a) ** 2).sum(axis=2))
        return (between <= radii).any(axis=1).mean()

    return share(real, samples), share(samples, real)


@pytest.mark.parametrize("n, m, width, k", [
    (60, 80, 2, 3), (100, 33, 19, 1), (2, 2, 3, 1), (40, 40, 8, 39), (17, 16, 1, 5),
    (90, 70, 5, 12)])
def test_precision_recall(n, m, width, k):
    r = rng(n * m)
    real, samples = r.normal(size=(n, width)), r.normal(size=(m, width)) * 1.3 + 0.5
    close(jem.precision_recall(real, samples, k=k), naive_precision_recall(real, samples, k))
    grid = np.round(real), np.round(samples)  # rows that are equal, and distances that are
    close(jem.precision_recall(*grid, k=k), naive_precision_recall(*grid, k))


def test_precision_recall_of_known_sets():
    corners = np.array([[0, 0], [0, 1], [1, 0], [1, 1]])
    assert jem.precision_recall(corners, corners, k=1) == (1, 1)
    assert jem.precision_recall(corners, corners + 10, k=1) == (0, 0)
    assert jem.precision_recall(corners, np.repeat(corners[:1], 5, axis=0), k=3) == (1, 0.25)
    assert jem.precision_recall([[0], [0]], [[0], [1]], k=1) == (0.5, 1)


# ---- arguments -------------------------------------------------------------------------------

REFUSED = [
    ("expected (n, classes)", lambda: jem.classification_metrics([0, 1], [0, 1])),
    ("one per row", lambda: jem.classification_metrics([[0, 1]], [0, 1])),
    ("temperature is 0", lambda: jem.classification_metrics([[0, 1]], [0], temperature=0)),
    ("bins is 0", lambda: jem.reliability([[0, 1]], [0], bins=0)),
    ("bins is -3", lambda: jem.reliability([[0, 1]], [0], bins=-3)),
    ("expected one of width, mass", lambda: jem.reliability([[0, 1]], [0], kind="log")),
    ("level is 1", lambda: jem.detection_intervals([1], [2], level=1)),
    ("resamples is 0", lambda: jem.classification_intervals([[0, 1]], [0], resamples=0)),
    ("tpr is 95", lambda: jem.detection_metrics([1], [2], tpr=95)),
    ("scores_out has shape", lambda: jem.roc_curve([1], [[2]])),
    ("n_in is 0", lambda: jem.roc_curve([], [2])),
    ("loss has shape", lambda: jem.selective_metrics([1, 2], [0])),
    ("loss is 2", lambda: jem.risk_coverage_curve([1, 2], [0, 2])),
    ("b has shape (1, 3); expected (n, 2)", lambda: jem.frechet_distance([[0, 1]], [[0, 1, 2]])),
    ("real has shape", lambda: jem.precision_recall([0, 1], [[0]], k=1)),
    ("k is 3; expected 1..1", lambda: jem.precision_recall([[0], [1]], [[0], [1]])),
    ("logits is nan", lambda: jem.inception_score([[np.nan]])),
]


@pytest.mark.parametrize("word, call", REFUSED, ids=[word for word, _ in REFUSED])
def test_refused(word, call):
    with pytest.raises(ValueError) as error:
        call()
    assert word in str(error.value)
