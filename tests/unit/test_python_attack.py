"""Model.attack() against numpy: PGD step by step, and what is known of linear networks.

A network with a ReLU that is never off is linear, so the nearest point of another class has a known
distance: the margin over the dual norm of the difference of two rows of weights.
"""

import numpy as np
import pytest

import jem

FEATURES, CLASSES, ROWS = 6, 3, 40


def linear_model(weights, bias, **config):
    """f(x) = weights @ x + bias for |x| < 8."""
    classes, features = weights.shape
    model = jem.Model.create(f"mlp-{features}:act=relu", channels=features, classes=classes,
                             **config)
    model.set_tensor("hidden.0.weight", np.eye(features))
    model.set_tensor("hidden.0.bias", np.full(features, 8.0))
    model.set_tensor("head.weight", weights)
    model.set_tensor("head.bias", bias - 8 * weights.sum(axis=1))
    return model


@pytest.fixture
def linear():
    """Two classes, and rows near the boundary: their labels, margins and the weights' difference."""
    rng = np.random.default_rng(4)
    weights = rng.normal(size=(2, FEATURES)).astype(np.float32)
    model = linear_model(weights, np.array([0.1, -0.1], np.float32))
    x = rng.uniform(-0.3, 0.3, (3 * ROWS, FEATURES)).astype(np.float32)
    logits = model.logits(x).astype(np.float64)
    x = x[abs(logits[:, 0] - logits[:, 1]) > 0.2][:ROWS]
    logits = model.logits(x).astype(np.float64)
    y = logits.argmax(axis=1)
    return model, x, y, abs(logits[:, 0] - logits[:, 1]), weights[0] - weights[1]


@pytest.fixture(scope="module")
def trained():
    """A small net that knows half of the plane from the other, by a curved boundary."""
    rng = np.random.default_rng(2)
    x = rng.uniform(-1, 1, (600, 4)).astype(np.float32)
    y = (np.sin(3 * x[:, 0]) + x[:, 1] ** 2 + 0.5 * x[:, 2] * x[:, 3] > 0.4).astype(np.int64)
    model = jem.Model.create("mlp-32-32:act=tanh", channels=4, classes=2, seed=1)
    optimizer = jem.Optimizer(model, lr=5e-3)
    for _ in range(800):
        pick = rng.integers(0, len(x), 64)
        jem.train_step(model, optimizer, None, x_labelled=x[pick], y_labelled=y[pick], w_px=0,
                       energy_l2=0, input_noise=0)
    right = model.predict(x) == y
    assert right.mean() > 0.95
    return model, x[right][:120], y[right][:120]


def length(change, norm):
    change = change.astype(np.float64).reshape(len(change), -1)
    if norm == "l0":
        return (change != 0).sum(axis=1)
    return np.linalg.norm(change, ord=2 if norm == "l2" else np.inf, axis=1)


# ---- PGD by numpy ------------------------------------------------------------------------------


def numpy_pgd(model, x, y, eps, step, steps, norm, target=False, low=-1.0, high=1.0):
    """Descent of cross-entropy to a target, ascent from the true class: all steps are made, and the
    best of the points returned."""
    point, best, least = x.copy(), x.copy(), np.full(len(x), np.inf)
    for _ in range(steps + 1):
        logits = model.logits(point).astype(np.float64)
        p = np.exp(logits - logits.max(axis=1, keepdims=True))
        p /= p.sum(axis=1, keepdims=True)
        cost = (-1 if target else 1) * np.log(p[np.arange(len(x)), y])
        best[cost < least] = point[cost < least]
        least = np.minimum(cost, least)
        p[np.arange(len(x)), y] -= 1
        _, grad = model.vjp(point, p.astype(np.float32))
        grad = grad if target else -grad
        if norm == "linf":
            point = np.clip(point - step * np.sign(grad), x - eps, x + eps)
        else:
            point = point - step * grad / np.linalg.norm(grad, axis=1, keepdims=True)
            far = np.linalg.norm(point - x, axis=1, keepdims=True)
            point = x + (point - x) * np.minimum(1, eps / far)
        point = np.clip(point, low, high).astype(np.float32)
    return best


@pytest.mark.parametrize("norm", ["linf", "l2"])
@pytest.mark.parametrize("goal", ["untargeted", "target"])
def test_pgd_is_numpys(trained, norm, goal):
    model, x, y = trained
    labels = y if goal == "untargeted" else 1 - y
    setting = {"eps": 0.05, "steps": 7, "norm": norm}
    found = model.attack(x, labels, goal=goal, random_start=0, step_size=0.012, **setting)
    expected = numpy_pgd(model, x, labels, step=0.012, target=goal == "target", **setting)
    # Rows that reach the goal stop there.
    left = ~found.success
    assert left.sum() > 20
    assert np.abs(found.x - expected)[left].max() < 2e-6
    assert ((model.predict(expected) != y) == found.success).all()
    assert (model.predict(found.x) != y)[found.success].all()


