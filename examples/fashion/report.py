#!/usr/bin/python3
"""Evaluates a JEM beside its twin, a plain classifier, and has a judge look at its samples.

    python3 report.py --jem jem.safetensors --twin twin.safetensors --judge judge.safetensors

Writes report.md, report.json and fashion.png to --out. Without --twin what is compared with it is
left out; `--chain step-size=0.5` tries other chains than the recipe's.
"""

import argparse
import json
import os
import pathlib
import time

import classification
import data
import detection
import numpy as np
import picture
import recipe
import samples
import tables
import training


def setting(text):
    """"start-rank=32" as a pair."""
    name, _, value = text.partition("=")
    for kind in (int, float):
        try:
            return name, kind(value)
        except ValueError:
            pass
    return name, value


def add_options(parser):
    """Those that the whole example takes as well."""
    parser.add_argument("--data", default="fashion-mnist", metavar="PATH",
                        help="or a folder with the same files")
    parser.add_argument("--precision-chains", choices=["f32", "bf16"], default="f32")
    parser.add_argument("--sample-steps", type=int, default=recipe.SAMPLE_STEPS, metavar="K",
                        help="of each sample's chain (default %(default)s)")
    parser.add_argument("--per-class", type=int, default=recipe.SAMPLES_PER_CLASS, metavar="N",
                        help="samples of each class (default %(default)s)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)),
                        help="(default: all cores)")


def parse_args():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jem", type=pathlib.Path, required=True, metavar="FILE")
    parser.add_argument("--twin", type=pathlib.Path, metavar="FILE")
    parser.add_argument("--judge", type=pathlib.Path, required=True, metavar="FILE")
    parser.add_argument("--out", type=pathlib.Path, default=".", metavar="FOLDER")
    parser.add_argument("--chain", type=setting, nargs="+", default=[], metavar="NAME=VALUE")
    add_options(parser)
    args = parser.parse_args()
    args.chain = recipe.SAMPLE_CHAIN | dict(args.chain)
    return args


def evaluate_models(args, fashion):
    """Figures of the JEM and, if there is one, its twin."""
    digits = args.out / "digits.npy"
    np.save(digits, data.digits(fashion.test.x.shape[-1]))
    return {name: (training.history(path)
                   | classification.evaluate(path, fashion, args.data, digits, args.threads))
            for name, path in detection.model_paths(args).items()}


def draw(args, fashion, precision):
    chain = {name.replace("-", "_"): value for name, value in args.chain.items()}
    return samples.draw(args.jem, fashion.training, args.per_class, args.sample_steps, chain,
                        seed=args.seed, threads=args.threads, precision_chains=precision)


def drawn_sets(args, fashion):
    """{name: 8-bit images}: starts, samples, and samples in bf16 if the others are not."""
    starts, ends = draw(args, fashion, args.precision_chains)
    sets = {"starts": starts, "samples": ends}
    if args.precision_chains != "bf16":
        sets["samples, chains in bf16"] = draw(args, fashion, "bf16")[1]
    return sets


def judge_samples(args, fashion):
    """The judge's table, and the picture of what it saw."""
    judge = samples.Judge(args.judge, args.threads)
    test = fashion.test.balanced(args.per_class)
    sets = drawn_sets(args, fashion)
    picture.write(args.out / "fashion.png", sets["starts"], sets["samples"], fashion.training.x)
    others = {"training": fashion.training.balanced(args.per_class)}
    others |= {name: data.Images(x, test.y) for name, x in sets.items()}
    return {"judge": training.history(args.judge) | judge.about(fashion.test),
            "chain": {"steps": args.sample_steps, **args.chain}, "per_class": args.per_class,
            "samples": samples.compare(judge, test, others)}


def write(args):
    """Evaluates, writes all files, and returns the report."""
    args.out.mkdir(parents=True, exist_ok=True)
    began = time.monotonic()
    fashion = data.load(args.data)
    report = {"models": evaluate_models(args, fashion), **judge_samples(args, fashion)}
    report["detection"] = detection.report(detection.model_paths(args), fashion, args.out,
                                           args.seed, args.threads)
    report["seconds"] = time.monotonic() - began
    (args.out / "report.json").write_text(json.dumps(report, indent=2) + "\n")
    (args.out / "report.md").write_text(tables.text([report]) + "\n")
    return report


def main():
    print(tables.text([write(parse_args())]))


if __name__ == "__main__":
    main()
