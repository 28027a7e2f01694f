"""A small world with a model and detectors: classes around centres, and rows that are of none."""

import numpy as np

import jem

INPUTS, CLASSES = 12, 3


def rows(n, seed, scale=0.15):
    """In-distribution rows and their classes."""
    rng = np.random.default_rng(seed)
    centres = np.random.default_rng(0).uniform(-0.5, 0.5, (CLASSES, INPUTS))
    y = rng.integers(0, CLASSES, n)
    return (centres[y] + rng.normal(0, scale, (n, INPUTS))).clip(-1, 1).astype(np.float32), y


def noise(n, seed, scale=1.0):
    return np.random.default_rng(seed).uniform(-scale, scale, (n, INPUTS)).astype(np.float32)


def make_model():
    """Smooth, so that differences are derivatives."""
    made = jem.Model.create("mlp-24-20:act=silu", channels=INPUTS, classes=CLASSES, seed=1)
    optimizer = jem.Optimizer(made, lr=0.01)
    for step in range(100):
        x, y = rows(64, 1000 + step)
        jem.train_step(made, optimizer, x_labelled=x, y_labelled=y, w_px=0, energy_l2=0)
    return made


def make_detector(model, kinds=None, **config):
    x, y = rows(1500, 1)
    made = jem.Detector(model, kinds, **{"fpr": 0.05, **config})
    return made.fit(x, y).calibrate(rows(2000, 2)[0])