def numpy_apgd(model, x, y, eps, steps, norm):
    """Algorithm 1 of Croce & Hein 2020 for one row, in their words; the best point."""

    def look(point):
        logits = model.logits(point[None]).astype(np.float64)[0]
        p = np.exp(logits - logits.max())
        p /= p.sum()
        grad = model.vjp(point[None], (p - np.eye(len(p))[y])[None])[1][0]
        return -np.log(p[y]), np.sign(grad) if norm == "linf" else grad / np.linalg.norm(grad)

    def project(point):
        if norm == "linf":
            point = np.clip(point, x - eps, x + eps)
        else:
            far = np.linalg.norm(point - x)
            point = x + (point - x) * min(1, eps / far) if far > 0 else point
        return np.clip(point, -1, 1).astype(np.float32)

    parts = [0, 0.22]
    while parts[-1] < 1:
        parts.append(parts[-1] + max(parts[-1] - parts[-2] - 0.03, 0.06))
    checkpoints = [int(np.ceil(round(p * steps, 9))) for p in parts[:-1]]
    before, (f, g) = x, look(x)
    values, best, f_best = [f], x, f
    size, point = 2 * eps, project(x + 2 * eps * g)
    last_size, last_best, last = size, f, 0
    for k in range(1, steps + 1):
        f, g = look(point)
        values.append(f)
        if f > f_best:
            best, f_best = point, f
        if k in checkpoints[1:]:
            gains = sum(values[i + 1] > values[i] for i in range(last, k))
            halve = gains < 0.75 * (k - last) or (last_size == size and last_best == f_best)
            last_size, last_best, last = size, f_best, k
            if halve:
                size /= 2
                point, (f, g) = best, look(best)
                values[-1] = f
        z = project(point + size * g)
        point, before = project(point + 0.75 * (z - point) + 0.25 * (point - before)), point
    return best, f_best


# In the last one both conditions for halving come true, each alone.
@pytest.mark.parametrize("norm, eps, steps", [("linf", 0.05, 7), ("linf", 0.05, 50),
                                              ("l2", 0.1, 7), ("l2", 0.1, 50), ("l2", 0.6, 18)])
def test_apgd_is_numpys(trained, norm, eps, steps):
    model, x, y = trained
    found = model.attack(x, y, kind="apgd", norm=norm, eps=eps, steps=steps, random_start=0)
    left = np.flatnonzero(~found.success)[:40]
    assert len(left) > 30
    for row in left:
        point, cost = numpy_apgd(model, x[row], y[row], eps, steps, norm)
        logits = model.logits(found.x[row][None]).astype(np.float64)[0]
        assert np.log(np.exp(logits - logits[y[row]]).sum()) == pytest.approx(cost, rel=1e-4)
        assert np.abs(point - found.x[row]).max() < 4e-3 * eps


# ---- linear networks ---------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["pgd", "apgd"])
@pytest.mark.parametrize("norm, dual", [("linf", 1), ("l2", 2)])
def test_the_margin_of_a_linear_network_falls_as_far_as_it_can(linear, kind, norm, dual):
    model, x, y, margin, w = linear
    eps = 0.5 * margin.min() / np.linalg.norm(w, ord=dual)
    found = model.attack(x, y, kind=kind, norm=norm, eps=eps, clip=0,
                         step_size=(0.3 if kind == "pgd" else 2) * eps)
    assert not found.success.any() and np.isinf(found.distance).all()
    logits = model.logits(found.x).astype(np.float64)
    left = logits[np.arange(ROWS), y] - logits[np.arange(ROWS), 1 - y]
    assert np.allclose(margin - left, eps * np.linalg.norm(w, ord=dual), rtol=2e-3, atol=1e-6)


@pytest.mark.parametrize("kind", ["pgd", "apgd"])
@pytest.mark.parametrize("norm, dual", [("linf", 1), ("l2", 2)])
def test_a_linear_network_breaks_at_its_distance(linear, kind, norm, dual):
    model, x, y, margin, w = linear
    for row in range(0, ROWS, 5):
        nearest = margin[row] / np.linalg.norm(w, ord=dual)
        for part, breaks in ((0.98, False), (1.02, True)):
            eps = part * nearest
            found = model.attack(x[row:row + 1], y[row:row + 1], kind=kind, norm=norm, eps=eps,
                                 clip=0, step_size=(0.3 if kind == "pgd" else 2) * eps)
            assert found.success[0] == breaks, (row, part)


