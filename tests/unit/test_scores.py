"""Outlier scores against numpy and scikit-learn, and their sign against rows that lie far out."""

import numpy as np
import pytest
from python_support import model as small_model  # noqa: F401
from sklearn.covariance import ledoit_wolf
from sklearn.neighbors import NearestNeighbors

import jem

pytestmark = pytest.mark.filterwarnings("ignore::jem.JemWarning")  # of rows that are far out
INPUTS, CLASSES, WIDTH = 60, 5, 24
RNG = np.random.default_rng(7)


def logsumexp(f):
    top = f.max(axis=1, keepdims=True)
    return (top + np.log(np.exp(f - top).sum(axis=1, keepdims=True)))[:, 0]


def softmax(f):
    return np.exp(f - logsumexp(f)[:, None])


def gen(f, gamma, most):
    """1 - p is summed from the others, as the p of a sure classifier is 1."""
    p = -np.sort(-softmax(f), axis=1)
    top_rest = p[:, 1:].sum(axis=1, keepdims=True)
    rest = np.concatenate([top_rest, 1 - p[:, 1:]], axis=1)
    return (p**gamma * rest**gamma)[:, :most].sum(axis=1)


LOGIT_SCORES = {
    "energy": lambda f, t: -t * logsumexp(f / t),
    "max-softmax": lambda f, t: -softmax(f / t).max(axis=1),
    "max-logit": lambda f, t: -f.max(axis=1),
    "margin": lambda f, t: -np.diff(np.sort(f, axis=1)[:, -2:], axis=1)[:, 0],
    "entropy": lambda f, t: -(softmax(f / t) * np.log(softmax(f / t))).sum(axis=1),
    "gen": lambda f, t: gen(f / t, 0.1, 100),
}


@pytest.mark.parametrize("temperature", [1.0, 0.25, 7.0])
@pytest.mark.parametrize("kind", LOGIT_SCORES)
def test_scores_of_logits(kind, temperature):
    f = RNG.normal(0, 3, (200, CLASSES)).astype(np.float32)
    got = jem.score_logits(f, kind, temperature=temperature)
    # float32 has 6e-8 of relative rounding; entropy near 0 is a sum of terms of up to 0.4.
    np.testing.assert_allclose(got, LOGIT_SCORES[kind](f.astype(float), temperature), rtol=3e-7,
                               atol=3e-8)


@pytest.mark.parametrize("gamma, most", [(0.1, 3), (0.5, 100), (0.9, 1), (0.3, 299), (0.3, 1000)])
def test_gen_of_many_classes(gamma, most):
    f = RNG.normal(0, 2, (20, 300)).astype(np.float32)
    f[0] = 1.0  # ties everywhere
    got = jem.score_logits(f, "gen", gen_gamma=gamma, gen_classes=most)
    np.testing.assert_allclose(got, gen(f.astype(float), gamma, most), rtol=1e-6)


def test_gen_of_a_sure_classifier():
    """1 - p is 1e-17 there, which 1 minus a double cannot be."""
    f = np.zeros((1, 3), np.float32)
    f[0, 0] = 39.0
    rest = 2 * np.exp(-39.0)
    expected = rest**0.1 + 2 * np.exp(-39.0) ** 0.1
    np.testing.assert_allclose(jem.score_logits(f, "gen"), [expected], rtol=1e-6)


def test_sure_rows_score_lower():
    f = np.zeros((2, CLASSES), np.float32)
    f[0, 2] = 9.0
    for kind in LOGIT_SCORES:
        low, high = jem.score_logits(f, kind)
        assert low < high, kind


def test_logits_that_are_not_finite():
    f = np.array([[0, np.inf], [np.nan, 1], [-np.inf, -np.inf]], np.float32)
    for kind in LOGIT_SCORES:
        assert np.isposinf(jem.score_logits(f, kind)).all(), kind


def test_kinds_have_names(small_model):  # noqa: F811
    kinds = jem.score_kinds()
    assert len({kind.name for kind in kinds}) == len(kinds) == 20
    assert all(kind.summary and kind.source in ("logits", "gradient", "features") for kind in kinds)
    with pytest.raises(jem.JemInvalidError, match="statistics of training rows"):
        small_model.score(np.zeros((1, 5), np.float32), "knn")


# ---- the input gradient -------------------------------------------------------------------------


