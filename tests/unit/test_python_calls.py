"""The Python binding where calls last: chains, training, callbacks, threads, lifetime of handles.

A callback's exception must come back unharmed, Ctrl-C must end a call, and a handle must live
exactly as long as something uses it. The library itself tells whether any handle lives.
"""

import ctypes.util
import gc
import os
import re
import signal
import subprocess
import sys
import threading

import numpy as np
import pytest

import jem
from jem import _native
from python_support import model, x, y  # noqa: F401 (fixtures)
from python_support import CLASSES, FEATURES, close, live_handles, run_threads
from python_support import twin_energy, twin_grad, twin_logits

# ---- sampler and training --------------------------------------------------------------------


def test_langevin_step(model, x, y):
    for labels in (None, y):
        with jem.Sampler(model, step_size=0.5, noise_std=0, grad_clamp=0.1) as sampler:
            expected = x - 0.5 * np.clip(twin_grad(model, x, labels), -0.1, 0.1)
            close(sampler.step(x, labels), expected)


def test_buffer(model, x, y):
    config = {"capacity": 6, "steps": 2, "reinit_prob": 0, "class_conditional": True, "seed": 4}
    with jem.Sampler(model, start="gaussian", **config) as sampler:
        assert sampler.fit(x, y) is sampler and sampler.capacity == 6
        drawn, labels = sampler.draw(6)
        chains = sampler.chains()
        assert sorted(labels) == sorted(chains.labels) == [0, 0, 1, 1, 2, 2]
        assert np.array_equal(np.sort(drawn, axis=0), np.sort(chains.x, axis=0))
        assert np.array_equal(chains.ages, [2] * 6)
        sampler.set_chains(np.ones((2, FEATURES)), first=3)
        assert np.array_equal(sampler.chains(3, 2).x.ravel(), np.ones(2 * FEATURES))
        assert np.array_equal(sampler.chains().ages, [2, 2, 2, 0, 0, 2])
        sampler.reset()
        assert np.array_equal(sampler.chains().ages, [0] * 6)
    with jem.Sampler(model, capacity=4) as plain:
        assert np.array_equal(plain.draw(2)[1], [-1, -1])


def test_starts(model):
    with jem.Sampler(model, start_low=3, start_high=4, seed=1) as sampler:
        first, second = sampler.start(50), sampler.start(50)
        assert 3 <= first.min() < first.max() <= 4 and not np.array_equal(first, second)
    with jem.Sampler(model, start="gaussian") as sampler:
        at = np.repeat([[0.0], [10.0], [20.0]], FEATURES, axis=1)
        sampler.fit(np.repeat(at, 2, axis=0), [0, 0, 1, 1, 2, 2])
        assert np.array_equal(sampler.start(3, [2, 0, 1])[:, 0, 0, 0].round(), [20, 0, 10])


def test_training_learns(model):
    rng = np.random.default_rng(2)
    y = np.arange(60) % CLASSES
    x = (rng.normal(size=(60, FEATURES)) * 0.3 + np.eye(CLASSES, FEATURES)[y]).astype(np.float32)
    optimizer = jem.Optimizer(model, lr=0.05, kind="adam")
    sampler = jem.Sampler(model, capacity=100, steps=2)
    history = [
        jem.train_step(model, optimizer, sampler, x_labelled=x, y_labelled=y) for _ in range(60)
    ]
    first, last = history[0], history[-1]
    assert last.loss_pyx < 0.5 * first.loss_pyx and last.accuracy > 0.9
    assert [s.step for s in history] == list(range(1, 61)) and optimizer.steps == 60
    assert last.event == "none" and last.lr == np.float32(0.05)
    for s in history:
        assert s.loss == pytest.approx(s.loss_px + s.loss_pyx + s.loss_pxy + s.loss_l2)
        assert s.gap == pytest.approx(s.f_data - s.f_samples)
        assert s.grad_norm > 0 and s.chain_grad_norm > 0 and s.seconds_sampling > 0


def test_train_step_is_the_loss_it_says(model, x, y):
    with jem.Optimizer(model, kind="sgd", lr=1e-3) as optimizer:
        data, samples = x[2:4], x[4:]
        f_data = -twin_energy(model, data).mean()
        f_samples = -twin_energy(model, samples).mean()
        squares = sum((twin_energy(model, rows) ** 2).mean() for rows in (data, samples))
        ce = (twin_energy(model, x, y) - twin_energy(model, x)).mean()
        y_samples = np.arange(len(samples)) % CLASSES
        e_labelled, e_samples = twin_energy(model, x, y), twin_energy(model, samples, y_samples)
        joint = sum(
            (y == c).mean() * (e_labelled[y == c].mean() - e_samples[y_samples == c].mean())
            for c in set(y) & set(y_samples)
        )
        stats = jem.train_step(
            model, optimizer, None, x_labelled=x, y_labelled=y, x_data=data, x_samples=samples,
            y_samples=y_samples, w_px=0.5, w_pyx=2, w_pxy=0.75, energy_l2=0.25, input_noise=0,
        )
    close(stats.loss_px, -0.5 * (f_data - f_samples))
    close(stats.loss_pyx, 2 * ce)
    close(stats.loss_pxy, 0.75 * joint)
    close(stats.loss_l2, 0.25 * squares)


