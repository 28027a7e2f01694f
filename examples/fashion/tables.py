"""A report as text. A report is nested dicts of figures; so is the median of several."""

import statistics

import targets

SCORES = {"energy": "F(x)", "max-softmax": "max p(y|x)", "gradient-norm": "|dF/dx|"}
QUALITY = {"accuracy": "accuracy", "nll": "NLL, nats", "ece": "ECE, 15 bins", "brier": "Brier score",
           "temperature": "temperature", "nll_scaled": "NLL, scaled", "ece_scaled": "ECE, scaled"}
IMAGES = {"recognised": "recognised", "frechet": "Frechet", "distance": "distance",
          "distance_ratio": "over test", "distance_pixels": "in pixels",
          "distance_pixels_ratio": "over test"}


def median(reports):
    """The median of each figure; what is no figure as in the first."""
    first = reports[0]
    if isinstance(first, dict):
        return {key: median([report[key] for report in reports]) for key in first}
    return statistics.median(reports) if isinstance(first, (int, float)) else first


def table(head, rows):
    """Lines of aligned columns; the first is text, the others are numbers or text."""
    shown = [[cell if isinstance(cell, str) else f"{cell:.4f}" for cell in row]
             for row in [head, *rows]]
    widths = [max(map(len, column)) for column in zip(*shown)]
    return ["  ".join([row[0].ljust(widths[0]),
                       *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:]))])
            for row in shown]


def quality(models):
    rows = [[text, *(model[key] for model in models.values())] for key, text in QUALITY.items()]
    return table(["Test images", *models], rows)


def auroc(models):
    """A row for each set, for each model a column of each score; and the means."""
    def row(name, area):
        return [name, *(area(model, score) for model in models.values() for score in SCORES)]

    sets = list(next(iter(models.values()))["auroc"])
    rows = [row(name, lambda model, score: model["auroc"][name][score]) for name in sets]
    rows.append(row("mean", lambda model, score: statistics.mean(
        areas[score] for areas in model["auroc"].values())))
    return table(["AUROC", *(f"{name} {score}" for name in models for score in SCORES.values())],
                 rows)


def images(samples):
    rows = [[name, *(row[key] for key in IMAGES)] for name, row in samples.items()]
    return table(["Images", *IMAGES.values()], rows)


def reached(reports):
    """The targets: of the medians, and in how many of the reports alone."""
    middle = median(reports)
    rows = []
    for target in targets.judged(middle):
        values = [target.shown(target.figure(report)) for report in reports]
        rows.append([target.text, f"{target.sign} {target.shown(target.bound)}",
                     target.shown(target.figure(middle)), "met" if target.met(middle) else "missed",
                     *(values if len(values) > 1 else [])])
    names = [f"run {i + 1}" for i in range(len(reports))] if len(reports) > 1 else []
    return table(["Target", "", "median" if names else "", "", *names], rows)


def text(reports):
    """The whole, of one run or of several runs' medians."""
    middle = median(reports)
    about = [f"{name}: {model['arch']}, {model['parameters']} parameters"
             for name, model in middle["models"].items()]
    judge = middle["judge"]
    about.append(f"judge: {judge['arch']}, accuracy {judge['accuracy']:.4f}")
    chain = ", ".join(f"{key} {value}" for key, value in middle["chain"].items())
    note = [f"Images: {middle['per_class']} per class; chains: {chain}. Recognised, Frechet and",
            "distance (mean of two of a class) are the judge's, the latter two in its features."]
    parts = [about, quality(middle["models"]), auroc(middle["models"]),
             [*images(middle["samples"]), *note], reached(reports)]
    return "\n\n".join("\n".join(part) for part in parts)