@pytest.fixture(scope="module", params=["mlp-32-24", "cnn-4-8:norm=batch"])
def network_of_inputs(request):
    """A model that is sure of itself and rows, some of them far from the others."""
    is_image = request.param.startswith("cnn")
    shape = {"channels": 2, "height": 8, "width": 8} if is_image else {"channels": INPUTS}
    model = jem.Model.create(request.param, classes=CLASSES, seed=4, **shape)
    model.set_tensor("head.weight", 8 * model.get_tensor("head.weight"))
    shape = (300, *[shape[k] for k in ("channels", "height", "width") if k in shape])
    x = np.random.default_rng(5).normal(0, 0.5, shape).astype(np.float32)
    x[200:] *= 4
    return model, x


@pytest.mark.parametrize("temperature, epsilon", [(1000.0, 0.02), (4.0, 0.05), (0.5, 0.0)])
def test_odin(network_of_inputs, temperature, epsilon):
    model, x = network_of_inputs
    f = model.logits(x).astype(float)
    log_p = np.eye(CLASSES)[f.argmax(axis=1)] - softmax(f / temperature)
    gradient = model.vjp(x, log_p.astype(np.float32))[1]
    moved = x + np.float32(epsilon) * np.sign(gradient)
    expected = -softmax(model.logits(moved).astype(float) / temperature).max(axis=1)
    got = model.score(x, "odin", temperature=temperature, odin_epsilon=epsilon)
    agree = np.isclose(got, expected, rtol=2e-6)
    assert agree.mean() > 0.98  # a gradient near 0 has the sign of its rounding
    np.testing.assert_allclose(got, expected, rtol=1e-2)
    if epsilon == 0:
        np.testing.assert_array_equal(
            got, model.score(x, "max-softmax", temperature=temperature))
    else:
        plain = model.score(x, "max-softmax", temperature=temperature)
        assert (got < plain).mean() > 0.95  # the step raises the largest p


@pytest.mark.parametrize("steps, size", [(1, 0.1), (7, 0.05)])
def test_refinement(network_of_inputs, steps, size):
    model, x = network_of_inputs
    moved = x
    for _ in range(steps):
        moved = moved - np.float32(size) * model.energy_grad(moved)[1].reshape(x.shape)
    config = {"refine_steps": steps, "refine_step_size": size}
    gained = model.energy(x).astype(float) - model.energy(moved)
    assert (gained > 0).mean() > 0.9
    np.testing.assert_allclose(model.score(x, "refine", **config), gained, rtol=1e-4, atol=3e-6)
    length = np.sqrt(((moved - x).astype(float) ** 2).reshape(len(x), -1).sum(axis=1))
    np.testing.assert_allclose(model.score(x, "refine-distance", **config), length, rtol=1e-5)


def test_defaults_of_the_input_gradient(network_of_inputs):
    model, x = network_of_inputs
    for kind, config in (("odin", {"temperature": 1, "odin_epsilon": 0.0014}),
                         ("refine", {"refine_steps": 10, "refine_step_size": 1})):
        np.testing.assert_array_equal(model.score(x, kind), model.score(x, kind, **config))


def test_rows_that_overflow_on_the_way(network_of_inputs):
    model, x = network_of_inputs
    x = x[:3].copy()
    x[1] = np.sign(x[1]) * 3.4e38
    assert np.isposinf(model.energy(x)[1])
    for kind in ("odin", "refine", "refine-distance", "gradient-norm"):
        assert (np.isposinf(model.score(x, kind)) == [False, True, False]).all(), kind
    for kind in ("refine", "refine-distance"):
        far = model.score(x[[0, 2]], kind, refine_step_size=3e38, refine_steps=40)
        assert np.isposinf(far).all(), kind


def test_rows_of_the_input_gradient_stand_alone(network_of_inputs):
    model, x = network_of_inputs
    for kind in ("odin", "refine", "refine-distance"):
        whole = model.score(x, kind)
        for part in (slice(0, 1), slice(250, 270)):
            np.testing.assert_array_equal(model.score(x[part], kind), whole[part])


def test_a_detector_of_the_input_gradient(network_of_inputs, tmp_path):
    model, x = network_of_inputs
    kinds = ["odin", "refine", "refine-distance"]
    config = {"odin_epsilon": 0.02, "refine_steps": 3, "refine_step_size": 0.1}
    found = jem.Detector(model, kinds, fpr=0.1, flag_range=0, **config).calibrate(x[:200])
    for kind in kinds:
        np.testing.assert_array_equal(found.score(x, kind), model.score(x, kind, **config))
    found.store()
    model.save(tmp_path / "model.safetensors")
    again = jem.Detector.of(jem.Model.load(tmp_path / "model.safetensors"))
    np.testing.assert_array_equal(again.score(x), found.score(x))