def test_normalised_cross_entropy(model, x, y):
    f = twin_logits(model, x).astype(np.float64)
    g = f / (0.04 * np.linalg.norm(f, axis=1, keepdims=True))
    g -= g.max(1, keepdims=True)
    ce = np.log(np.exp(g).sum(1)) - g[np.arange(len(y)), y]
    with jem.Optimizer(model, kind="sgd", lr=1e-6) as optimizer:
        stats = jem.train_step(model, optimizer, x_labelled=x, y_labelled=y, w_px=0, energy_l2=0,
                               input_noise=0, logit_norm=0.04)
    assert stats.loss_pyx == pytest.approx(ce.mean(), rel=1e-3)


def test_outlier_term(model, x, y):
    usual, outliers = x[:4], 3 * x[4:]
    with jem.Optimizer(model, kind="sgd", lr=1e-3) as optimizer:
        above = np.maximum(0, twin_energy(model, usual) + 6)
        below = np.maximum(0, 2 - twin_energy(model, outliers))
        f_outliers = -twin_energy(model, outliers).mean()
        stats = jem.train_step(
            model, optimizer, x_labelled=usual, y_labelled=y[:4], x_outliers=outliers, w_px=0,
            energy_l2=0, input_noise=0, w_outlier=0.5, outlier_m_in=-6, outlier_m_out=2,
        )
        assert above.max() > 0 and below.max() > 0
        close(stats.loss_outlier, 0.5 * ((above**2).mean() + (below**2).mean()))
        close(stats.f_outliers, f_outliers)
        with pytest.raises(jem.JemInvalidError, match="no outliers"):
            jem.train_step(model, optimizer, x_labelled=x, y_labelled=y, w_outlier=1)


def test_failed_step_changes_nothing(model, x, y):
    before = model.params
    optimizer = jem.Optimizer(model, kind="sgd", lr=1e38, momentum=0)
    with pytest.raises(jem.JemDivergedError):
        for _ in range(5):
            before = model.params
            jem.train_step(model, optimizer, x_labelled=x * 1e3, y_labelled=y, w_px=0, energy_l2=0)
    assert np.array_equal(model.params, before)


def test_kept_parameters(model, tmp_path):
    with jem.Optimizer(model) as optimizer, jem.Optimizer(model) as other:
        assert optimizer.kept is None
        optimizer.kept = 2 * model.params
        jem.save_checkpoint(tmp_path / "c", model, optimizer)
        jem.load_checkpoint(tmp_path / "c", model, other)
        assert np.array_equal(other.kept, 2 * model.params)
        with pytest.raises(jem.JemInvalidError, match="count is 1"):
            optimizer.kept = [0.0]
        optimizer.kept = None
        assert optimizer.kept is None and other.kept is not None


def test_learning_rate(model):
    with jem.Optimizer(model, lr=0.5) as optimizer:
        assert optimizer.lr == 0.5
        optimizer.lr = 0.25
        assert optimizer.lr == 0.25 and optimizer.steps == 0


def test_schedule_and_average(model, x, y):
    config = {"schedule": "step", "milestones": (0.5, 0.75), "lr_factor": 0.5, "ema_decay": 0.5}
    batch = {"x_labelled": x, "y_labelled": y, "w_px": 0, "energy_l2": 0}
    with jem.Optimizer(model, lr=0.5, sam_rho=0.01, **config) as optimizer:
        before, rates = model.params, []
        for s in (0, 0.5, 0.75, 1):
            optimizer.set_progress(s)
            rates.append(jem.train_step(model, optimizer, **batch).lr)
            if s == 0:
                close(optimizer.ema(), 0.1 * before + 0.9 * model.params)
        assert rates == [0.5, 0.25, 0.125, 0.125]
        averaged = model.clone()
        averaged.params = optimizer.ema()
        assert not np.array_equal(averaged.params, model.params)
    with jem.Optimizer(model, lr=0.5, schedule="cosine", total_steps=2) as optimizer:
        rates = [jem.train_step(model, optimizer, **batch).lr for _ in range(3)]
        assert rates == pytest.approx([0.5, 0.25, 0], abs=1e-7)


def test_data_starts(model, x):
    with jem.Sampler(model, start="data", matched_noise=1).fit(x) as sampler:
        rows = {row.tobytes() for row in np.asarray(x, np.float32).reshape(len(x), -1)}
        assert {row.tobytes() for row in sampler.start(9)} <= rows


