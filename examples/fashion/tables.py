"""Reports as Markdown. A report is nested dicts of figures; so is the median of several."""

import statistics

from targets import TARGETS

SCORES = {"energy": "F(x)", "max-softmax": "max p", "gradient-norm": "grad"}
QUALITY = {"accuracy": "accuracy", "nll": "NLL, nats", "ece": "ECE, 15 bins",
           "brier": "Brier score", "temperature": "temperature", "nll_scaled": "NLL, scaled",
           "ece_scaled": "ECE, scaled"}
IMAGES = {"recognised": "recognised", "frechet": "Frechet", "distance": "distance",
          "distance_ratio": "over test", "distance_pixels": "in pixels",
          "distance_pixels_ratio": "over test"}

DETECTION = {"detector": "detector", "energy": "F(x)", "mahalanobis": "Mahalanobis", "knn": "KNN"}
FIGURES = {"auroc": "AUROC", "fpr95": "passing"}

NOTES = """\
Scaled: by the temperature that suits the held-out training images best. AUROC: the chance that an
image of the set scores as more unusual than a test image by F(x) = logsumexp f(x), by max p(y|x),
or by |dF/dx| ("grad").

Recognised: by the judge, an independently trained classifier. Frechet: distance to the test images
in its features. Distance: mean of two images of a class, in its features and in pixels 0..1."""

DETECTION_NOTES = """\
Nothing was chosen by these sets: neither the model, nor the detector's kinds and settings, nor the
sets themselves. Near: made of clothes or photographs. Passing: the share of a set that is not
flagged where 95 % of the test images are not. Flagged: the share of the test images, which no
detector has seen. Detectors are fitted on training images and calibrated by held-out ones. Those of
few images promise 1 % on average. Where few calibrate, the figures are medians over blocks without a
common image, and "at most" is the most that the detector of one block flags."""


def median(reports):
    """The median of each figure; what is no figure, or always the same, as in the first report."""
    first = reports[0]
    if all(report == first for report in reports):
        return first
    if isinstance(first, dict):
        return {key: median([report[key] for report in reports]) for key in first}
    if isinstance(first, list):
        return [median(parts) for parts in zip(*reports)]
    return statistics.median(reports) if isinstance(first, (int, float)) else first


def line(cells, widths):
    return "| " + " | ".join([cells[0].ljust(widths[0]),
                              *(cell.rjust(width) for cell, width
                                in zip(cells[1:], widths[1:]))]) + " |"


def table(head, rows):
    """A table whose first column is text; the others are numbers or text."""
    shown = [[cell if isinstance(cell, str) else f"{cell:.4f}" for cell in row]
             for row in [head, *rows]]
    widths = [max(map(len, column)) for column in zip(*shown)]
    rule = "|".join(["", "-" * (widths[0] + 2), *("-" * (width + 1) + ":" for width in widths[1:]),
                     ""])
    first, *others = [line(cells, widths) for cells in shown]
    return "\n".join([first, rule, *others])


def about(name, network):
    """One network in a line."""
    text = f"- {name}: {network['arch']}, {network['parameters']} parameters"
    if "minutes" in network:
        text += (f", {network['steps']} steps in {network['minutes']:.1f} minutes, set back "
                 f"{network['rollbacks']} times")
    return text


def networks(report):
    judge = report["judge"]
    lines = [about(name, model) for name, model in report["models"].items()]
    return "\n".join([*lines, f"{about('judge', judge)}; accuracy {judge['accuracy']:.4f}"])


def quality(models):
    rows = [[text, *(model[key] for model in models.values())] for key, text in QUALITY.items()]
    return table(["test images", *models], rows)


def auroc(models):
    """A row for each set and one of means, for each score a column of each model."""
    def row(name, area):
        return [name, *(area(model["auroc"], score) for score in SCORES
                        for model in models.values())]

    sets = list(next(iter(models.values()))["auroc"])
    rows = [row(name, lambda areas, score, name=name: areas[name][score]) for name in sets]
    rows.append(row("mean", lambda areas, score: statistics.mean(
        areas[name][score] for name in sets)))
    return table(["AUROC", *(f"{text} {name}" for text in SCORES.values() for name in models)],
                 rows)


