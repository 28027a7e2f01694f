#!/usr/bin/python3
"""How cost grows: time against K, B, width, threads, memory against B; libjem, PyTorch in turn.

Writes a picture and, as CSV, the numbers in it: medians over rounds.
"""

import csv
import dataclasses
import functools
import os
import pathlib
import sys

try:
    import matplotlib
except ImportError:
    sys.exit("growth.py needs matplotlib: apt install python3-matplotlib")
matplotlib.use("Agg")
from matplotlib import pyplot, ticker
from measuring import (Case, circumstances, fastest_pytorch, libjem, median, parse, parser,
                       take_turns)

CORES = len(os.sched_getaffinity(0))

STEP = Case("Langevin step", "wrn-10-1", "1x28x28", "sgld")
TRAIN = Case("JEM step", "wrn-10-1", "1x28x28", "train", runs=3)
SHORT_TRAIN = dataclasses.replace(TRAIN, sgld_steps=1)


@dataclasses.dataclass(frozen=True)
class Panel:
    """A small picture: a figure of a case, of which one field takes some values."""

    case: Case
    field: str  # of the case, or "threads"
    values: tuple
    label: str  # of the axis; its last word names what grows
    key: str = "median_ms"  # of the report
    scale: str = "log"

    def points(self):
        """(value, the case with it, threads)."""
        for value in self.values:
            if self.field == "threads":
                yield value, self.case, value
            else:
                given = f"wrn-10-{value}" if self.field == "arch" else value
                yield value, dataclasses.replace(self.case, **{self.field: given}), CORES

    @property
    def title(self):
        cost = {"median_ms": "time", "peak_rss_mb": "memory"}[self.key]
        return f"{self.case.name}: {cost} against {self.label.split()[-1]}"

    @property
    def unit(self):
        return {"median_ms": "ms", "peak_rss_mb": "MiB"}[self.key]


PANELS = [
    Panel(TRAIN, "sgld_steps", (0, 5, 10, 20, 40), "Langevin steps K", scale="linear"),
    Panel(STEP, "batch", (1, 4, 16, 64, 256), "rows B"),
    Panel(STEP, "arch", (1, 2, 4), "widening factor of the net, k"),
    Panel(STEP, "threads", tuple(range(1, CORES + 1)), "threads", scale="linear"),
    Panel(STEP, "batch", (1, 4, 16, 64, 256), "rows B", "peak_rss_mb"),
    Panel(SHORT_TRAIN, "batch", (1, 4, 16, 64, 256), "rows B", "peak_rss_mb"),
]


def quick(panel):
    """The cheap points, measured briefly."""
    case = dataclasses.replace(panel.case, runs=2)
    return dataclasses.replace(panel, case=case, values=panel.values[:3])


# ---- measurement ---------------------------------------------------------------------------------


@functools.cache  # panels share points
def measure(jem, case, threads, rounds):
    return take_turns([libjem(jem), fastest_pytorch(case, threads)], case, rounds, threads)


def measure_all(panels, args):
    """One row of the CSV for each point and program."""
    for panel in panels:
        for value, case, threads in panel.points():
            for name, reports in measure(args.jem, case, threads, args.rounds).items():
                yield {"panel": panel.title, "value": value,
                       "program": name, "unit": panel.unit, "cost": median(reports, panel.key),
                       "arch": case.arch, "shape": case.shape, "op": case.op,
                       "batch": case.batch, "sgld_steps": case.sgld_steps, "threads": threads}


def write_csv(path, rows):
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0], lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


# ---- picture -------------------------------------------------------------------------------------

STYLES = {
    "libjem": {"color": "#0b5fa5", "marker": "o"},
    "PyTorch": {"color": "#c8641e", "marker": "s"},
}
INK, FAINT = "#333333", "#dddddd"


def style_axes(axes, panel):
    axes.set_title(panel.title, loc="left", fontsize=8.5, fontweight="bold", color=INK)
    axes.set_xlabel(panel.label)
    axes.set_ylabel(panel.unit)
    axes.set_xscale(panel.scale)
    axes.set_yscale(panel.scale)
    axes.set_xticks(panel.values, [f"{value:g}" for value in panel.values])
    axes.xaxis.set_minor_locator(ticker.NullLocator())
    if panel.scale == "linear":
        axes.set_ylim(bottom=0)
    else:
        axes.yaxis.set_major_locator(ticker.LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
        axes.yaxis.set_minor_locator(ticker.NullLocator())
    axes.grid(True, color=FAINT, linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)


def draw_panel(axes, panel, rows):
    last = {}
    for name, style in STYLES.items():
        costs = [row["cost"] for row in rows if row["program"] == name]
        axes.plot(panel.values, costs, label=name, linewidth=1.6, markersize=4, **style)
        last[name] = costs[-1]
    axes.margins(x=0.1, y=0.12)
    style_axes(axes, panel)
    ratio = last["PyTorch"] / last["libjem"]
    axes.annotate(f"{ratio:.1f}x", (panel.values[-1], max(last.values())), xytext=(6, 0),
                  textcoords="offset points", va="center", color=INK)


def draw(path, panels, rows, setting):
    pyplot.rcParams.update({"font.size": 8, "axes.edgecolor": INK, "xtick.color": INK,
                            "ytick.color": INK, "axes.labelcolor": INK})
    figure, grid = pyplot.subplots(2, 3, figsize=(9, 5.2), layout="constrained")
    for axes, panel in zip(grid.flat, panels):
        draw_panel(axes, panel, [row for row in rows if row["panel"] == panel.title])
    grid[0, 0].legend(frameon=False, loc="lower right")
    figure.supxlabel(f"{STEP.arch}, {STEP.shape}, B = {STEP.batch}, threads = {CORES}, unless the "
                     "axis says otherwise. 1.5x: PyTorch needs 1.5 times as much. "
                     f"{setting['machine']}, {setting['date']}", fontsize=7, color="#666666")
    figure.savefig(path, dpi=200)


# ---- command line --------------------------------------------------------------------------------


def parse_args():
    made = parser(__doc__)
    made.add_argument("--png", type=pathlib.Path, default="growth.png", help="(default growth.png)")
    made.add_argument("--csv", type=pathlib.Path, default="growth.csv", help="(default growth.csv)")
    return parse(made)


def main():
    args = parse_args()
    panels = [quick(panel) for panel in PANELS] if args.quick else PANELS
    setting = circumstances(args.jem)
    rows = list(measure_all(panels, args))
    write_csv(args.csv, rows)
    draw(args.png, panels, rows, setting)
    print("\n".join(f"{key}: {text}  " for key, text in setting.items()))


if __name__ == "__main__":
    main()
