#!/usr/bin/python3
"""Writes tests/golden/data: what PyTorch computes for libjem's networks and training step.

Run by hand, with Debian's python3-torch, for all files or for the cases named as arguments; the
tests only read them. The networks are those of tests/twins.py, the optimizers are torch.optim's,
and everything is computed in float64, from parameters and inputs that float32 holds exactly.

A file is plain safetensors: parameters by their own names, so that jem_model_load_matching reads
them; "golden.*", inputs and expected values; "final.*", the parameters after the last step;
"ema.*", their average; and metadata that say what was trained how. One file, pyld, holds no
training but a step of JEM++'s chains as they were published.
"""

import contextlib
import dataclasses
import itertools
import json
import pathlib
import struct
import sys

import numpy as np
import torch
from torch import nn
from torch.nn import functional

sys.path.insert(0, str(pathlib.Path(__file__).parents[1]))
from twins import free_energy, make_twin

DATA = pathlib.Path(__file__).parent / "data"
STEPS = 10

# Smallest distance from 0 of anything that enters a kinked activation: closer by, float32 may take
# the other branch, and no tolerance would be right. Seeds are tried in order until nothing is. In
# float32 such a value is wrong by some 1e-7 at first, and after ten steps by what the parameters
# have drifted apart, 1e-6.
KINK_MARGIN = 2e-6

# The optimizer's defaults in libjem; a case names what it changes. What is not here (SAM,
# schedules, the average) is off unless a case names it.
OPTIMIZER = {
    "kind": "adam", "lr": 1e-4, "beta1": 0.9, "beta2": 0.999, "eps": 1e-8, "momentum": 0.9,
    "weight_decay": 0.0, "clip_norm": float("inf"), "warmup_steps": 0,
}


@dataclasses.dataclass(frozen=True)
class Case:
    """One network and ten steps. Rows: labelled, data (0 = the labelled serve both), samples."""

    name: str
    arch: str
    shape: tuple
    classes: int
    rows: tuple
    optimizer: dict
    w_px: float = 1.0
    w_pyx: float = 1.0
    energy_l2: float = 0.1
    w_pxy: float = 0.0


