"""Trains one network by `jem train`: once, resumed where it was interrupted."""

import json
import os
import signal
import subprocess
import sys

import recipe
from built import JEM


def run(command):
    """Runs a command to its end. Told to stop, it has the time to write its checkpoint."""
    with subprocess.Popen(command) as process:
        usual = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
        signal.signal(signal.SIGINT, lambda *_: None)  # a terminal sends Ctrl-C to both
        signal.signal(signal.SIGTERM, lambda *_: process.terminate())
        status = process.wait()
        for number, handler in usual.items():
            signal.signal(number, handler)
    if status != 0:
        sys.exit(f"jem ended with status {status}; the same command goes on from the checkpoint")


def train(model, options, data, rows, threads):
    """Makes the model file, unless it is there. Checkpoint and log stay beside it.

    Args:
        options: Of recipe.py.
        data: What --data takes.
        rows: How many training images are used, from the first one on.
    """
    if model.exists():
        print(f"{model}: is there already")
        return
    print(f"{model}: training ...", flush=True)
    unfinished = model.with_suffix(".unfinished")  # a stopped run is saved, too
    checkpoint = model.with_suffix(".checkpoint")
    kept = [checkpoint, checkpoint.with_name(checkpoint.name + ".prev")]
    resume = ["--resume"] if any(path.exists() for path in kept) else []
    files = ["--out", unfinished, "--checkpoint", checkpoint, "--log", model.with_suffix(".jsonl")]
    how = ["--data", data, "--limit", rows, "--threads", threads]
    run([JEM, "train", *map(str, files + how), *recipe.arguments(options), *resume])
    os.replace(unfinished, model)


def history(model):
    """What the log beside a model file tells: its length, how often it was set back. If any."""
    log = model.with_suffix(".jsonl")
    if not log.exists():
        return {}
    lines = log.read_text().splitlines()
    last = json.loads(lines[-1])
    return {"steps": last["step"], "minutes": last["seconds"] / 60,
            "rollbacks": sum(json.loads(line)["event"] != 0 for line in lines)}