def test_boundary_finds_the_distance_of_a_linear_network(linear):
    model, x, y, margin, w = linear
    found = model.attack(x, y, kind="boundary", norm="l2", eps=np.inf, steps=3000,
                         clip=0)
    nearest = margin / np.linalg.norm(w)
    assert found.success.all()
    assert (found.distance >= nearest - 1e-5).all()
    assert np.median(found.distance / nearest) < 1.05


def test_pointwise_leaves_no_change_that_can_be_spared(linear):
    model, x, y, _, _ = linear
    found = model.attack(x, y, kind="pointwise", norm="l0", eps=np.inf)
    assert found.success.all() and (model.predict(found.x) != y).all()
    assert (found.distance == length(found.x - x, "l0")).all()
    for row, place in zip(*np.nonzero(found.x != x)):
        back = found.x[row:row + 1].copy()
        back[0, place] = x[row, place]
        assert model.predict(back)[0] == y[row]


def stairs_of(model, steps=16):
    """The linear network on inputs that are rounded down to stairs: its gradients are 0 in floats."""
    t = model.tensors()
    edges = np.linspace(-1, 1, steps + 1)[:-1] + 1 / steps
    stairs = jem.Model.create(f"mlp-{FEATURES * steps}:act=tanh", channels=FEATURES, classes=2)
    steep = 1e8
    stairs.set_tensor("hidden.0.weight", steep * np.repeat(np.eye(FEATURES), steps, axis=0))
    stairs.set_tensor("hidden.0.bias", -steep * np.tile(edges, FEATURES))
    stairs.set_tensor("head.weight", np.repeat(t["head.weight"], steps, axis=1) / steps)
    stairs.set_tensor("head.bias", t["head.bias"] + 8 * t["head.weight"].sum(axis=1))
    return stairs


@pytest.mark.parametrize("kind, norm", [("square", "linf"), ("boundary", "l2"),
                                        ("pointwise", "l0")])
def test_attacks_without_gradients_need_none(linear, kind, norm):
    model, x, _, _, _ = linear
    stairs = stairs_of(model)
    y = stairs.predict(x)
    assert not stairs.vjp(x, np.ones((ROWS, 2)) * [1, -1])[1].any()
    blind = stairs.attack(x, y, norm=norm if norm == "l2" else "linf", eps=0.6, random_start=0)
    assert not blind.success.any()
    found = stairs.attack(x, y, kind=kind, norm=norm, eps=FEATURES if norm == "l0" else 0.6)
    assert found.success.mean() > 0.9
    assert (stairs.predict(found.x) != y)[found.success].all()


# ---- what is promised of every kind ------------------------------------------------------------

KINDS = [("pgd", "linf"), ("pgd", "l2"), ("apgd", "linf"), ("apgd", "l2"), ("square", "linf")]


@pytest.mark.filterwarnings("ignore::jem.JemWarning")
@pytest.mark.parametrize("kind, norm", KINDS)
@pytest.mark.parametrize("eps", [0.003, 0.07, 0.3])
def test_points_stay_within_eps_and_range(trained, kind, norm, eps):
    model, x, y = trained
    near_edges = np.where(np.abs(x) > 0.5, np.sign(x) * 0.99, x).astype(np.float32)
    outside = near_edges.copy()
    outside[::3] *= 1.5
    for rows in (near_edges, outside):
        right = model.predict(rows)
        found = model.attack(rows, right, kind=kind, norm=norm, eps=eps, steps=30)
        far = length(found.x - rows.astype(np.float64), norm)
        assert far.max() <= np.float64(np.float32(eps))
        assert far[~found.success].max(initial=eps) > 0.5 * eps
        assert (found.x <= np.maximum(rows, 1)).all() and (found.x >= np.minimum(rows, -1)).all()
        assert np.allclose(found.distance[found.success], far[found.success], rtol=1e-6)
        assert np.isinf(found.distance[~found.success]).all()
        assert ((model.predict(found.x) != right) == found.success).all()
    free = model.attack(near_edges, y, kind=kind, norm=norm, eps=0.3, steps=30, clip=0)
    assert np.abs(free.x).max() > 1


