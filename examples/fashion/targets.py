"""What the example is to reach, each a figure of a report and a bound."""

import dataclasses
import statistics
from collections.abc import Callable

from classification import OOD_SETS


@dataclasses.dataclass(frozen=True)
class Target:
    """A figure of a report that is to be at least (">=") or at most ("<=") `bound`."""

    text: str
    sign: str
    bound: float
    figure: Callable
    form: str = ".3f"
    of_medians: bool = False  # of several runs: the figure of the medians, not the median figure

    def applies(self, report):
        """False where the report lacks a network or its log."""
        try:
            self.figure(report)
        except KeyError:
            return False
        return True

    def met(self, value):
        return value >= self.bound if self.sign == ">=" else value <= self.bound

    def shown(self, value):
        return format(value, self.form)


def minutes(report):
    """Of training the three networks and of the report."""
    networks = [report["models"]["jem"], report["models"]["twin"], report["judge"]]
    return sum(network["minutes"] for network in networks) + report["seconds"] / 60


def of_jem(key):
    return lambda report: report["models"]["jem"][key]


def above_twin(key):
    return lambda report: report["models"]["jem"][key] - report["models"]["twin"][key]


def auroc_gains(report):
    """How much larger the AUROC of F(x) is than the twin's, of each set."""
    jem, twin = (report["models"][name]["auroc"] for name in ("jem", "twin"))
    return [jem[name]["energy"] - twin[name]["energy"] for name in OOD_SETS]


def of_samples(key):
    return lambda report: report["samples"]["samples"][key]


def frechet_ratio(report):
    return report["samples"]["samples"]["frechet"] / report["samples"]["starts"]["frechet"]


def detector_areas(report):
    """AUROC of the JEM's detector of each set of the wide table."""
    scores = report["detection"]["models"]["jem"]["scores"]
    return [one["auroc"] for one in scores["detector"].values()]


def flagged(report):
    return report["detection"]["models"]["jem"]["stored"]["flagged"]


TARGETS = [
    Target("minutes in all", "<=", 90, minutes, ".0f"),
    Target("accuracy", ">=", 0.90, of_jem("accuracy"), ".2%"),
    Target("accuracy above the twin's", ">=", -0.015, above_twin("accuracy"), ".2%"),
    Target("scaled ECE above the twin's", "<=", 0.005, above_twin("ece_scaled"), ".2%"),
    Target("AUROC of F(x) above the twin's, mean of the sets (from medians per set)", ">=", 0.03,
           lambda report: statistics.mean(auroc_gains(report)), of_medians=True),
    Target("AUROC of F(x) above the twin's, worst set (from medians per set)", ">=", -0.05,
           lambda report: min(auroc_gains(report)), of_medians=True),
    Target("samples recognised as their class", ">=", 0.80, of_samples("recognised"), ".1%"),
    Target("Frechet distance, samples over starts", "<=", 0.5, frechet_ratio),
    Target("distance within classes, samples over test", ">=", 0.8, of_samples("distance_ratio")),
    Target("AUROC of the detector, mean of the wide table", ">=", 0.975,
           lambda report: statistics.mean(detector_areas(report))),
    Target("AUROC of the detector, worst set of the wide table", ">=", 0.85,
           lambda report: min(detector_areas(report))),
    Target("test images flagged where at most 1 % are promised, confidence 95 %", "<=", 0.01,
           flagged, ".2%"),
]
