#!/usr/bin/python3
"""Evaluates a JEM beside its twin, a plain classifier, and judges its samples.

    python3 report.py --jem jem.safetensors --twin twin.safetensors --judge judge.safetensors

Writes report.txt, report.json and fashion.png to --out. The same for a model at hand without a
twin; `--chain step-size=0.5` and the like try other chains than the recipe's.
"""

import argparse
import json
import pathlib
import time

import classification
import data
import numpy as np
import picture
import recipe
import samples
import tables


def setting(text):
    """"start-rank=32" as a pair."""
    name, _, value = text.partition("=")
    return name, (int(value) if value.lstrip("-").isdigit() else float(value))


def parse_args():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jem", required=True, metavar="FILE")
    parser.add_argument("--twin", metavar="FILE")
    parser.add_argument("--judge", required=True, metavar="FILE")
    parser.add_argument("--out", type=pathlib.Path, default=".", metavar="FOLDER")
    parser.add_argument("--chain", type=setting, nargs="+", default=[], metavar="NAME=VALUE")
    add_options(parser)
    args = parser.parse_args()
    args.chain = recipe.CHAIN | dict(args.chain)
    return args


def add_options(parser):
    """What the whole example takes as well."""
    parser.add_argument("--data", default="fashion-mnist", metavar="PATH")
    parser.add_argument("--sample-steps", type=int, default=recipe.SAMPLE_STEPS, metavar="K")
    parser.add_argument("--per-class", type=int, default=recipe.SAMPLES_PER_CLASS, metavar="N",
                        help="samples of each class")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=2)


def evaluate_models(args, fashion):
    """Figures of the JEM and, if there is one, its twin."""
    folder = args.out / "digits.npy"
    np.save(folder, data.digits(fashion.test.x.shape[-1]))
    paths = {"jem": args.jem} | ({"twin": args.twin} if args.twin else {})
    return {name: classification.evaluate(path, fashion, args.data, folder, args.threads)
            for name, path in paths.items()}


def draw(args, fashion, precision):
    chain = {name.replace("-", "_"): value for name, value in args.chain.items()}
    return samples.draw(args.jem, fashion.training, args.per_class, args.sample_steps, chain,
                        seed=args.seed, threads=args.threads, precision_chains=precision)


def judge_samples(args, fashion):
    """The judge's table; the picture on the way."""
    judge = samples.Judge(args.judge, args.threads)
    test = fashion.test.balanced(args.per_class)
    starts, ends = draw(args, fashion, "f32")
    rounded = draw(args, fashion, "bf16")[1]
    picture.write(args.out / "fashion.png", starts, ends, fashion.training.x)
    sets = {"starts": starts, "samples": ends, "samples, bf16": rounded}
    others = {name: data.Images(x, test.y) for name, x in sets.items()}
    others = {"training": fashion.training.balanced(args.per_class), **others}
    return {"judge": {"arch": judge.classifier.arch, "accuracy": judge.accuracy(fashion.test)},
            "chain": {"steps": args.sample_steps, **args.chain}, "per_class": args.per_class,
            "samples": samples.compare(judge, test, others)}


def write(args):
    """Evaluates, writes all files, and returns the report."""
    args.out.mkdir(parents=True, exist_ok=True)
    began = time.monotonic()
    fashion = data.load(args.data)
    report = {"models": evaluate_models(args, fashion), **judge_samples(args, fashion)}
    report["seconds"] = time.monotonic() - began
    (args.out / "report.json").write_text(json.dumps(report, indent=2) + "\n")
    (args.out / "report.txt").write_text(tables.text([report]) + "\n")
    return report


def main():
    args = parse_args()
    print(tables.text([write(args)]))


if __name__ == "__main__":
    main()
