"""Rows that a program should hear of, and long calls that answer Ctrl-C."""

import os
import signal
import subprocess
import sys
import time
import warnings

import numpy as np
import pytest

import jem

SHAPE = (1, 8, 8)


@pytest.fixture
def model():
    with jem.Model.create("cnn-8-8:act=silu", 1, 4, height=8, width=8, seed=1) as made:
        yield made


def images(n=9):
    return np.random.default_rng(0).uniform(-1, 1, (n, *SHAPE)).astype(np.float32)


CALLS = [
    lambda model, x: model.logits(x),
    lambda model, x: model.energy(x),
    lambda model, x: model.energy(x, 1),
    lambda model, x: model.energy_grad(x)[0],
    lambda model, x: model.score(x, "energy"),
    lambda model, x: model.score(x, "gradient_norm"),
    lambda model, x: model.predict(x),
    lambda model, x: model.predict_proba(x),
]


@pytest.mark.parametrize("compute", CALLS)
def test_rows_outside_of_the_range_are_told(model, compute):
    x = images()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        compute(model, x)
    x[4] *= 100
    x[7, 0, 0, 0] = 3
    with pytest.warns(jem.JemWarning, match=r"2 of 9 rows .* -1\.\.1, the first is row 4") as told:
        compute(model, x)
    assert len(told) == 1 and told[0].filename == __file__


@pytest.mark.parametrize("compute", CALLS)
def test_rows_that_overflow_are_told(model, compute):
    x = images()
    x[3] = x[6] = -np.finfo(np.float32).max
    with pytest.warns(jem.JemWarning) as told:
        result = compute(model, x)
    assert any("2 of 9 rows overflow float32: 3, 6" in str(one.message) for one in told)
    assert not np.isnan(result).any()


def test_probabilities_of_an_overflowing_row_are_equal(model):
    x = images()
    x[3] = -np.finfo(np.float32).max
    with pytest.warns(jem.JemWarning):
        p = model.predict_proba(x)
    assert (p[3] == 0.25).all() and np.allclose(p.sum(axis=1), 1)


def test_masked_elements_are_refused(model):
    x = images()
    labels = np.ma.array(np.zeros(9, int), mask=[True] + [False] * 8)
    masked = np.ma.array(x, mask=x > 0)
    with pytest.raises(TypeError, match="x has masked elements"):
        model.logits(masked)
    with pytest.raises(TypeError, match="x has masked elements"):
        model.logits(list(masked))
    with pytest.raises(TypeError, match="x has masked elements"):
        model.logits([list(row) for row in masked])
    with pytest.raises(TypeError, match="labels has masked elements"):
        model.energy(x, labels)
    with pytest.raises(TypeError, match="images has masked elements"):
        model.input_from_u8(np.ma.array(np.zeros((2, *SHAPE), np.uint8), mask=True))
    assert (model.logits(np.ma.array(x, mask=False)) == model.logits(x)).all()


def test_blocks_do_not_show(model):
    x = images(300)
    whole = model.logits(x)
    assert (whole == np.concatenate([model.logits(row[None]) for row in x])).all()
    assert model.logits(x[:0]).shape == (0, 4)


LONG = """
import numpy as np, jem, sys
model = jem.Model.create("wrn-16-4", 3, 10, height=32, width=32)
x = np.zeros((4000, 3, 32, 32), np.float32)
print("begun", flush=True)
try:
    model.{call}
except KeyboardInterrupt:
    print("interrupted", flush=True)
"""


@pytest.mark.parametrize("call", ["logits(x)", "energy_grad(x)", "score(x)"])
def test_a_long_call_answers_control_c(call):
    child = subprocess.Popen([sys.executable, "-c", LONG.format(call=call)], env=os.environ,
                             stdout=subprocess.PIPE, text=True)
    assert child.stdout.readline() == "begun\n"
    time.sleep(1)
    child.send_signal(signal.SIGINT)
    # A second, but for a machine where others compute; the whole call would take minutes there.
    out, _ = child.communicate(timeout=30)
    assert out == "interrupted\n" and child.returncode == 0
