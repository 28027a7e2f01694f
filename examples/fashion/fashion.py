#!/usr/bin/python3
"""Trains a JEM on Fashion-MNIST, beside it a plain classifier, and prints what each can do.

    python3 fashion.py --out fashion-0                                one run, twelve minutes
    python3 fashion.py --out fashion-1 --seed 1
    python3 fashion.py --summary fashion-0 fashion-1 fashion-2        medians of several

What is finished in the folder is kept, and what was interrupted goes on. recipe.py has all the
settings. A run writes the three model files with their logs, report.md, report.json and
fashion.png.
"""

import argparse
import json
import pathlib
import sys

import data
import recipe
import report
import tables
import training


def parse_args():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=pathlib.Path, default="fashion", metavar="FOLDER")
    parser.add_argument("--steps", type=int, metavar="N", help="of each network")
    parser.add_argument("--judge", type=pathlib.Path, metavar="FILE", help="an earlier run's")
    parser.add_argument("--summary", nargs="+", type=pathlib.Path, metavar="FOLDER",
                        help="print the medians of these runs")
    parser.add_argument("--beside", nargs="+", type=pathlib.Path, default=[], metavar="FOLDER",
                        help="with --summary: and of the JEMs of those, whose chains are in bf16")
    report.add_options(parser)
    args = parser.parse_args()
    args.chain = recipe.SAMPLE_CHAIN
    return args


def check_settings(folder, settings):
    """A folder belongs to one recipe: what is finished in it is taken as it is."""
    path = folder / "settings.json"
    text = json.dumps(settings, indent=2) + "\n"
    if path.exists() and path.read_text() != text:
        sys.exit(f"{path} has other settings than this run; use another --out, or remove it")
    path.write_text(text)


def networks(args):
    """{name: options} of those to train."""
    length = {"steps": args.steps} if args.steps else {}
    precision = {"precision-chains": args.precision_chains, "seed": args.seed}
    jem = recipe.JEM | precision | length
    twin = recipe.TWIN | {"seed": args.seed} | length
    judge = recipe.JUDGE | {"seed": recipe.JUDGE_SEED + args.seed} | length
    return {"jem": jem, "twin": twin} | ({} if args.judge else {"judge": judge})


def train_all(args):
    """Trains what is missing; sets the paths in `args`."""
    args.out.mkdir(parents=True, exist_ok=True)
    wanted = networks(args)
    check_settings(args.out, wanted)
    rows = len(data.load(args.data).training)
    for name, options in wanted.items():
        path = args.out / f"{name}.safetensors"
        training.train(path, options, args.data, rows, args.threads)
        setattr(args, name, path)


def read(folders):
    return [json.loads((folder / "report.json").read_text()) for folder in folders]


def summary(folders, beside):
    """The text of several runs; `beside` are those with chains in bf16."""
    reports = read(folders)
    if beside:
        other = tables.median(read(beside))
        for one in reports:
            one["models"] = {"jem": one["models"]["jem"], "jem bf16": other["models"]["jem"],
                             "twin": one["models"]["twin"]}
            one["samples"]["samples, trained in bf16"] = other["samples"]["samples"]
    return tables.text(reports)


def main():
    args = parse_args()
    if args.summary:
        print(summary(args.summary, args.beside))
        return
    train_all(args)
    print("Evaluating and sampling ...", flush=True)
    print(tables.text([report.write(args)]))


if __name__ == "__main__":
    main()
