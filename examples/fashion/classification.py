"""How well a model classifies, how well it knows how sure it may be, and what it finds unusual."""

import json
import subprocess

from built import JEM, jem
from metrics import best_temperature, cross_entropy

NAMED_SETS = ["uniform", "constant", "interp", "rotated", "inverted"]
OOD_SETS = [*NAMED_SETS, "digits"]


def evaluate_by_command(path, data, digits, threads):
    """What `jem eval` says: metrics of the test set, and AUROC of every score on the six sets."""
    command = [JEM, "eval", "--model", path, "--data", data, "--json",
               "--threads", threads, "--ood", *NAMED_SETS, digits]
    done = subprocess.run([str(word) for word in command], check=True, stdout=subprocess.PIPE)
    report = json.loads(done.stdout)
    areas = dict(zip(OOD_SETS, report["auroc"].values()))
    return {key: report[key] for key in ("accuracy", "nll", "ece", "brier")} | {"auroc": areas}


def scaled(model, fashion):
    """Calibration on the test set after temperature scaling on the held-out images."""
    def logits(images):
        return model.logits(model.input_from_u8(images.x))

    temperature = best_temperature(logits(fashion.held_out), fashion.held_out.y)
    divided = logits(fashion.test) / temperature
    return {"temperature": temperature,
            "nll_scaled": cross_entropy(divided, fashion.test.y),
            "ece_scaled": jem.classification_metrics(divided, fashion.test.y).ece}


def evaluate(path, fashion, data, digits, threads):
    """All figures of a model file."""
    with jem.Model.load(path, threads=threads) as model:
        about = {"arch": model.arch, "parameters": model.info.param_count}
        return (about | evaluate_by_command(path, data, digits, threads)
                | scaled(model, fashion))
