"""Checkpoints and the guard from Python: a resumed run is the run, errors arrive as exceptions."""

import numpy as np
import pytest

import jem
from python_support import CLASSES, FEATURES, model, x, y  # noqa: F401 (fixtures)


def new_run(model, **config):
    clone = model.clone()
    sampler = jem.Sampler(clone, capacity=20, steps=2, start="mixture", seed=5)
    rng = np.random.default_rng(0)
    sampler.fit(rng.normal(size=(30, FEATURES)), np.arange(30) % CLASSES)
    return clone, jem.Optimizer(clone, lr=0.01, **config), sampler


def steps(run, x, y, n, **config):
    return [jem.train_step(*run, x_labelled=x, y_labelled=y, **config) for _ in range(n)]


def test_resume(model, x, y, tmp_path):
    whole, first, second = (new_run(model) for _ in range(3))
    steps(whole, x, y, 9, guard=1)
    steps(first, x, y, 4, guard=1)
    first[1].note = "row 28, \u00e9"
    jem.save_checkpoint(tmp_path / "c", *first)
    steps(second, x, y, 2)
    jem.load_checkpoint(str(tmp_path / "c"), *second)
    assert second[1].note == "row 28, \u00e9" and second[1].steps == 4
    steps(second, x, y, 5, guard=1)
    assert np.array_equal(whole[0].params, second[0].params)
    assert np.array_equal(whole[2].chains().x, second[2].chains().x)


def test_without_a_sampler(model, x, y, tmp_path):
    run = new_run(model)[:2]
    assert run[1].note == ""
    plain = {"w_px": 0, "energy_l2": 0}
    steps(run, x, y, 2, **plain)
    jem.save_checkpoint(tmp_path / "c", *run)
    before = run[0].params
    steps(run, x, y, 2, **plain)
    jem.load_checkpoint(tmp_path / "c", *run)
    assert np.array_equal(run[0].params, before)


def test_errors(model, x, y, tmp_path):
    run, other = new_run(model), new_run(model, kind="sgd")
    with pytest.raises(jem.JemIOError):
        jem.load_checkpoint(tmp_path / "none", *run)
    jem.save_checkpoint(tmp_path / "c", *run)
    with pytest.raises(jem.JemMismatchError, match="optimizer.kind"):
        jem.load_checkpoint(tmp_path / "c", *other)
    (tmp_path / "c").write_bytes(b"no checkpoint")
    with pytest.raises(jem.JemFormatError):
        jem.load_checkpoint(tmp_path / "c", *run)
    with pytest.raises(TypeError):
        run[1].note = 7


def test_event(model, x, y):
    run = new_run(model)
    assert {s.event for s in steps(run, x, y, 5, guard=1)} == {"none"}
    before = run[0].params
    run[1].lr = 1e6
    (undone,) = steps(run, x, y, 1, guard=1)
    assert undone.event == "rollback" and undone.step == 0
    assert not np.array_equal(run[0].params, before) and run[1].lr == pytest.approx(5e5)
    with pytest.raises(jem.JemDivergedError):
        steps(run, x, y, 4, guard=1)