def images(report):
    rows = [[name, *(row[key] for key in IMAGES)] for name, row in report["samples"].items()]
    chain = ", ".join(f"{key} {value}" for key, value in report["chain"].items())
    return (f"{report['per_class']} images of each class. Chains: {chain}.\n\n"
            + table(["images", *IMAGES.values()], rows))


def separation(report, figure):
    """A row for each set, then means; for each score a column of each model."""
    models, sets = report["models"], report["sets"]

    def row(text, summary, names):
        return [text, *(summary(models[model]["scores"][score][name][figure] for name in names)
                        for score in DETECTION for model in models)]

    near, far = ([name for name in sets if sets[name]["near"] == is_near]
                 for is_near in (True, False))
    rows = [row(name, statistics.mean, [name]) for name in near + far]
    rows += [row("mean, clothes and photographs", statistics.mean, near),
             row("mean, the others", statistics.mean, far), row("mean", statistics.mean, sets),
             row("worst", min if figure == "auroc" else max, sets)]
    return table([FIGURES[figure], *(f"{text} {name}" for text in DETECTION.values()
                                     for name in models)], rows)


def promises(models):
    """What is promised beside what is kept."""
    def name(promise):
        sure = promise["confidence"]
        return f"{promise['fpr']:.0%} " + (f"with confidence {sure:.0%}" if sure else "on average")

    def row(text, kept):
        return [text, *(f"{one['flagged']:.2%}" for one in kept)]

    rows = [row(name(kept[0]), kept)
            for kept in zip(*(model["promises"] for model in models.values()))]
    kept = [model["stored"] for model in models.values()]
    return table(["flagged", *models], [*rows, row(f"{name(kept[0])}, read from the file", kept)])


def few_rows(models):
    """Detectors that were fitted or calibrated with few images."""
    rows = []
    for name, model in models.items():
        for how, few in (("fitted on", model["fitted"]), ("calibrated by", model["calibrated"])):
            for one in few:
                rows.append([f"{name}, {how} {one['rows']}", one["auroc"], one["lowest"],
                             f"{one['flagged']:.2%}",
                             f"{one.get('most', one['flagged']):.2%}"])
    return table(["detector", "mean AUROC", "lowest", "flagged", "at most"], rows)


def detection(report):
    """The sets, how well each score tells them apart, and what the detector promises and keeps."""
    kinds = [[name, one["what"], "near" if one["near"] else "", str(one["images"])]
             for name, one in report["sets"].items()]
    return "\n\n".join([table(["set", "what it is", "", "images"], kinds),
                        *(separation(report, figure) for figure in FIGURES),
                        promises(report["models"]), few_rows(report["models"]), DETECTION_NOTES])


def reached(target, reports):
    """One figure for all runs."""
    if target.of_medians:
        return target.figure(median(reports))
    return statistics.median(target.figure(report) for report in reports)


def targets(reports):
    """What is reached, and the figure of each run."""
    several = len(reports) > 1

    def row(target):
        value = reached(target, reports)
        return [target.text, f"{target.sign} {target.shown(target.bound)}", target.shown(value),
                "met" if target.met(value) else "missed",
                *(target.shown(target.figure(report)) for report in reports if several)]

    rows = [row(target) for target in TARGETS if target.applies(median(reports))]
    runs = [f"run {i + 1}" for i in range(len(reports)) if several]
    return table(["target", "bound", "median" if several else "is", "", *runs], rows)


def text(reports):
    """The whole, of one run or of the medians of several."""
    middle = median(reports)
    parts = [networks(middle), quality(middle["models"]), auroc(middle["models"]),
             images(middle), NOTES, detection(middle["detection"]), targets(reports)]
    return "\n\n".join(parts)
