"""The trained model under examples/models does what its README says: its figures on the test images,
and chains that turn starts into clothes."""

import json
import os
import pathlib
import sys

import numpy as np
import pytest

SOURCE = pathlib.Path(os.environ["JEM_SOURCE"])
sys.path.insert(0, str(SOURCE / "examples" / "fashion"))

import data  # noqa: E402
import jem  # noqa: E402
from cli_support import jem as run  # noqa: E402

MODEL = SOURCE / "examples" / "models" / "fashion.safetensors"
FIGURES = {"accuracy": 0.9089, "uniform": 1.0, "constant": 0.983, "interp": 0.862,
           "rotated": 0.856, "inverted": 1.0}

pytestmark = [
    pytest.mark.skipif(not pathlib.Path(data.DEBIAN).exists(),
                       reason="dataset-fashion-mnist is not installed"),
    pytest.mark.skipif("onednn" not in jem.build_info()["backends"],
                       reason="the reference backend would take minutes"),
]


def test_figures():
    sets = [name for name in FIGURES if name != "accuracy"]
    report = json.loads(run("eval", "--model", MODEL, "--data", "fashion-mnist", "--json",
                            "--ood", *sets))
    found = {name: report["auroc"][name]["energy"] for name in sets}
    found["accuracy"] = report["accuracy"]
    assert found == pytest.approx(FIGURES, abs=0.002)


def test_samples():
    training = data.load().training[:2000]
    classes = np.repeat(np.arange(data.CLASSES), 10)
    with jem.Model.load(MODEL) as model:
        with jem.Sampler(model, seed=1, capacity=1, start="gaussian", start_rank=32,
                         grad_clamp=0.03, x_low=-1, x_high=1) as sampler:
            sampler.fit(model.input_from_u8(training.x), training.y)
            starts = sampler.start(len(classes), classes)
            ends = sampler.run(starts, 50, classes)
        assert (model.predict(ends) == classes).mean() > 0.95
        gained = model.energy(starts) - model.energy(ends)
        assert (gained > 0).mean() > 0.95