# ---- callbacks -------------------------------------------------------------------------------


class Stop(Exception):
    pass


def long_calls(model, sampler, optimizer, x, y, progress):
    """Each call that runs long, by name."""
    return {
        "run": lambda: sampler.run(x, 50, progress=progress),
        "draw": lambda: sampler.draw(4, progress=progress),
        "train_step": lambda: jem.train_step(
            model, optimizer, sampler, x_labelled=x, y_labelled=y, progress=progress
        ),
    }


@pytest.fixture
def chains(model, x):
    with jem.Sampler(model, capacity=8, steps=10) as sampler, jem.Optimizer(model) as optimizer:
        sampler.set_chains(np.ones((8, FEATURES)))
        yield sampler, optimizer


@pytest.mark.parametrize("name", ["run", "draw", "train_step"])
def test_progress(model, chains, x, y, name):
    seen = []
    long_calls(model, *chains, x, y, lambda *at: seen.append(at))[name]()
    totals = {total for _, total in seen}
    assert len(totals) == 1 and seen[-1][0] in totals
    assert [done for done, _ in seen] == sorted(done for done, _ in seen) and len(seen) >= 10


@pytest.mark.parametrize("name", ["run", "draw", "train_step"])
@pytest.mark.parametrize("how", ["result", "exception"])
def test_cancel(model, chains, x, y, name, how):
    sampler, optimizer = chains
    seen = []

    def progress(done, total):
        seen.append(done)
        if len(seen) == 3 and how == "exception":
            raise Stop("enough")
        return len(seen) == 3

    before = model.params
    with pytest.raises(Stop if how == "exception" else jem.JemCancelledError) as caught:
        long_calls(model, sampler, optimizer, x, y, progress)[name]()
    assert len(seen) == 3, "nothing ran after it"
    if how == "exception":
        assert caught.traceback[-1].name == "progress", "the traceback leads to the cause"
    assert np.array_equal(model.params, before) and optimizer.steps == 0
    assert np.array_equal(sampler.chains().x.ravel(), np.ones(8 * FEATURES))
    long_calls(model, sampler, optimizer, x, y, None)[name]()


def test_progress_of_a_fit(model, x):
    seen = []
    with jem.Sampler(model, start="gaussian") as sampler:
        sampler.fit(x, progress=lambda *at: seen.append(at))
        assert seen[0] == (0, 2 * len(x)) and seen[-1] == (2 * len(x), 2 * len(x))
        with pytest.raises(jem.JemCancelledError):
            sampler.fit(x, progress=lambda *_: True)
        with pytest.raises(Stop):
            sampler.fit(x, progress=stop)


def test_control_c_ends_a_fit(model):
    rows = np.zeros((1 << 18, FEATURES), np.float32)
    with jem.Sampler(model, start="gaussian", start_rank=64) as sampler:
        sampler.fit(rows[:10])
        timer = threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGINT))
        timer.start()
        with pytest.raises(KeyboardInterrupt):
            while True:
                sampler.fit(rows)
        timer.join()


def stop(*_):
    raise Stop("enough")


def test_callback_of_the_wrong_kind(chains, x):
    with pytest.raises(TypeError, match="positional argument"):
        chains[0].run(x, 2, progress=lambda: None)


@pytest.mark.parametrize("callback", [None, lambda done, total: None], ids=["none", "callback"])
def test_control_c_ends_a_long_call(chains, x, callback):
    sampler, _ = chains
    for _ in range(3):
        timer = threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGINT))
        timer.start()
        with pytest.raises(KeyboardInterrupt):
            sampler.run(x, 2**31 - 1, progress=callback)
        timer.join()
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    sampler.run(x, 1)


def test_other_threads_leave_control_c_alone(chains, x):
    seen = []
    look = lambda *_: seen.append(signal.getsignal(signal.SIGINT))  # noqa: E731
    run_threads(lambda: chains[0].run(x, 1, progress=look))
    assert seen and set(seen) == {signal.default_int_handler}


def test_log_receiver():
    jem.set_log(lambda level, line: None)
    jem.set_log(None)


# ---- threads and lifetime --------------------------------------------------------------------


def test_scoring_while_training(x, y):
    model = jem.Model.create("mlp-8", channels=FEATURES, classes=CLASSES, threads=1)
    same = np.repeat(x[:1], 50, axis=0)
    done = threading.Event()
    energies = [set(), set(), set()]

    def train():
        try:
            with jem.Optimizer(model, lr=0.01) as o, jem.Sampler(model, capacity=20, steps=2) as s:
                for _ in range(10000):
                    jem.train_step(model, o, s, x_labelled=x, y_labelled=y)
                    if all(len(seen) > 3 for seen in energies):
                        break
        finally:
            done.set()

    def score(seen):
        while not done.is_set():
            found = set(model.energy(same).tolist())
            assert len(found) == 1, "rows of one call saw different parameters"
            seen |= found

    run_threads(train, *[lambda seen=seen: score(seen) for seen in energies])
    assert all(len(seen) > 3 for seen in energies), "the parameters did change meanwhile"