@pytest.mark.parametrize("kind, norm", [*KINDS, ("boundary", "l2"), ("pointwise", "l0")])
def test_rows_that_are_wrong_are_left_alone(trained, kind, norm):
    model, x, y = trained
    labels = np.where(np.arange(len(x)) % 4 == 0, 1 - y, y)
    found = model.attack(x, labels, kind=kind, norm=norm, eps=0, steps=20)
    wrong = labels != y
    assert (found.success == wrong).all()
    assert (found.distance[wrong] == 0).all() and np.isinf(found.distance[~wrong]).all()
    assert (found.x[wrong] == x[wrong]).all()


def test_restarts_and_steps_do_no_harm(trained):
    model, x, y = trained
    success = [model.attack(x, y, eps=0.12, steps=4, restarts=r).success for r in (1, 2, 8)]
    assert all((more >= less).all() for less, more in zip(success, success[1:]))
    assert success[2].sum() > success[0].sum() - 1


@pytest.mark.parametrize("norm, eps", [("linf", 0.05), ("linf", 0.1), ("l2", 0.1), ("l2", 0.2)])
def test_apgd_is_no_worse_than_pgd(trained, norm, eps):
    model, x, y = trained
    pgd = model.attack(x, y, kind="pgd", norm=norm, eps=eps, steps=100)
    apgd = model.attack(x, y, kind="apgd", norm=norm, eps=eps, steps=100)
    assert 0.05 < pgd.success.mean() < 0.95
    assert apgd.success.sum() >= pgd.success.sum()


def test_rows_go_in_several_calls_as_in_one(trained):
    model, x, y = trained
    setting = {"eps": 0.08, "steps": 12, "restarts": 2, "seed": 3}
    whole = model.attack(x, y, **setting)
    for first in (0, 1, 50, 119):
        part = model.attack(x[first:first + 9], y[first:first + 9], first_row=first, **setting)
        assert (part.x == whole.x[first:first + 9]).all()
    assert (model.attack(x, y, **setting | {"seed": 4}).x != whole.x).any()


# ---- goals -------------------------------------------------------------------------------------


def test_distal_points_are_classified_with_confidence(linear):
    model = linear[0]
    noise = np.random.default_rng(8).uniform(-1, 1, (30, FEATURES)).astype(np.float32)
    labels = np.arange(30) % 2
    found = model.attack(noise, labels, goal="target", confidence=0.9, eps=np.inf, norm="l2",
                         step_size=0.05, steps=300, random_start=0)
    before = model.predict_proba(noise)[np.arange(30), labels]
    after = model.predict_proba(found.x)[np.arange(30), labels]
    assert found.success.all() and (after > 0.9 - 1e-6).all()
    assert (after < 0.93)[before <= 0.9].all()  # the first step that is enough
    assert ((found.distance > 0) == (before <= 0.9)).all()


@pytest.mark.parametrize("labels", [None, 1])
def test_energy_is_lowered_to_a_threshold(trained, labels):
    model, _, _ = trained
    noise = np.random.default_rng(8).uniform(-1, 1, (30, 4)).astype(np.float32)
    before = model.energy(noise, labels)
    least = model.attack(noise, labels, goal="energy", eps=0.1)
    after = model.energy(least.x, labels)
    assert (after < before).all() and not least.success.any()
    threshold = float(np.median(after))
    found = model.attack(noise, labels, goal="energy", eps=0.1, threshold=threshold, steps=80)
    assert (model.energy(found.x, labels)[found.success] <= threshold).all()
    assert 8 < found.success.sum() < 22
    assert (found.success >= (before <= threshold)).all()


def test_a_confident_network_hides_no_gradient(linear):
    """p(y|x) is 1 and the gradient of cross-entropy 0 in floats; the log odds see the way."""
    model, x, y, margin, w = linear
    sure = jem.Model.create(model.arch, channels=FEATURES, classes=2)
    sure.params = model.params
    sure.set_tensor("head.weight", 1e4 * model.get_tensor("head.weight"))
    sure.set_tensor("head.bias", 1e4 * model.get_tensor("head.bias"))
    rows = margin > 0.05
    eps = 1.1 * margin[rows].max() / np.abs(w).sum()
    assert sure.attack(x[rows], y[rows], eps=eps).success.all()


# ---- refinement --------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore::jem.JemWarning")
def test_refinement_without_noise_is_gradient_descent_on_the_energy(trained):
    model, x, y = trained
    refined = x.copy()
    for _ in range(3):
        refined = refined - 0.1 * model.energy_grad(refined)[1]
    found = model.attack(x, y, eps=0, refine_steps=3, refine_step_size=0.1, refine_noise_std=0)
    assert (found.success == (model.predict(refined.astype(np.float32)) != y)).all()
    assert found.success.any()


