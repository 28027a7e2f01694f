"""jem.preset(): the settings that the C call fills, as keywords of the binding's own functions."""

import ctypes

import numpy as np
import pytest

import jem
from jem import _declarations, _native, _values

NAMES = {
    number: name.removeprefix("JEM_PRESET_").lower()
    for name, number in _declarations.CONSTANTS.items()
    if name.startswith("JEM_PRESET_")
}


@pytest.fixture
def rows():
    rng = np.random.default_rng(5)
    return rng.uniform(-1, 1, (9, 1, 8, 8)).astype(np.float32), np.arange(9) % 3


def model_for(name, arch="cnn-4", **config):
    needs = jem.preset(name).info.arch_options
    shape = {"channels": 1, "height": 8, "width": 8, "classes": 3}
    return jem.Model.create(arch + (":" + needs if needs else ""), **shape | config)


@pytest.mark.parametrize("number, name", NAMES.items())
def test_settings_are_those_of_the_c_call(number, name):
    model = model_for(name, input_high=0.7)
    recipe = jem.preset(name, model)
    assert recipe.info.name == name
    settings = (recipe.sampler, recipe.optimizer, recipe.train)
    for place, struct in enumerate(("jem_sampler_config", "jem_optimizer_config",
                                    "jem_train_config")):
        config = _native.struct_type(struct)()
        config.struct_size = ctypes.sizeof(config)
        outputs = [None] * 4
        outputs[place] = ctypes.byref(config)
        _native.call("jem_preset", model, number, *outputs)
        (again,) = _values.configs("test", (struct,), settings[place])
        assert bytes(again) == bytes(config)
    assert recipe.sampler["start_high"] == np.float32(0.7)


@pytest.mark.parametrize("name", NAMES.values())
def test_two_steps(name, rows):
    x, y = rows
    model = model_for(name)
    recipe = jem.preset(name, model)
    sampler = jem.Sampler(model, **recipe.sampler | {"capacity": 30})
    sampler.fit(x, y if recipe.info.fit_labels else None)
    optimizer = jem.Optimizer(model, **recipe.optimizer)
    batch = {"x_data": x} if recipe.info.n_data else {}
    if recipe.info.n_labelled:
        batch |= {"x_labelled": x, "y_labelled": y}
    for step in (1, 2):
        assert jem.train_step(model, optimizer, sampler, **batch, **recipe.train).step == step


def test_names_read_as_elsewhere():
    recipe = jem.preset("sada")
    assert recipe.sampler["start"] == "gaussian" and recipe.optimizer["kind"] == "sgd"
    assert recipe.optimizer["schedule"] == "step"
    np.testing.assert_allclose(recipe.optimizer["milestones"][:4], [0.3, 0.6, 0.9, 0], rtol=1e-7)
    assert (recipe.info.n_data, recipe.info.n_labelled, recipe.info.epochs) == (64, 128, 200)
    assert isinstance(recipe.info.summary, str)
    assert isinstance(recipe.optimizer["milestones"], tuple)


def test_refusals():
    with pytest.raises(jem.JemMismatchError, match="needs norm=batch; the model is cnn-4"):
        jem.preset("mjem", model_for("safe"))
    with pytest.raises(jem.JemNotFoundError, match="expected one of safe, jem2020"):
        jem.preset("jem")
    with pytest.raises(TypeError):
        jem.preset(3)