CASES = [
    # Adam with all it has: a large eps, so that its place counts; a clip that is reached in some
    # of the steps; a warm-up that ends on the way.
    Case("mlp", "mlp-16-16", (2, 1, 1), 3, (8, 0, 8), {
        "lr": 0.02, "beta1": 0.8, "beta2": 0.95, "eps": 1e-3, "weight_decay": 0.1,
        "clip_norm": 0.6, "warmup_steps": 4}),
    # SGD, and three batches of different length.
    Case("mlp-silu", "mlp-12-8:act=silu", (1, 6, 6), 4, (6, 9, 5), {
        "kind": "sgd", "lr": 0.1, "momentum": 0.9, "weight_decay": 0.05}),
    # Odd and unequal sides, pooled with a rest.
    Case("cnn", "cnn-4-8", (1, 9, 7), 10, (7, 0, 4), {
        "kind": "sgd", "lr": 0.1, "momentum": 0.7, "clip_norm": 0.9, "warmup_steps": 3}),
    Case("cnn-elu", "cnn-5-3-6:act=elu", (2, 6, 9), 3, (4, 6, 7), {"lr": 0.01}),
    Case("wrn", "wrn-10-1", (3, 12, 10), 5, (2, 0, 2), {
        "kind": "sgd", "lr": 0.02, "weight_decay": 0.01, "clip_norm": 1.25}),
    # The other activations; weights of the loss other than 1.
    Case("mlp-relu", "mlp-9:act=relu", (4, 1, 1), 2, (5, 0, 6), {"lr": 0.01},
         w_px=0.5, w_pyx=2.0, energy_l2=0.02),
    Case("mlp-tanh", "mlp-9-7:act=tanh", (4, 1, 1), 2, (5, 3, 6), {"lr": 0.01}, w_px=0.0),
    # A pure energy model: one class, no labels.
    Case("energy-softplus", "cnn-6:act=softplus", (1, 5, 5), 1, (0, 6, 5), {
        "lr": 0.02, "weight_decay": 0.01}, w_pyx=0.0),
    # Batch norm: forward by running statistics, training by the batch's; of features and of images.
    Case("mlp-batch", "mlp-8-6:act=tanh,norm=batch", (4, 1, 1), 3, (6, 5, 4), {
        "kind": "sgd", "lr": 0.1, "weight_decay": 0.05}),
    # Adam with a large eps: before a batch norm the gradient of a bias is 0, or what rounding leaves.
    Case("cnn-batch", "cnn-4-6:norm=batch", (1, 6, 5), 3, (5, 0, 6), {"lr": 0.01, "eps": 1e-3}),
    Case("mlp-layer", "mlp-8:norm=layer", (4, 1, 1), 3, (5, 0, 4), {"lr": 0.01}),
    Case("cnn-group", "cnn-4-6:act=silu,norm=group2", (2, 6, 5), 3, (5, 0, 4), {"lr": 0.01}),
    Case("cnn-instance", "cnn-3-5:norm=instance", (2, 7, 5), 2, (4, 0, 4), {
        "kind": "sgd", "lr": 0.1}),
    Case("cnn-spectral", "cnn-4-6:norm=spectral", (2, 6, 5), 3, (5, 0, 4), {
        "kind": "sgd", "lr": 0.1, "weight_decay": 0.05}),
    # SAM, plain and adaptive, around both optimizers; and what else a recipe has, in turns.
    Case("sam-sgd", "mlp-9:act=silu", (3, 1, 1), 3, (6, 5, 7), {
        "kind": "sgd", "lr": 0.1, "weight_decay": 0.05, "clip_norm": 0.95, "sam_rho": 0.2},
         w_px=0.5, w_pxy=0.7),
    Case("asam-sgd", "cnn-4:act=silu", (1, 5, 4), 3, (6, 0, 4), {
        "kind": "sgd", "lr": 0.05, "momentum": 0.5, "sam_rho": 1.5, "sam_adaptive": 1,
        "ema_decay": 0.5}),
    Case("sam-adam", "mlp-9:act=tanh", (3, 1, 1), 4, (6, 0, 7), {
        "lr": 0.02, "weight_decay": 0.02, "sam_rho": 0.3, "warmup_steps": 3, "schedule": "cosine",
        "total_steps": 8, "lr_floor": 0.1}),
    Case("asam-adam", "mlp-9:act=silu", (3, 1, 1), 2, (6, 4, 4), {
        "lr": 0.02, "sam_rho": 0.5, "sam_adaptive": 1, "schedule": "step", "total_steps": 10,
        "milestones": "0.3 0.6", "lr_factor": 0.4, "ema_decay": 0.9}),
    Case("cosine-ema", "mlp-7:act=elu", (3, 1, 1), 3, (6, 0, 7), {
        "lr": 0.03, "warmup_steps": 4, "schedule": "cosine", "total_steps": 10,
        "ema_decay": 0.7}),
    # Labels and samples of unequal shares, and a class that has no sample.
    Case("joint", "mlp-9:act=tanh", (3, 1, 1), 4, (6, 0, 3), {"lr": 0.02}, w_pxy=1.0),
    # All at once: state is neither moved nor averaged by what moves and averages parameters.
    Case("sam-batch", "cnn-4:act=silu,norm=batch", (1, 5, 4), 3, (6, 5, 4), {
        "kind": "sgd", "lr": 0.05, "sam_rho": 0.2, "ema_decay": 0.7}),
    Case("asam-spectral", "mlp-7:act=tanh,norm=spectral", (3, 1, 1), 3, (6, 0, 5), {
        "lr": 0.02, "sam_rho": 0.5, "sam_adaptive": 1, "ema_decay": 0.8}),
]

# ---- the twins ---------------------------------------------------------------------------------


class Kinks:
    """Remembers how close to its kink anything came that entered an activation."""

    def __init__(self):
        self.closest = float("inf")

    def __call__(self, act, x):
        if act in ("lrelu", "relu"):
            self.closest = min(self.closest, x.detach().abs().min().item())