# ---- features -----------------------------------------------------------------------------------


@pytest.fixture(scope="module", params=["mlp-32-24", "mlp-24:act=relu"])
def network(request):
    """A model, training rows with classes, and other rows; features are `WIDTH` wide."""
    model = jem.Model.create(request.param, channels=INPUTS, classes=CLASSES, seed=3)
    rng = np.random.default_rng(1)
    y = rng.integers(0, CLASSES, 600)
    centres = rng.normal(0, 0.2, (CLASSES, INPUTS))
    x = (centres[y] + rng.normal(0, 0.2, (600, INPUTS))).astype(np.float32)
    other = rng.normal(0, 0.4, (50, INPUTS)).astype(np.float32)
    return model, x, y, other


def detector(network, kind, **config):
    model, x, y, _ = network
    return jem.Detector(model, [kind], **{"flag_range": 0, **config}).fit(x, y)


def features_of(network):
    model, x, _, other = network
    return model.features(x).astype(float), model.features(other).astype(float)


def covariance_about(rows):
    """Ledoit and Wolf's, about 0."""
    return ledoit_wolf(rows, assume_centered=True)[0]


def distances(points, means, covariance):
    d = points[:, None] - means[None]
    return np.einsum("ncd,de,nce->nc", d, np.linalg.inv(covariance), d).min(axis=1)


def class_means(h, y):
    return np.stack([h[y == c].mean(axis=0) for c in range(CLASSES)])


def live(h, points):
    """Coordinates along the directions in which training features are not 0."""
    _, s, v = np.linalg.svd(h, full_matrices=False)
    v = v[s**2 > 1e-9 * s[0] ** 2]
    return h @ v.T, points @ v.T


def mahalanobis(network):
    h, points = live(*features_of(network))
    means = class_means(h, network[2])
    return distances(points, means, covariance_about(h - means[network[2]]))


def test_mahalanobis(network):
    got = detector(network, "mahalanobis").score(network[3], "mahalanobis")
    np.testing.assert_allclose(got, mahalanobis(network), rtol=2e-4)


def test_relative_mahalanobis(network):
    h, points = live(*features_of(network))
    all_rows = distances(points, h.mean(axis=0)[None], covariance_about(h - h.mean(axis=0)))
    got = detector(network, "relative-mahalanobis").score(network[3], "relative-mahalanobis")
    np.testing.assert_allclose(got, mahalanobis(network) - all_rows, rtol=2e-4, atol=2e-4)


def test_unit_mahalanobis(network):
    h, points = live(*features_of(network))
    h, points = (a / np.linalg.norm(a, axis=1, keepdims=True) for a in (h, points))
    means = class_means(h, network[2])
    expected = distances(points, means, covariance_about(h - means[network[2]]))
    got = detector(network, "unit-mahalanobis").score(network[3], "unit-mahalanobis")
    np.testing.assert_allclose(got, expected, rtol=2e-4)


@pytest.mark.parametrize("k", [1, 10])
def test_nearest_neighbours(network, k):
    h, points = (a / np.linalg.norm(a, axis=1, keepdims=True) for a in features_of(network))
    expected = NearestNeighbors(n_neighbors=k).fit(h).kneighbors(points)[0][:, -1]
    got = detector(network, "knn", neighbours=k).score(network[3], "knn")
    np.testing.assert_allclose(got, expected, rtol=2e-4, atol=2e-4)


def test_of_the_last_layer(network):
    """fDBD, NCI, ReAct, SCALE and GradNorm."""
    model, x, _, other = network
    h, points = features_of(network)
    f = model.logits(other).astype(float)
    tensors = model.tensors()
    weights, bias = (tensors[f"head.{name}"].astype(float) for name in ("weight", "bias"))
    mean, top = h.mean(axis=0), f.argmax(axis=1)
    from_mean = np.linalg.norm(points - mean, axis=1)

    def check(kind, expected, **config):
        got = detector(network, kind, **config).score(other, kind)
        np.testing.assert_allclose(got, expected, rtol=2e-4, atol=2e-4, err_msg=kind)

    def energy(shaped):
        return -logsumexp(shaped @ weights.T + bias)

    boundaries = [
        np.mean([abs(f[i, t] - f[i, c]) / np.linalg.norm(weights[t] - weights[c])
                 for c in range(CLASSES) if c != t])
        for i, t in enumerate(top)
    ]
    norms = np.abs(points).sum(axis=1)
    check("fdbd", -np.array(boundaries) / from_mean)
    along = np.einsum("nd,nd->n", weights[top], points - mean) / from_mean
    check("nci", -along - 0.01 * norms, nci_norm_weight=0.01)
    clip = np.sort(h.ravel())[int(0.9 * (h.size - 1))]
    check("react", energy(np.minimum(points, clip)))
    largest = -np.sort(-points, axis=1)[:, : WIDTH - int(0.85 * WIDTH)]
    ratio = points.sum(axis=1) / largest.sum(axis=1)
    scaled = points * np.exp(np.clip(ratio, 0, 50))[:, None]
    check("scale", energy(scaled))
    check("gradnorm", -norms * np.abs(1 / CLASSES - softmax(f)).sum(axis=1))


