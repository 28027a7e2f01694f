"""What the example wants to reach, each as a figure of a report and a bound."""

import dataclasses
from collections.abc import Callable

from classification import OOD_SETS


@dataclasses.dataclass(frozen=True)
class Target:
    """A figure of a report that is to be at least or at most `bound`."""

    text: str
    sign: str  # ">=" or "<="
    bound: float
    figure: Callable
    percent: bool = False

    def met(self, report):
        value = self.figure(report)
        return value >= self.bound if self.sign == ">=" else value <= self.bound

    def shown(self, value):
        return f"{100 * value:.2f} %" if self.percent else f"{value:.3f}"


def difference(key):
    """How much more of a figure the JEM has than its twin."""
    return lambda report: report["models"]["jem"][key] - report["models"]["twin"][key]


def auroc_gains(report):
    """How much larger the AUROC of F(x) is than the twin's, of each set."""
    jem, twin = (report["models"][name]["auroc"] for name in ("jem", "twin"))
    return [jem[name]["energy"] - twin[name]["energy"] for name in OOD_SETS]


def of_samples(key):
    return lambda report: report["samples"]["samples"][key]


def frechet_ratio(report):
    return report["samples"]["samples"]["frechet"] / report["samples"]["starts"]["frechet"]


TARGETS = [
    Target("accuracy", ">=", 0.90, lambda r: r["models"]["jem"]["accuracy"], percent=True),
    Target("accuracy above the twin's", ">=", -0.015, difference("accuracy"), percent=True),
    Target("ECE, scaled, above the twin's", "<=", 0.005, difference("ece_scaled"), percent=True),
    Target("AUROC of F(x) above the twin's, mean of the sets", ">=", 0.03,
           lambda r: sum(auroc_gains(r)) / len(OOD_SETS)),
    Target("AUROC of F(x) above the twin's, worst set", ">=", -0.05,
           lambda r: min(auroc_gains(r))),
    Target("samples recognised as their class", ">=", 0.80, of_samples("recognised"),
           percent=True),
    Target("Frechet distance of samples over that of starts", "<=", 0.5, frechet_ratio),
    Target("distance within classes, samples over test", ">=", 0.8, of_samples("distance_ratio")),
]


def judged(report):
    """The targets whose models are in the report."""
    return [target for target in TARGETS
            if "twin" in report["models"] or "twin" not in target.text]
