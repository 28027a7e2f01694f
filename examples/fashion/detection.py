#!/usr/bin/python3
"""What the library's detector sees on the wide table's sets, with a JEM and with its twin.

    python3 detection.py --jem jem.safetensors --twin twin.safetensors

Writes detection.json and the models with their detectors, NAME.detector.safetensors, to --out, and
prints the tables. fashion.py and report.py do the same within their report.

The detector has the library's defaults. It is fitted on the training images, calibrated on the
held-out ones, stored with the model, and read back; the test images and the sets of wide.py are
only looked at.
"""

import argparse
import json
import os
import pathlib
import statistics

import data
import recipe
import tables
import wide
from built import jem

KINDS = {"detector": 0, "energy": "energy", "mahalanobis": "mahalanobis", "knn": "knn"}
BLOCKS = 5  # of held-out images that calibrate in turn, where there are as many


class Inputs:
    """The images as a model takes them."""

    def __init__(self, model, fashion, sets):
        self.training = data.Images(model.input_from_u8(fashion.training.x), fashion.training.y)
        self.held_out = model.input_from_u8(fashion.held_out.x)
        self.test = model.input_from_u8(fashion.test.x)
        self.sets = {name: model.input_from_u8(x) for name, x in sets.items()}


def figures(scores_in, scores_out):
    """AUROC, and the share of the set that passes where 95 % of the test images do."""
    made = jem.detection_metrics(scores_in, scores_out)
    return {"auroc": made.auroc, "fpr95": made.fpr_in_positive}


def told_apart(detector, inputs, kind=0):
    """{set: figures} of one of the detector's scores."""
    inside = detector.score(inputs.test, kind)
    return {name: figures(inside, detector.score(x, kind)) for name, x in inputs.sets.items()}


def flagged(detector, x):
    """The share of rows that the detector flags."""
    return float((detector.detect(x)["flag"] != 0).mean())


def short(detector, inputs):
    """How well it tells apart and how often it is wrong, in three numbers."""
    areas = [row["auroc"] for row in told_apart(detector, inputs).values()]
    return {"auroc": statistics.mean(areas), "lowest": min(areas),
            "flagged": flagged(detector, inputs.test)}


def fitted(model, images):
    """A detector that knows training images; what is promised is set when it is calibrated."""
    return jem.Detector(model, fpr=recipe.PROMISE["fpr"]).fit(images.x, images.y)


def flagged_when_read(path, inputs):
    """The share of the test images that is flagged by the detector that a model file holds."""
    with jem.Model.load(path) as model:
        return flagged(jem.Detector.of(model), inputs.test)


def stored(detector, path, inputs):
    """Stores the detector with its promise, and says how it was kept."""
    detector.set_threshold(**recipe.PROMISE)
    detector.store()
    detector.model.save(path)
    return {**recipe.PROMISE, "flagged": flagged_when_read(path, inputs)}


def kept_promises(detector, inputs):
    """The share of the test images that is flagged for each promise."""
    rows = []
    for fpr, confidence in recipe.PROMISES:
        detector.set_threshold(fpr, confidence)
        rows.append({"fpr": fpr, "confidence": confidence,
                     "flagged": flagged(detector, inputs.test)})
    return rows


def with_calibration_rows(detector, inputs, n):
    """Calibrated by n held-out images; the medians over blocks that have no image in common.

    The promise is of the average, because few rows cannot give a confidence.
    """
    blocks = inputs.held_out[:len(inputs.held_out) // n * n].reshape(-1, n, *inputs.test.shape[1:])
    made = [short(detector.calibrate(block), inputs) for block in blocks[:BLOCKS]]
    most = max(one["flagged"] for one in made)
    return {"rows": n, "blocks": len(made), "most": most} | tables.median(made)


def with_fitted_rows(model, inputs, per_class):
    """Fitted on the first training images of each class, calibrated by all held-out ones."""
    some = inputs.training.balanced(per_class)
    detector = fitted(model, some).calibrate(inputs.held_out)
    return {"rows": len(some)} | short(detector, inputs)


def evaluate(path, fashion, sets, out, threads):
    """All figures of a model file; `out` is where the model goes with its detector."""
    with jem.Model.load(path, threads=threads) as model:
        inputs = Inputs(model, fashion, sets)
        detector = fitted(model, inputs.training).calibrate(inputs.held_out)
        return {"scores": {name: told_apart(detector, inputs, kind)
                           for name, kind in KINDS.items()},
                "promises": kept_promises(detector, inputs),
                "stored": stored(detector, out, inputs),
                "fitted": [with_fitted_rows(model, inputs, n) for n in recipe.FITTED_PER_CLASS],
                "calibrated": [with_calibration_rows(detector, inputs, n)
                               for n in recipe.CALIBRATION_ROWS if n <= len(inputs.held_out)]}


def report(paths, fashion, folder, seed, threads):
    """Figures of several model files, {name: path}, on the same sets."""
    sets = wide.make_all(fashion.test, recipe.WIDE_IMAGES, seed)
    return {"sets": {kind.name: {"what": kind.what, "near": kind.near,
                                 "images": len(sets[kind.name])} for kind in wide.SETS},
            "models": {name: evaluate(path, fashion, sets, folder / f"{name}.detector.safetensors",
                                      threads) for name, path in paths.items()}}


def model_paths(args):
    """{name: path} of the JEM and, if there is one, its twin."""
    return {name: path for name, path in (("jem", args.jem), ("twin", args.twin)) if path}


def parse_args():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jem", type=pathlib.Path, required=True, metavar="FILE")
    parser.add_argument("--twin", type=pathlib.Path, metavar="FILE")
    parser.add_argument("--out", type=pathlib.Path, default=".", metavar="FOLDER")
    parser.add_argument("--data", default="fashion-mnist", metavar="PATH")
    parser.add_argument("--seed", type=int, default=0, help="of the sets")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    return parser.parse_args()


def main():
    args = parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    made = {"detection": report(model_paths(args), data.load(args.data), args.out, args.seed,
                                args.threads)}
    (args.out / "detection.json").write_text(json.dumps(made, indent=2) + "\n")
    print("\n\n".join([tables.detection(made["detection"]), tables.targets([made])]))


if __name__ == "__main__":
    main()
