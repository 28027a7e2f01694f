#!/usr/bin/python3
"""Two rings and two moons from two labels per class: a semi-supervised JEM beside a net that sees
the labels only.

Trains both on every data set and seed, prints the accuracies on fresh points, and draws the data
of one seed beside the density that was learnt from it.

Labels travel: walkers start at the labelled points and take Langevin steps on the density learnt
so far. They keep to their ridge, since they seldom cross a valley, so where they are is labelled
as their start was.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import os
import pathlib
import time

# Small nets: one thread each, and the seeds side by side.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import matplotlib  # noqa: E402

matplotlib.use("Agg")  # draws into files, wants no screen
import matplotlib.pyplot as plt  # noqa: E402
import numpy as np  # noqa: E402

import jem  # noqa: E402

POINTS, LABELS_PER_CLASS = 1000, 2
METHODS = ("JEM", "supervised")

# A high learning rate keeps boundaries that cut through a ridge moving.
STEPS = 600
N_LABELLED, N_DATA = 20, 100
ARCH = "mlp-64-64-64:act=silu"
OPTIMIZER = {"lr": 1e-2, "clip_norm": 5, "schedule": "cosine"}
SAMPLER = {"steps": 20, "step_size": 0.00125, "matched_noise": 1, "start_low": -2, "start_high": 2}
LOSS = {"w_px": 1, "w_pyx": 0.3, "energy_l2": 0.01, "input_noise": 0.05}

# Walkers set out when the density has its valleys, and return to their labels before many have
# crossed one.
N_WALKERS = 60
WALKS_FROM = 50  # training steps
WALK = 15 * SAMPLER["steps"]  # Langevin steps

# ---- data ------------------------------------------------------------------------------------


def rings(rng, n):
    """Circles of radius 1 and 1/2: x (n, 2), y (n,)."""
    y = np.arange(n) % 2
    angle = rng.uniform(0, 2 * np.pi, n)
    circle = np.stack([np.cos(angle), np.sin(angle)], axis=1) / (1 + y[:, None])
    return (circle + 0.03 * rng.normal(size=(n, 2))).astype(np.float32), y


def moons(rng, n):
    """Interleaved half circles of radius 1, about the origin: x (n, 2), y (n,)."""
    y = np.arange(n) % 2
    angle = rng.uniform(0, np.pi, n)
    side = (1 - 2 * y)[:, None]
    arc = side * (np.stack([np.cos(angle), np.sin(angle)], axis=1) - [0.5, 0.25])
    return (arc + 0.1 * rng.normal(size=(n, 2))).astype(np.float32), y


DATA = {"rings": rings, "moons": moons}


def labelled_rows(rng, y):
    """LABELS_PER_CLASS random rows of each class."""
    rows = [rng.choice(np.flatnonzero(y == c), LABELS_PER_CLASS, False) for c in np.unique(y)]
    return np.concatenate(rows)


# ---- training --------------------------------------------------------------------------------


class Walkers:
    """Chains of the model's density that carry the labels of the points they started from."""

    def __init__(self, rng, model, seed, x, y):
        self.home, self.y = np.resize(x, (N_WALKERS, 2)), np.resize(y, N_WALKERS)
        self.x = self.home.copy()
        self.left = WALK - SAMPLER["steps"] * rng.integers(0, WALK // SAMPLER["steps"], N_WALKERS)
        self.sampler = jem.Sampler(model, seed=seed + 1000, **SAMPLER)

    def walk(self):
        self.x[self.left <= 0] = self.home[self.left <= 0]
        self.left[self.left <= 0] = WALK
        self.x = self.sampler.run(self.x, SAMPLER["steps"])
        self.left -= SAMPLER["steps"]


def train(method, seed, steps, x, y, labelled):
    """A model of the 1,000 points x, of which only the rows `labelled` may show their class."""
    rng = np.random.default_rng([seed, 1])
    model = jem.Model.create(ARCH, channels=2, classes=2, seed=seed, threads=1)
    optimizer = jem.Optimizer(model, seed=seed, total_steps=steps, **OPTIMIZER)
    sampler = jem.Sampler(model, seed=seed, **SAMPLER)
    loss = LOSS if method == "JEM" else {**LOSS, "w_px": 0, "energy_l2": 0}
    walkers = Walkers(rng, model, seed, x[labelled], y[labelled])
    cycled = np.resize(labelled, N_LABELLED)
    for step in range(steps):
        x_labelled, y_labelled = x[cycled], y[cycled]
        if method == "JEM" and step >= WALKS_FROM:
            walkers.walk()
            x_labelled = np.concatenate([x_labelled, walkers.x])
            y_labelled = np.concatenate([y_labelled, walkers.y])
        data = rng.choice(len(x), N_DATA, replace=False)
        jem.train_step(model, optimizer, sampler, x_labelled=x_labelled, y_labelled=y_labelled,
                       x_data=x[data], **loss)
    return model


def accuracies(name, seed, steps):
    """Of both methods on fresh points; and the JEM, its data and labelled rows for the picture."""
    rng = np.random.default_rng(seed)
    x, y = DATA[name](rng, POINTS)
    labelled = labelled_rows(rng, y)
    x_test, y_test = DATA[name](rng, POINTS)
    models = {method: train(method, seed, steps, x, y, labelled) for method in METHODS}
    found = {method: np.mean(model.predict(x_test) == y_test) for method, model in models.items()}
    grids = evaluate(models["JEM"], x)
    return found, (x, y, labelled, grids)


# ---- picture ---------------------------------------------------------------------------------

DEPTH = 8  # nats from white to black


def evaluate(model, x):
    """The area of x and a margin as (left, right, bottom, top), F and p(y=1|x) on a grid of it."""
    low, high = x.min(axis=0) - 0.25, x.max(axis=0) + 0.25
    columns, rows = np.ceil((high - low) / 0.01).astype(int)
    grid = np.stack(np.meshgrid(np.linspace(low[0], high[0], columns),
                                np.linspace(low[1], high[1], rows)), axis=-1)
    flat = grid.reshape(-1, 2).astype(np.float32)
    area = (low[0], high[0], low[1], high[1])
    shape = grid.shape[:2]
    return (area, model.score_samples(flat).reshape(shape),
            model.predict_proba(flat)[:, 1].reshape(shape))


def draw(cases, path):
    """One row: for each data set its points and labels, then the density and class boundary."""
    widths = [grids[0][1] - grids[0][0] for *_, grids in cases.values()]
    heights = [grids[0][3] - grids[0][2] for *_, grids in cases.values()]
    shares = np.repeat(np.divide(widths, heights), 2)
    figure, axes = plt.subplots(1, len(shares), width_ratios=shares, layout="constrained",
                                figsize=(10, 10 / sum(shares) + 0.2))
    for pair, (name, (x, y, labelled, grids)) in zip(axes.reshape(-1, 2), cases.items()):
        draw_data(pair[0], name, x, y, labelled)
        draw_density(pair[1], grids)
        for ax in pair:
            ax.set(xlim=grids[0][:2], ylim=grids[0][2:], xticks=[], yticks=[], aspect="equal")
    figure.savefig(path, dpi=160)


def draw_data(ax, name, x, y, labelled):
    ax.scatter(*x.T, s=4, color="0.6", linewidths=0)
    for c, (color, marker) in enumerate([("tab:blue", "o"), ("tab:orange", "s")]):
        own = labelled[y[labelled] == c]
        ax.scatter(*x[own].T, s=70, color=color, marker=marker, edgecolors="black")
    ax.set_title(f"{name}, {len(labelled)} labels", fontsize=10)


def draw_density(ax, grids):
    area, f, p = grids
    top = np.quantile(f, 0.99)
    ax.imshow(f, extent=area, origin="lower", cmap="magma", vmin=top - DEPTH, vmax=top)
    ax.contour(p, [0.5], extent=area, colors="white", linewidths=1.5, linestyles="dashed")
    ax.set_title("learnt log p(x), boundary", fontsize=10)


# ---- program ---------------------------------------------------------------------------------


def print_row(word, values):
    print(f"{word:12}" + "".join(f"{100 * value:10.1f} %" for value in values), flush=True)


def print_table(name, first_seed, futures):
    """A row per seed as soon as it is known, then what they have in common."""
    print(f"\n{name:12}" + "".join(f"{method:>12}" for method in METHODS))
    rows = []
    for seed, future in enumerate(futures, first_seed):
        found, _ = future.result()
        rows.append([found[method] for method in METHODS])
        print_row(f"seed {seed}", rows[-1])
    print_row("mean", np.mean(rows, axis=0))
    print_row("lowest", np.min(rows, axis=0))
    print_row("highest", np.max(rows, axis=0))


def parse_args():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=10, help="how many (default: %(default)s)")
    parser.add_argument("--first-seed", type=int, default=0, help="(default: %(default)s)")
    parser.add_argument("--steps", type=int, default=STEPS, help="of training (%(default)s)")
    parser.add_argument("--jobs", type=int, default=len(os.sched_getaffinity(0)),
                        help="seeds at a time (default: all cores)")
    parser.add_argument("--picture", type=pathlib.Path, default=pathlib.Path("rings.png"),
                        help="(default: %(default)s)")
    return parser.parse_args()


def main():
    args = parse_args()
    began = time.monotonic()
    pictures = {}
    with concurrent.futures.ThreadPoolExecutor(args.jobs) as pool:
        runs = {name: [pool.submit(accuracies, name, seed, args.steps)
                       for seed in range(args.first_seed, args.first_seed + args.seeds)]
                for name in DATA}
        for name, futures in runs.items():
            print_table(name, args.first_seed, futures)
            _, pictures[name] = futures[0].result()
    draw(pictures, args.picture)
    print(f"\nWrote {args.picture}; {time.monotonic() - began:.0f} s in all")


if __name__ == "__main__":
    main()