def randomize(norm):
    with torch.no_grad():
        for name, value in norm.state_dict().items():
            if value.is_floating_point():
                value.copy_(torch.randn_like(value) * 0.3 + (name in ("weight", "running_var")))
                value.copy_(value.abs() if name == "running_var" else value)


def iterate(twin):
    """The power iteration of a step. libjem does it once, after the update; torch before each
    forward pass in training mode, in which these modules therefore never are."""
    for module in twin.modules():
        for hook in module._forward_pre_hooks.values():
            hook.compute_weight(module, do_power_iteration=True)


def make_random_twin(case, watch=lambda act, x: None):
    """The twin; what its norms would begin with, ones and zeros, at random."""
    twin = make_twin(case.arch, case.shape, case.classes, watch)
    for module in list(twin.modules()):
        if isinstance(module, (nn.BatchNorm1d, nn.BatchNorm2d, nn.GroupNorm)):
            randomize(module)
        if module._forward_pre_hooks:
            module.eval()
    iterate(twin)
    return twin


def batch_norms(model):
    return [m for m in model.modules() if isinstance(m, (nn.BatchNorm1d, nn.BatchNorm2d))]


@contextlib.contextmanager
def running_statistics_kept(model):
    """Within, training passes leave them as they are."""
    norms = batch_norms(model)
    before = [norm.momentum for norm in norms]
    for norm in norms:
        norm.momentum = 0.0
    yield
    for norm, momentum in zip(norms, before):
        norm.momentum = momentum


# ---- the method --------------------------------------------------------------------------------


def label_energy(logits, labels):
    """E(x, y)."""
    return -logits.gather(1, labels[:, None])[:, 0]


def with_features(model, x):
    """The logits, and what the last layer makes them of."""
    inputs = []
    hook = model.head.register_forward_pre_hook(lambda module, args: inputs.append(args[0]))
    logits = model(x)
    hook.remove()
    return logits, inputs[0]


def cotangents_for(outputs):
    """Numbers of size 1 that float32 holds exactly, without a draw of the generator."""
    angles = torch.arange(outputs.numel(), dtype=torch.float64).reshape(outputs.shape)
    return torch.cos(angles).float().to(outputs.dtype)


def forward_values(model, x, y):
    """What the compute functions of jem.h give."""
    values = {}
    x = x.clone().requires_grad_()
    logits, features = with_features(model, x)
    values["logits"] = logits
    values["energy"] = free_energy(logits)
    values["energy_xy"] = label_energy(logits, y)
    for name in ("energy", "energy_xy"):
        grad = torch.autograd.grad(values[name].sum(), x, retain_graph=True)[0]
        values[f"{name}_grad"] = grad
    values["max_softmax"] = -torch.softmax(logits, dim=1).amax(dim=1)
    values["gradient_norm"] = values["energy_grad"].flatten(1).norm(dim=1)
    for name, outputs in (("logits", logits), ("features", features)):
        cotangents = cotangents_for(outputs)
        values[name], values[f"d{name}"] = outputs, cotangents
        values[f"{name}_vjp"] = torch.autograd.grad(outputs, x, cotangents, retain_graph=True)[0]
    return values


def joint_term(batch, labelled, samples):
    """The mean of log p(x|y) = f(x)[y] - log Z(y) over the labelled rows, but for a constant: the
    gradient of log Z(y) is the mean of that of f(x)[y] over the samples of class y. Rows of a class
    without samples count 0."""
    total = 0
    for logits, y in zip(labelled, batch["y_labelled"]):
        of_class = samples[batch["y_samples"] == y]
        if len(of_class):
            total = total + logits[y] - of_class[:, y].mean()
    return total / len(labelled)