def test_second_caller_of_a_sampler_is_busy(model, x):
    sampler = jem.Sampler(model)
    errors_seen = []

    def second(*_):
        if not errors_seen:
            run_threads(lambda: errors_seen.append(pytest.raises(jem.JemBusyError, sampler.reset)))

    sampler.run(x, 2, progress=second)
    assert len(errors_seen) == 1


def test_release_is_deterministic():
    gc.collect()  # what pytest keeps of the tests above
    assert not live_handles(), "a test above leaked a handle"
    with jem.Model.create("mlp-2", 1, 1) as model:
        assert live_handles() and not model.closed
    assert not live_handles() and model.closed
    model.close()

    model = jem.Model.create("mlp-2", 1, 1)
    sampler, optimizer = jem.Sampler(model, capacity=1), jem.Optimizer(model)
    model.close()  # in any order
    with pytest.raises(ValueError, match="this Model is closed"):
        sampler.draw(1)
    assert live_handles()
    del sampler, optimizer
    assert not live_handles()
    with pytest.raises(jem.JemError):
        jem.Model.create("mlp-2", 1, -1)
    assert not live_handles()


def test_exceptions_keep_no_handle_alive(x):
    def stop(done, total):
        raise Stop

    def cancelled():
        model = jem.Model.create("mlp-2", FEATURES, 1)
        jem.Sampler(model).run(x, 2, progress=stop)

    def refused():
        jem.Model.create("mlp-2", FEATURES, 1).energy(x, 5)

    gc.collect()
    assert not live_handles(), "a test above leaked a handle"
    gc.disable()
    try:
        for action, expected in ((cancelled, Stop), (refused, jem.JemError)):
            try:
                action()
            except expected:
                pass
            assert not live_handles(), action.__name__
    finally:
        gc.enable()


def test_closed_objects_say_so(model, x):
    model.close()
    for action in (lambda: model.logits(x), lambda: model.info, lambda: model.arch, model.clone):
        with pytest.raises(ValueError, match="closed"):
            action()
    assert repr(model) == "<jem.Model closed>"


def test_close_waits_for_running_calls(model, x):
    sampler = jem.Sampler(model)

    def close(done, total):
        model.close()
        sampler.close()

    gc.collect()
    moved = sampler.run(x, 5, progress=close)
    assert np.isfinite(moved).all() and model.closed and sampler.closed
    assert not live_handles(), "released when the call was over"
    with pytest.raises(ValueError, match="closed"):
        sampler.run(x, 1)


def run_python(code, **environment):
    return subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, **environment}, capture_output=True,
        text=True, timeout=120,
    )


LEAVE_ALL_ALIVE = """
import threading, jem, numpy as np
jem.set_log(lambda level, line: None)
model = jem.Model.create("mlp-4", channels=2, classes=2)
sampler, optimizer = jem.Sampler(model), jem.Optimizer(model)
model.self = model
sampler.draw(4)
class Late:
    def __del__(self, model=model):
        model.close()
late = Late()
late.self = late
"""


def test_interpreter_exit_with_live_objects():
    finished = run_python(LEAVE_ALL_ALIVE)
    assert (finished.returncode, finished.stderr) == (0, "")


MISSING = [
    ("no file", "/no/such.so", "libjem was not found: /no/such.so.*JEM_LIBRARY"),
    ("another library", "libm.so.6", "has no function jem_version_number"),
]


@pytest.mark.parametrize("row", MISSING, ids=lambda row: row[0])
def test_library_is_missing(row):
    finished = run_python("import jem", JEM_LIBRARY=row[1])
    assert finished.returncode == 1
    assert re.search(f"ImportError: .*{row[2]}", finished.stderr), finished.stderr


def test_where_the_library_is_looked_for(monkeypatch, tmp_path):
    monkeypatch.setenv("JEM_LIBRARY", "/the/only/one.so")
    assert _native._candidates() == ["/the/only/one.so"], "never silently another one"
    monkeypatch.delenv("JEM_LIBRARY")
    monkeypatch.setattr(_native, "__file__", str(tmp_path / "_native.py"))
    monkeypatch.setattr(ctypes.util, "find_library", {"jem": "found.so"}.get)
    (tmp_path / "libjem.so.0").touch()
    assert _native._candidates() == [str(tmp_path / "libjem.so.0"), "found.so", "libjem.so.0"]
