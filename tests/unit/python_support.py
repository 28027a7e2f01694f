"""What the tests of the Python binding share: a small model, its numpy twin, and live handles.

The twin computes in double from the parameters that the binding itself gives out.
"""

import threading

import numpy as np
import pytest

import jem
from jem import _native

N, FEATURES, CLASSES = 7, 5, 3


@pytest.fixture
def model():
    with jem.Model.create("mlp-8:act=tanh", channels=FEATURES, classes=CLASSES, seed=3) as made:
        yield made


@pytest.fixture
def x():
    return np.random.default_rng(1).normal(size=(N, FEATURES)).astype(np.float32)


@pytest.fixture
def y():
    return np.arange(N) % CLASSES


def twin_tensors(model):
    return {name: values.astype(np.float64) for name, values in model.tensors().items()}


def twin_features(model, x):
    t = twin_tensors(model)
    return np.tanh(x.astype(np.float64) @ t["hidden.0.weight"].T + t["hidden.0.bias"])


def twin_logits(model, x):
    t = twin_tensors(model)
    return twin_features(model, x) @ t["head.weight"].T + t["head.bias"]


def twin_energy(model, x, labels=None):
    logits = twin_logits(model, x)
    if labels is not None:
        return -logits[np.arange(len(x)), labels]
    return -np.log(np.exp(logits).sum(axis=1))


def twin_grad(model, x, labels=None):
    step = 1e-6
    grad = np.empty(x.shape)
    for k in range(x.shape[1]):
        d = np.zeros(x.shape[1])
        d[k] = step
        wide = x.astype(np.float64)
        rise = twin_energy(model, wide + d, labels) - twin_energy(model, wide - d, labels)
        grad[:, k] = rise / (2 * step)
    return grad


# float against double in sums of at most 8 terms of size 1: some 1e-7; ten times that and more
# is left to the order of sums.
def close(found, expected):
    np.testing.assert_allclose(found, expected, rtol=0, atol=5e-6)


def run_threads(*targets):
    """Runs functions side by side; raises the first exception of any."""
    failures = []

    def guarded(target):
        try:
            target()
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=guarded, args=(target,)) for target in targets]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]


def live_handles():
    """Whether any handle lives: the library refuses a new allocator then."""
    try:
        _native.call("jem_set_allocator", None)
    except jem.JemBusyError:
        return True
    return False