def loss_terms(case, model, batch):
    """The weighted terms of the loss and the figures beside them."""
    labelled = model(batch["x_labelled"]) if case.rows[0] else None
    data = model(batch["x_data"]) if case.rows[1] else labelled
    with running_statistics_kept(model):
        samples = model(batch["x_samples"])
    e_data, e_samples = free_energy(data), free_energy(samples)
    values = {"f_data": -e_data.mean(), "f_samples": -e_samples.mean()}
    values["gap"] = values["f_data"] - values["f_samples"]
    values["loss_px"] = case.w_px * -values["gap"]
    values["loss_pyx"] = values["loss_pxy"] = values["accuracy"] = torch.zeros(())
    if labelled is not None:
        right = labelled.argmax(dim=1) == batch["y_labelled"]
        values["accuracy"] = right.double().mean()
        values["loss_pyx"] = case.w_pyx * functional.cross_entropy(labelled, batch["y_labelled"])
    if case.w_pxy:
        values["loss_pxy"] = -case.w_pxy * joint_term(batch, labelled, samples)
    values["loss_l2"] = case.energy_l2 * ((e_data**2).mean() + (e_samples**2).mean())
    values["loss"] = sum(values[f"loss_{term}"] for term in ("px", "pyx", "pxy", "l2"))
    return values


def make_optimizer(settings, parameters):
    decay = settings["weight_decay"]
    if settings["kind"] == "sgd":
        return torch.optim.SGD(parameters, settings["lr"], settings["momentum"], weight_decay=decay)
    betas = (settings["beta1"], settings["beta2"])
    return torch.optim.Adam(parameters, settings["lr"], betas, settings["eps"], weight_decay=decay)


def make_rates(settings):
    """The learning rate of each step: warm-up times what torch's scheduler gives."""
    lr, total = settings["lr"], settings.get("total_steps", STEPS)
    placeholder = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr)
    kind = settings.get("schedule", "constant")
    if kind == "cosine":
        floor = lr * settings.get("lr_floor", 0.0)
        scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(placeholder, total, floor)
    else:
        fractions = settings["milestones"].split() if kind == "step" else []
        milestones = [round(float(fraction) * total) for fraction in fractions]
        factor = settings.get("lr_factor", 1.0)
        scheduler = torch.optim.lr_scheduler.MultiStepLR(placeholder, milestones, factor)
    for step in range(STEPS):
        warmth = min(1.0, (step + 1) / settings["warmup_steps"]) if settings["warmup_steps"] else 1
        yield scheduler.get_last_lr()[0] * warmth
        placeholder.step()
        if kind != "cosine" or step < total:  # torch's cosine would rise again
            scheduler.step()


def perturb(settings, parameters):
    """Moves the parameters to where SAM takes its second gradient; returns them as they were."""
    before = [p.detach().clone() for p in parameters]
    adaptive = settings.get("sam_adaptive", 0)
    sizes = [b.abs() if adaptive else torch.ones_like(b) for b in before]
    norm = torch.sqrt(sum(((size * p.grad) ** 2).sum() for size, p in zip(sizes, parameters)))
    with torch.no_grad():
        for size, p in zip(sizes, parameters):
            p += settings["sam_rho"] * size**2 * p.grad / norm
    return before


def restore(parameters, before):
    with torch.no_grad():
        for p, b in zip(parameters, before):
            p.copy_(b)


def clip(parameters, norm_max):
    """Scales the gradient to at most that norm (torch's own adds 1e-6); returns its norm."""
    norm = torch.sqrt(sum((p.grad**2).sum() for p in parameters))
    if norm > norm_max:
        for p in parameters:
            p.grad *= norm_max / norm
    return norm


def train(case, model, batch):
    """Ten steps; for each name the list of its values, and the average of the parameters."""
    settings = {k: np.float32(v).item() if isinstance(v, float) else v
                for k, v in settings_of(case).items()}
    parameters = list(model.parameters())
    optimizer = make_optimizer(settings, parameters)
    history = {}
    average = {name: p.detach().clone() for name, p in model.named_parameters()}
    for step, lr in enumerate(make_rates(settings)):
        optimizer.param_groups[0]["lr"] = lr
        optimizer.zero_grad()
        values = loss_terms(case, model, batch)
        values["loss"].backward()
        if settings.get("sam_rho"):
            before = perturb(settings, parameters)
            optimizer.zero_grad()
            with running_statistics_kept(model):
                loss_terms(case, model, batch)["loss"].backward()
            restore(parameters, before)
        values["grad_norm"] = clip(parameters, settings["clip_norm"])
        values["lr"] = torch.tensor(lr)
        optimizer.step()
        decay = min(settings.get("ema_decay", 0.0), (1 + step) / (10 + step))
        for name, p in model.named_parameters():
            average[name] = decay * average[name] + (1 - decay) * p.detach()
        iterate(model)
        for name, value in values.items():
            history.setdefault(name, []).append(value.item())
    columns = {k: torch.tensor(v, dtype=torch.float64) for k, v in history.items()}
    return columns, average


