"""The peers compute what libjem computes: same parameters by name, same logits and, in PyTorch,
gradients, Langevin step and loss. Otherwise their times would be those of another task.
"""

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="PyTorch (python3-torch) is not installed")

import peer  # noqa: E402

import jem  # noqa: E402

CLASSES, ROWS = 10, 6

NETWORKS = {
    "mlp-512-512": (1, 28, 28),
    "cnn-16-32-64": (1, 28, 28),
    "wrn-10-1": (1, 28, 28),
    "wrn-10-2": (1, 28, 28),
    "wrn-16-4": (3, 32, 32),
}
# Of some 100,000 activations one lies so near to the kink of a leaky ReLU that another order of
# sums takes the other branch: gradients of large nets are compared with a smooth activation.
SMOOTH = ["mlp-512-512"] + [f"{arch}:act=silu" for arch in NETWORKS if arch != "mlp-512-512"]

for_all_networks = pytest.mark.parametrize("pair", NETWORKS, indirect=True)
for_smooth_networks = pytest.mark.parametrize("pair", SMOOTH, indirect=True)


@pytest.fixture
def pair(request):
    """libjem's model and the peer's net with the model's parameters."""
    arch = request.param
    shape = NETWORKS[arch.partition(":")[0]]
    size = dict(zip(("channels", "height", "width"), shape))
    with jem.Model.create(arch, classes=CLASSES, seed=5, threads=1, **size,
                          precision_scoring="f32_strict", precision_chains="f32_strict") as model:
        net = peer.make_twin(arch, shape, CLASSES)
        given = {name: torch.from_numpy(array) for name, array in model.tensors().items()}
        net.load_state_dict(given, strict=True)
        yield model, net


def rows(model, seed):
    uniform = np.random.default_rng(seed).uniform(-1, 1, (ROWS, *model.shape))
    return uniform.astype(np.float32)


def close(found, expected):
    """float32 sums of some thousand terms in another order, some layers deep: 1e-6 of the largest
    value is seen, ten times that is allowed."""
    scale = np.abs(expected).max()
    np.testing.assert_allclose(found.detach().numpy(), expected, rtol=0, atol=1e-5 * scale)


def in_layout(x, layout):
    return torch.from_numpy(x.copy()).contiguous(memory_format=peer.LAYOUTS[layout])


@for_all_networks
@pytest.mark.parametrize("layout", peer.LAYOUTS)
def test_logits(pair, layout):
    model, net = pair
    x = rows(model, 1)
    net.to(memory_format=peer.LAYOUTS[layout])
    close(net(in_layout(x, layout)), model.logits(x))


@for_all_networks
def test_onnx_logits(pair, tmp_path):
    """Exports the twin as peer_onnx.py does, with the model's parameters."""
    for package in ("onnx", "onnxruntime"):
        pytest.importorskip(package)
    import onnx_twin
    import peer_onnx

    model, net = pair
    x = rows(model, 1)
    onnx_twin.export(net, model.shape, ROWS, tmp_path / "twin.onnx")
    session = peer_onnx.make_session(tmp_path / "twin.onnx", threads=1)
    found, = session.run(None, {"x": x})
    close(torch.from_numpy(found), model.logits(x))


@for_smooth_networks
@pytest.mark.parametrize("layout", peer.LAYOUTS)
def test_gradient(pair, layout):
    model, net = pair
    x = rows(model, 1)
    net.requires_grad_(False).to(memory_format=peer.LAYOUTS[layout])
    close(peer.energy_grad(net, in_layout(x, layout)), model.energy_grad(x)[1])


@for_smooth_networks
def test_langevin_step(pair, monkeypatch):
    model, net = pair
    monkeypatch.setattr(peer, "NOISE_STD", 0.0)
    monkeypatch.setattr(peer, "STEP_SIZE", 20.0)  # so that the clamps work
    monkeypatch.setattr(peer, "GRAD_CLAMP", 1e-3)
    x = rows(model, 2)
    with jem.Sampler(model, step_size=20.0, noise_std=0.0, grad_clamp=1e-3, x_low=-1.0,
                     x_high=1.0) as sampler:
        expected = sampler.step(x)
    ours = torch.from_numpy(x.copy())
    peer.Chains(net, ours).step(ours)
    close(ours, expected)


def test_draw_is_stored():
    net = peer.make_twin("mlp-8", (4, 1, 1), CLASSES)
    before = torch.rand(ROWS, 4, 1, 1)
    chains = peer.Chains(net, before.clone())
    drawn = chains.draw(3)
    assert (chains.buffer != before).flatten(1).any(1).all()
    assert sorted(chains.buffer.tolist()) == sorted(drawn.tolist())


@for_smooth_networks
def test_loss(pair):
    model, net = pair
    labelled, data, samples = (rows(model, seed) for seed in (3, 4, 5))
    y = np.arange(ROWS) % CLASSES
    with jem.Optimizer(model) as optimizer:
        stats = jem.train_step(model, optimizer, x_labelled=labelled, y_labelled=y, x_data=data,
                               x_samples=samples, input_noise=0.0)
    trainer = peer.Trainer(net, None, None, torch.from_numpy(y), None)
    loss = trainer.loss(*map(torch.from_numpy, (labelled, data, samples)))
    loss.backward()
    norm = torch.sqrt(sum((p.grad**2).sum() for p in net.parameters()))
    assert loss.item() == pytest.approx(stats.loss, rel=1e-5)
    assert norm.item() == pytest.approx(stats.grad_norm, rel=1e-5)
