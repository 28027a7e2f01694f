#!/usr/bin/python3
"""libjem and PyTorch in turn: how fast, and in how much memory. Prints a table for the README.

Times are medians over rounds of the median of a process; ratio: how many times as long PyTorch
takes. "of peak" is libjem's speed over the fastest f32 multiply-adds measured in the same process,
counted for the direct algorithm. Memory is the peak of the whole process.
"""

import dataclasses
import os

from measuring import (Case, circumstances, fastest_peer, libjem, median, parse, parser,
                       take_turns, write_json)

CASES = [
    Case("langevin-wrn-16-4", "wrn-16-4", "3x32x32", "sgld", runs=10),
    Case("langevin-wrn-28-10", "wrn-28-10", "3x32x32", "sgld", batch=16, runs=5),
    Case("langevin-wrn-10-1", "wrn-10-1", "1x28x28", "sgld", runs=50),
    Case("langevin-wrn-10-2", "wrn-10-2", "1x28x28", "sgld", runs=30),
    Case("langevin-mlp", "mlp-512-512", "1x28x28", "sgld", runs=200),
    Case("train-wrn-10-1", "wrn-10-1", "1x28x28", "train", runs=5),
    Case("train-wrn-16-4", "wrn-16-4", "3x32x32", "train", runs=2),
    Case("logits-wrn-16-4", "wrn-16-4", "3x32x32", "logits", runs=20),
    Case("logits-wrn-16-4-b1", "wrn-16-4", "3x32x32", "logits", batch=1, runs=100),
    Case("logits-mlp-b1", "mlp-512-512", "1x28x28", "logits", batch=1, runs=2000),
]
QUICK = ["langevin-wrn-10-1", "langevin-mlp", "logits-mlp-b1"]

WORDS = {"sgld": "Langevin step", "train": "JEM step", "logits": "logits"}
COLUMNS = ["case", "libjem", "PyTorch", "ratio", "of peak", "MiB", "PyTorch", "ratio"]


def describe(case):
    steps = f", K {case.sgld_steps}" if case.op == "train" else ""
    return f"{WORDS[case.op]}, `{case.arch}` {case.shape}, B {case.batch}{steps}"


def parse_args():
    made = parser(__doc__)
    names = [case.name for case in CASES]
    made.add_argument("--case", action="append", choices=names, metavar="NAME",
                      help="only this one; may be repeated: " + ", ".join(names))
    made.add_argument("--runs", type=int, help="per process instead of each case's own number")
    made.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)),
                      help="(default: all cores)")
    made.add_argument("--precision", action="append", default=[],
                      help="another row for libjem with this precision; may be repeated")
    made.add_argument("--json", metavar="FILE", help="all reports of all rounds")
    return parse(made)


def chosen_cases(args):
    names = args.case or (QUICK if args.quick else [case.name for case in CASES])
    chosen = [case for case in CASES if case.name in names]
    return [dataclasses.replace(case, runs=args.runs or case.runs) for case in chosen]


def milliseconds(reports):
    """"341 (324-354)": the median and the range of the rounds."""
    times = [report["median_ms"] for report in reports]
    low, middle, high = (f"{time:.3g}" if time < 100 else f"{time:.0f}"
                         for time in (min(times), median(reports, "median_ms"), max(times)))
    return f"{middle} ({low}-{high}) ms"


def row(name, ours, theirs):
    time, memory = (median(theirs, key) / median(ours, key)
                    for key in ("median_ms", "peak_rss_mb"))
    return [name, milliseconds(ours), milliseconds(theirs), f"{time:.2f}",
            f"{median(ours, 'ratio'):.2f}", f"{median(ours, 'peak_rss_mb'):.0f}",
            f"{median(theirs, 'peak_rss_mb'):.0f}", f"{memory:.1f}"]


def print_row(cells):
    print("| " + " | ".join(cells) + " |", flush=True)


def compare(case, args):
    """Measures a case, prints its rows, and returns the reports of each program."""
    theirs = fastest_peer(case, args.threads)
    ours = [libjem(args.jem, precision) for precision in (None, *args.precision)]
    reports = take_turns([*ours, theirs], case, args.rounds, args.threads)
    for program in ours:
        suffix = program.name.removeprefix("libjem")
        print_row(row(describe(case) + suffix, reports[program.name], reports[theirs.name]))
    return reports


def main():
    args = parse_args()
    setting = circumstances(args.jem)
    print_row(COLUMNS)
    print_row(["---"] * len(COLUMNS))
    results = {case.name: compare(case, args) for case in chosen_cases(args)}
    layouts = [f"{name} {reports['PyTorch'][0]['layout']}" for name, reports in results.items()]
    setting |= {"threads": str(args.threads), "layouts": ", ".join(layouts)}
    print("\n" + "\n".join(f"{key}: {text}  " for key, text in setting.items()))
    if args.json:
        write_json(args.json, {"setting": setting, "cases": results})


if __name__ == "__main__":
    main()