def settings_of(case):
    return {**OPTIMIZER, **case.optimizer}


# ---- one case ----------------------------------------------------------------------------------


def make_inputs(case):
    """Rows that float32 holds exactly; the classes differ in their means."""
    n_labelled, n_data, n_samples = case.rows
    inputs = {}

    def images(n):
        return torch.randn(n, *case.shape)

    inputs["x"] = images(5)
    inputs["y"] = torch.arange(5) % case.classes
    if n_labelled:
        inputs["y_labelled"] = torch.arange(n_labelled) * 7 % case.classes
        means = torch.linspace(-1, 1, case.classes)[inputs["y_labelled"]]
        inputs["x_labelled"] = 0.7 * images(n_labelled) + means[:, None, None, None]
    if n_data:
        inputs["x_data"] = 0.7 * images(n_data) + 0.3
    inputs["x_samples"] = 2 * torch.rand(n_samples, *case.shape) - 1
    if case.w_pxy:
        inputs["y_samples"] = torch.arange(n_samples) * 5 % case.classes
    return inputs


def compute(case, twin, inputs, dtype):
    """All expected values from the twin's present parameters, which it changes."""
    model = twin.to(dtype)
    wide = {k: v.to(dtype) if v.is_floating_point() else v for k, v in inputs.items()}
    norms = batch_norms(model)
    for norm in norms:
        norm.eval()
    values = {f"golden.{k}": v for k, v in forward_values(model, wide["x"], wide["y"]).items()}
    for norm in norms:
        norm.train()
    history, average = train(case, model, wide)
    if not case.w_pxy:
        del history["loss_pxy"]
    final = tensors_of(model)
    values.update({f"golden.stats.{k}": v for k, v in history.items()})
    values.update({f"final.{k}": v for k, v in final.items()})
    if "ema_decay" in case.optimizer:
        values.update({f"ema.{k}": v for k, v in (final | average).items()})
    return {k: v.detach().double().numpy() for k, v in values.items()}


def tensors_of(model):
    """Its state_dict without PyTorch's counts of batches."""
    return {k: v for k, v in model.state_dict().items() if not k.endswith("num_batches_tracked")}


def make_case(case):
    """Initial parameters, inputs and expected values of the first seed without a near kink."""
    for seed in itertools.count():
        torch.manual_seed(seed)
        kinks = Kinks()
        twin = make_random_twin(case, kinks)
        initial = {name: value.clone() for name, value in tensors_of(twin).items()}
        inputs = make_inputs(case)
        expected = compute(case, twin, inputs, torch.float64)
        if kinks.closest >= KINK_MARGIN:
            break
    twin = make_random_twin(case)
    twin.load_state_dict(initial, strict=False)
    narrow = compute(case, twin, inputs, torch.float32)
    report(case, seed, kinks.closest, expected, narrow)
    given = {name: value.numpy() for name, value in initial.items()}
    given.update({f"golden.{name}": value.numpy() for name, value in inputs.items()})
    return given | {name: value.astype(np.float32) for name, value in expected.items()}


def report(case, seed, closest, expected, narrow):
    """Prints what the tolerances of test_golden.c rest on: how far the same run in float32 is off,
    relative to the largest value of each array."""
    deviations = {}
    for name, value in expected.items():
        kind = name.removeprefix("golden.") if name.startswith("golden.") else name.split(".")[0]
        deviation = np.abs(narrow[name] - value).max() / max(np.abs(value).max(), 1e-30)
        deviations[kind] = max(deviations.get(kind, 0), deviation)
    print(f"{case.name}: seed {seed}, closest to a kink {closest:.1e}")
    for kind, deviation in deviations.items():
        print(f"    {kind:24} {deviation:.1e}")
    norms = expected["golden.stats.grad_norm"]
    losses = expected["golden.stats.loss"]
    print(f"    losses {losses[0]:.4f} .. {losses[-1]:.4f}")
    print(f"    gradient norms {norms.min():.3f} .. {norms.max():.3f}")