def test_vim(network):
    model, x, _, other = network
    h, points = features_of(network)
    _, _, v = np.linalg.svd(h, full_matrices=False)
    principal = v[: WIDTH // 2]

    def residual(a):
        return np.sqrt(np.maximum((a**2).sum(axis=1) - ((a @ principal.T) ** 2).sum(axis=1), 0))

    scale = model.logits(x).max(axis=1).mean() / residual(h).mean()
    expected = abs(scale) * residual(points) - logsumexp(model.logits(other).astype(float))
    got = detector(network, "vim").score(other, "vim")
    np.testing.assert_allclose(got, expected, rtol=2e-4, atol=2e-4)


def test_react_of_many_rows():
    """The percentile is that of all features, also where only some rows are looked at."""
    width = 64
    model = jem.Model.create(f"mlp-{width}", channels=INPUTS, classes=CLASSES, seed=3)
    tensors = model.tensors()
    scale = np.linspace(0.1, 4, width, dtype=np.float32)[:, None]  # features differ in size
    name = next(name for name, values in tensors.items() if values.shape == (width, INPUTS))
    model.set_tensor(name, tensors[name] * scale)
    x = np.random.default_rng(1).normal(0, 0.3, (3 * (1 << 20) // width // 2, INPUTS)).astype(np.float32)
    h, points = model.features(x).astype(float), model.features(x[:50]).astype(float)
    weights, bias = (model.tensors()[f"head.{part}"].astype(float) for part in ("weight", "bias"))
    expected = -logsumexp(np.minimum(points, np.quantile(h, 0.9)) @ weights.T + bias)
    found = jem.Detector(model, ["react"], flag_range=0).fit(x)
    np.testing.assert_allclose(found.score(x[:50], "react"), expected, atol=0.01)


def test_models_of_one_class():
    """The default kinds are those that say anything of them."""
    model = jem.Model.create("mlp-8", channels=3, classes=1)
    x = np.random.default_rng(1).uniform(-1, 1, (200, 3)).astype(np.float32)
    found = jem.Detector(model, fpr=0.1).fit(x).calibrate(x)
    assert found.info.kinds == sum(1 << number for number in (1, 8, 11))  # energy, mahalanobis, knn
    assert not np.isnan(found.detect(x)["score"]).any()
    with pytest.raises(jem.JemInvalidError, match="gen"):
        jem.Detector(model, ["gen"])


def test_the_bank_is_shared_by_the_classes_that_have_rows():
    model = jem.Model.create("mlp-8", channels=INPUTS, classes=500)
    rng = np.random.default_rng(2)
    x, y = rng.uniform(-1, 1, (4000, INPUTS)).astype(np.float32), np.full(4000, 7)
    y[:3] = 499
    full = jem.Detector(model, ["knn"], bank_bytes=20000).fit(x, y)
    assert 20000 / 32 * 0.8 < full.info.bank_rows <= 20000 / 32
    assert full.score(x[:3], "knn").max() < 1e-3  # a small class is there as a whole


FAR = ["mahalanobis", "unit-mahalanobis", "knn"]


@pytest.mark.parametrize("kind", FAR)
def test_rows_far_out_score_higher(network, kind):
    model, x, _, other = network
    found = detector(network, kind)
    assert jem.auroc(found.score(x, kind), found.score(4 * other, kind)) > 0.9


def test_reduced_rank_keeps_distances(network):
    """What lies beside the directions counts as if it had one variance."""
    found = detector(network, "mahalanobis", rank=6)
    assert found.info.rank == 6
    model, x, _, other = network
    assert jem.auroc(found.score(x, "mahalanobis"), found.score(4 * other, "mahalanobis")) > 0.9
