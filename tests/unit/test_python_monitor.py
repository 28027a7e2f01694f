"""The monitor against its formula in jem.h, written down in numpy and scipy; the Python class."""

import pickle

import numpy as np
import pytest
from scipy.stats import beta

import jem

STRENGTHS = np.array([1.25, 2.0, 5.0, 20.0])


def bounds_of(scores, level_total, n_sides, tolerance):
    """Edges and upper limits of the parts above them, of one side."""
    n = len(scores)
    halvings = range(1, 17)
    ranks = sorted({(n + 1) >> h for h in halvings} - {0})
    limits = beta.isf(level_total / (len(ranks) * n_sides), ranks, n + 1 - np.array(ranks))
    found = {}
    for rank, limit in zip(ranks, limits):  # of equal edges the highest counts
        found.setdefault(float(np.sort(scores)[n - rank]), min(limit + tolerance, 1.0))
    return found


def log_evidence(scores, stream, alpha, two_sided, tolerance):
    """ln M as a sum over all beginnings of all bets."""
    signs = (1.0, -1.0) if two_sided else (1.0,)
    t = np.arange(1, len(stream) + 1)
    weights = 1.0 / np.log(np.e + t) ** 2 / (np.e + t)
    owned = []
    for sign in signs:
        for edge, u in bounds_of(sign * scores, alpha / 2, len(signs), tolerance).items():
            above = sign * stream > edge
            for a in STRENGTHS:
                gains = np.where(above, a, 1.0) / (1.0 + (a - 1.0) * u)
                owned.append(sum(w * np.prod(gains[s:]) for s, w in enumerate(weights)))
    return np.log(np.mean(owned) + 1.0 / np.log(np.e + len(stream)))


@pytest.mark.parametrize("two_sided", [0, 1])
@pytest.mark.parametrize("tolerance", [0.0, 0.02])
@pytest.mark.parametrize("n, levels", [(3, 0), (40, 0), (1000, 0), (300, 1)])
def test_formula(n, levels, tolerance, two_sided):
    rng = np.random.default_rng(n)

    def draw(count, shift=0.0):
        x = rng.standard_normal(count) + shift
        return (np.round(x * levels) / levels if levels else x).astype(np.float32)

    scores, stream = draw(n), np.concatenate([draw(60), draw(40, 1.0)])
    monitor = jem.Monitor(scores, alpha=0.05, tolerance=tolerance, two_sided=two_sided)
    history = []
    for x in stream:
        monitor.update(x)
        history.append(monitor.info.log_evidence)
    for at in (1, 60, 100):
        expected = log_evidence(scores, stream[:at], 0.05, two_sided, tolerance)
        assert history[at - 1] == pytest.approx(expected, abs=1e-9)
    info = monitor.info
    assert info.log_evidence_max == max(0.0, *history)
    assert info.log_threshold == pytest.approx(np.log(2 / 0.05), abs=1e-14)
    first = next((t + 1 for t, e in enumerate(history) if e >= info.log_threshold), 0)
    assert info.alarm_at == first and info.alarm == (first > 0)


@pytest.fixture
def scores():
    return np.random.default_rng(0).standard_normal(500)


@pytest.fixture
def monitor(scores):
    return jem.Monitor(scores)


def test_update_and_alarm(monitor):
    rng = np.random.default_rng(1)
    seen = []
    monitor.on_alarm(seen.append)
    assert monitor.update(rng.standard_normal(2000)) is False and not seen
    assert monitor.update(rng.standard_normal(500) + 1) is True
    assert len(seen) == 1 and seen[0].n_seen == 2500 and 2000 < seen[0].alarm_at < 2300
    assert monitor.update(0.0) is True and len(seen) == 1
    monitor.reset()
    assert monitor.info.n_seen == 0 and monitor.info.alarm == 0


def test_receiver_that_raises(monitor):
    def receiver(info):
        raise RuntimeError("shifted")

    monitor.on_alarm(receiver)
    with pytest.raises(RuntimeError, match="shifted"):
        monitor.update(np.full(100, 9.0))
    assert monitor.info.alarm == 1 and monitor.info.n_seen == 100
    monitor.reset()
    monitor.on_alarm(None)
    assert monitor.update(np.full(100, 9.0)) is True


def test_snapshot_pickle_merge(monitor):
    rng = np.random.default_rng(2)
    monitor.update(rng.standard_normal(300))
    twin = jem.Monitor.restore(monitor.snapshot())
    assert twin.info == monitor.info == pickle.loads(pickle.dumps(monitor)).info
    twin.update(np.full(5, 4.0))
    collector = jem.Monitor.restore(monitor.snapshot())
    assert collector.merge([monitor, twin.snapshot()]) is False
    own = 1 / np.log(np.e + np.array([300, 305]))
    parts = np.exp([monitor.info.log_evidence, twin.info.log_evidence]) - own
    expected = np.log(parts.mean() + 1 / np.log(np.e + 605))
    assert collector.info.n_seen == 605
    assert collector.info.log_evidence == pytest.approx(expected, abs=1e-12)


def test_errors(scores, monitor):
    with pytest.raises(jem.JemInvalidError, match=r"scores\[1\] is NaN"):
        monitor.update([0.0, np.nan])
    with pytest.raises(jem.JemInvalidError, match="alpha"):
        jem.Monitor(scores, alpha=0.0)
    with pytest.raises(TypeError, match="no setting 'beta'"):
        jem.Monitor(scores, beta=1)
    with pytest.raises(ValueError, match="expected"):
        monitor.update(np.zeros((2, 2)))
    damaged = bytearray(monitor.snapshot())
    damaged[100] ^= 1
    for data in (bytes(damaged), b"", b"x" * 2048):
        with pytest.raises(jem.JemFormatError):
            jem.Monitor.restore(data)
    with pytest.raises(jem.JemMismatchError):
        monitor.merge([jem.Monitor(scores, alpha=0.02)])
    assert monitor.info.n_seen == 0
    monitor.close()
    with pytest.raises(ValueError, match="closed"):
        monitor.merge([])