# ---- a chain -----------------------------------------------------------------------------------


def pyld_step(model, x):
    """One outer step of JEM++ (Yang & Ji 2021, algorithm 1): p = dF/d(output of the first layer)
    by a full pass, then inner steps through the first layer alone."""
    first = next(m for m in model.modules() if isinstance(m, nn.Conv2d))
    outputs = []
    hook = first.register_forward_hook(lambda module, inputs, output: outputs.append(output))
    p = torch.autograd.grad(-free_energy(model(x)).sum(), outputs[0])[0]
    hook.remove()
    for _ in range(5):
        x = x.detach().requires_grad_()
        pull = torch.autograd.grad((first(x) * p).sum(), x)[0]
        x = (x + 0.2 * pull.clamp(-1, 1)).clamp(-1, 1).detach()
    return x, pull


def make_pyld():
    """Parameters, chains and where they move, with both clamps in use, but not everywhere."""
    case = Case("pyld", "cnn-6-8:norm=batch", (3, 8, 8), 4, (0, 0, 6), {})
    for seed in itertools.count():
        torch.manual_seed(seed)
        kinks = Kinks()
        twin = make_random_twin(case, kinks)
        with torch.no_grad():
            twin.head.weight *= 40  # pulls of about 1
        initial = {name: value.clone() for name, value in tensors_of(twin).items()}
        x = 2 * torch.rand(6, *case.shape) - 1
        moved, pull = pyld_step(twin.double().train(), x.double())
        narrow = pyld_step(twin.float().train(), x)[0]
        if kinks.closest >= KINK_MARGIN:
            break
    clamped = [(pull.abs() > 1).double().mean().item(), (moved.abs() == 1).double().mean().item()]
    assert all(0.1 < part < 0.9 for part in clamped), clamped
    print(f"pyld: seed {seed}, clamped pulls, values {clamped}, largest {pull.abs().max():.2f}")
    print(f"    moved                    {(narrow - moved).abs().max():.1e}")
    initial |= {"golden.x": x, "golden.moved": moved.float()}
    return case, {name: value.numpy() for name, value in initial.items()}


# ---- files -------------------------------------------------------------------------------------


def write_safetensors(path, tensors, metadata):
    header, data = {"__metadata__": metadata}, b""
    for name, array in tensors.items():
        dtype = {"float32": "F32", "int64": "I64"}[array.dtype.name]
        raw = np.ascontiguousarray(array).astype(array.dtype.newbyteorder("<")).tobytes()
        offsets = [len(data), len(data) + len(raw)]
        header[name] = {"dtype": dtype, "shape": list(array.shape), "data_offsets": offsets}
        data += raw
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)


def network_of(case):
    sides = zip(("channels", "height", "width"), map(str, case.shape))
    return {"arch": case.arch, "classes": str(case.classes), **dict(sides)}


def main():
    torch.set_num_threads(1)
    DATA.mkdir(exist_ok=True)
    names = sys.argv[1:] or ["pyld"] + [case.name for case in CASES]
    if "pyld" in names:
        case, tensors = make_pyld()
        write_safetensors(DATA / f"{case.name}.safetensors", tensors, network_of(case))
    for case in (case for case in CASES if case.name in names):
        metadata = network_of(case)
        weights = ("w_px", "w_pyx", "energy_l2") + (("w_pxy",) if case.w_pxy else ())
        metadata.update({k: repr(getattr(case, k)) for k in weights})
        metadata.update({k: str(v) for k, v in settings_of(case).items()})
        write_safetensors(DATA / f"{case.name}.safetensors", make_case(case), metadata)


if __name__ == "__main__":
    main()