@pytest.mark.filterwarnings("ignore::jem.JemWarning")
def test_gradients_are_means_over_the_noise(trained):
    """One step along the mean of the gradients at 1000 noisy points, beside numpy's own noise."""
    model, x, y = trained
    rng = np.random.default_rng(6)
    mean = np.zeros_like(x)
    toward = np.where(np.arange(2) == y[:, None], 1, -1)  # of two classes the log odds' gradient
    for _ in range(3000):
        noisy = x + 0.7 * rng.normal(size=x.shape).astype(np.float32)
        mean -= model.vjp(noisy, toward)[1]
    found = model.attack(x, y, norm="l2", eps=0.2, steps=1, step_size=0.2, random_start=0, clip=0,
                         refine_steps=1, refine_step_size=1e-6, refine_noise_std=0.7,
                         refine_samples=1000)
    step = found.x - x
    moved = step.any(axis=1)
    assert moved.mean() > 0.9
    cosine = (step * mean).sum(axis=1) / np.linalg.norm(mean, axis=1) / 0.2
    assert np.median(cosine[moved]) > 0.99


def test_no_refinement_is_the_plain_attack(trained):
    model, x, y = trained
    plain = model.attack(x, y, eps=0.06, steps=10)
    none = model.attack(x, y, eps=0.06, steps=10, refine_steps=0, refine_noise_std=3.0,
                        refine_step_size=7.0)
    still = model.attack(x, y, eps=0.06, steps=10, refine_steps=2, refine_noise_std=0,
                         refine_step_size=1e-30)
    for other in (none, still):
        assert (other.x == plain.x).all() and (other.success == plain.success).all()


def test_the_verdict_on_a_noisy_model_is_by_other_noise(trained):
    """Of noise alone: rows far from the boundary stay right, and rows near to it break now and then,
    whatever the attack has seen."""
    model, x, y = trained
    noisy = {"refine_steps": 1, "refine_step_size": 1e-6, "refine_noise_std": 0.2}
    share = np.mean([model.attack(x, y, eps=0, steps=1, seed=s, **noisy).success
                     for s in range(40)], axis=0)
    assert (share == 0).any() and ((share > 0.2) & (share < 0.8)).any()
    # Chosen as the best of many looks a point would nearly always count as broken.
    many = np.mean([model.attack(x, y, eps=0, steps=60, seed=s, **noisy).success
                    for s in range(10)], axis=0)
    assert abs(many.mean() - share.mean()) < 0.05
    averaged = np.mean([model.attack(x, y, eps=0, steps=1, seed=s, refine_samples=30,
                                     **noisy).success for s in range(20)], axis=0)
    assert (abs(averaged - 0.5).mean() > abs(share - 0.5).mean())


# ---- refusals ----------------------------------------------------------------------------------


def test_refusals(trained):
    model, x, y = trained
    with pytest.raises(jem.JemUnsupportedError, match="JEM_ATTACK_SQUARE takes JEM_NORM_LINF"):
        model.attack(x, y, kind="square", norm="l2")
    with pytest.raises(jem.JemInvalidError, match="labels is NULL"):
        model.attack(x)
    with pytest.raises(jem.JemInvalidError, match="labels is 2 at row 0"):
        model.attack(x, 2)
    with pytest.raises(jem.JemInvalidError, match="x is nan"):
        model.attack(np.full_like(x, np.nan), y)
    with pytest.raises(TypeError, match="valid are seed, first_row, kind"):
        model.attack(x, y, epsilon=1)
    with pytest.raises(jem.JemCancelledError, match="cancelled after"):
        model.attack(x, y, progress=lambda done, total: done > 0)
    with jem.Model.create("mlp-4", channels=4, classes=1) as energy:
        with pytest.raises(jem.JemInvalidError, match="one class; expected JEM_GOAL_ENERGY"):
            energy.attack(x, np.zeros(len(x), np.int64))
        assert (energy.energy(energy.attack(x, goal="energy").x) < energy.energy(x)).all()


def test_rows_outside_of_the_range_are_told(trained):
    model, x, y = trained
    with pytest.warns(jem.JemWarning, match="1 of 120 rows lie outside") as told:
        model.attack(np.where(np.arange(120)[:, None] == 3, 1.5, x), y, eps=0)
    assert told[0].filename == __file__


def test_progress_reaches_its_end(trained):
    model, x, y = trained
    told = []
    model.attack(x, y, eps=0.1, steps=5, restarts=3, progress=lambda *at: told.append(at))
    assert told[0] == (0, 15 * len(x)) and told[-1] == (15 * len(x), 15 * len(x))
    assert all(a[0] <= b[0] for a, b in zip(told, told[1:]))
