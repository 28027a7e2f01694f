"""All settings of the example: how the models are trained, how samples are drawn from them.

Options of `jem train` as {name: value}; a flag has the value True. `jem train --help` explains
them.
"""

# What the JEM and its twin, the plain classifier, have in common.
BOTH = {
    "arch": "cnn-32-64-128",
    "steps": 6000,
    "batch": 128,
    "schedule": "cosine",
    "lr": 0.002,
    "ema": 0.999,
}

# The chains of training. The tight clamp keeps them climbing when F grows steep: without it, steps
# overshoot from about step 4000 on, and what the net learns from then on is no density.
CHAIN = {
    "step-size": 1.0,
    "noise-std": 0.01,
    "grad-clamp": 0.03,
    "start": "mixture",
    "start-rank": 32,
}

JEM = BOTH | CHAIN | {
    "w-px": 0.05,
    "energy-l2": 0.001,
    "sgld-steps": 5,
    "chains": 32,
    "capacity": 500,
    "reinit": 0.05,
}

TWIN = BOTH | {"classifier": True}

# Who recognises the samples: another network, with a narrow last layer for Frechet distances.
JUDGE = {
    "arch": "cnn-32-64-64-64",
    "classifier": True,
    "steps": 6000,
    "batch": 128,
    "schedule": "cosine",
    "lr": 0.002,
    "ema": 0.999,
}
JUDGE_SEED = 1000  # added to the run's

# The samples: fresh chains, each for its class. These are settings of jem_sampler_config, too.
SAMPLE_CHAIN = CHAIN | {"start": "gaussian"}
SAMPLE_STEPS = 50
SAMPLES_PER_CLASS = 500

# The detector: the library's defaults, what it promises, and what it is tried with besides.
PROMISE = {"fpr": 0.01, "confidence": 0.95}  # with which it is stored
PROMISES = [(0.01, 0.0), (0.01, 0.95), (0.05, 0.0), (0.05, 0.95)]  # (rate, confidence)
CALIBRATION_ROWS = [200, 1000, 5000]  # held-out images
FITTED_PER_CLASS = [55, 550]  # training images, 1 and 10 percent
WIDE_IMAGES = 2000  # of each set of wide.py


def arguments(options):
    """{"flip": True, "lr": 0.002} -> ["--flip", "--lr", "0.002"]"""
    words = []
    for name, value in options.items():
        words += [f"--{name}"] if value is True else [f"--{name}", str(value)]
    return words
