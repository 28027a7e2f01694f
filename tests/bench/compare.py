#!/usr/bin/python3
"""libjem, PyTorch and ONNX Runtime in turn: how fast, in how much memory. Prints a Markdown table.

Times are medians over rounds of the median of a process; ratio: how many times as long the peer
to its left takes. "of peak" is libjem's speed over the fastest f32 multiply-adds measured in the
same process, counted for the direct algorithm. Memory is the peak of the whole process. With
--beside, the 99th percentile follows each median.
"""

import dataclasses
import os
import pathlib

from measuring import (SOURCE, Case, Peers, circumstances, fastest_pytorch, libjem, median, parse,
                       parser, take_turns, write_json)

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
    Case("logits-wrn-10-2", "wrn-10-2", "1x28x28", "logits", runs=50),
    Case("logits-wrn-10-2-b1", "wrn-10-2", "1x28x28", "logits", batch=1, runs=1000),
    Case("logits-mlp-b1", "mlp-512-512", "1x28x28", "logits", batch=1, runs=2000),
]
QUICK = ["langevin-wrn-10-1", "langevin-mlp", "logits-mlp-b1"]

WORDS = {"sgld": "Langevin step", "train": "JEM step", "logits": "logits"}
COLUMNS = ["case", "libjem", "PyTorch", "ratio", "ONNX Runtime", "ratio", "of peak", "MiB libjem",
           "MiB PyTorch"]


def describe(case):
    steps = f", K {case.sgld_steps}" if case.op == "train" else ""
    return f"{WORDS[case.op]}, `{case.arch}` {case.shape}, B {case.batch}{steps}"


# ---- options -------------------------------------------------------------------------------------


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
    made.add_argument("--beside", type=int, default=0, metavar="N",
                      help="other processes that are kept busy meanwhile")
    made.add_argument("--isa", metavar="NAME",
                      help="libjem's newest instruction set; avx2 limits the peers, too")
    made.add_argument("--peers", metavar="DIR", default="",
                      help="the Debian tree with PyTorch and ONNX Runtime (see README.md); "
                           "otherwise PyTorch of this system alone")
    made.add_argument("--onnx-path", metavar="DIR", default="",
                      help="the folder of another build of ONNX Runtime, as seen inside the tree")
    made.add_argument("--json", metavar="FILE", help="all reports of all rounds")
    args = parse(made)
    fault = fault_of_tree(args)
    if fault:
        made.error(fault)
    return args


def fault_of_tree(args):
    """Says why the peers cannot run and what helps; None if they can."""
    if not args.peers:
        return "--onnx-path is of use with --peers only" if args.onnx_path else None
    tree = pathlib.Path(args.peers)
    if not (tree / "etc/os-release").exists():
        return f"--peers: {tree} holds no Debian; tests/bench/README.md says how to make one"
    if not (tree / "jem").exists() or not (tree / "jem").samefile(SOURCE):
        return (f"--peers: {tree}/jem is not this source tree; as root:\n"
                f"  mkdir -p {tree}/jem && mount --bind {SOURCE} {tree}/jem")
    if not (tree / "proc/self").exists():
        return f"--peers: {tree}/proc is empty; as root:\n  mount --bind /proc {tree}/proc"
    if args.onnx_path and not (tree / args.onnx_path.lstrip("/") / "onnxruntime").is_dir():
        return f"--onnx-path: there is no folder onnxruntime in {args.onnx_path} of {tree}"
    return None


def chosen_cases(args):
    names = args.case or (QUICK if args.quick else [case.name for case in CASES])
    return [dataclasses.replace(case, runs=args.runs or case.runs, beside=args.beside)
            for case in CASES if case.name in names]


def limits(args):
    """The note under the table says which programs --isa limited."""
    if args.isa != "avx2":
        return f"libjem limited to {args.isa}, its peers not limited"
    if not args.peers:
        return "libjem and PyTorch limited to avx2"
    onnx = f"the build in {args.onnx_path}" if args.onnx_path else "not limited"
    return f"libjem and PyTorch limited to avx2; ONNX Runtime: {onnx}"


# ---- table ---------------------------------------------------------------------------------------


def digits(time):
    return f"{time:.3g}" if time < 100 else f"{time:.0f}"


def milliseconds(reports, beside):
    """"341 (324-354) ms": the median and the range of the rounds; beside busy processes
    "341 / 402 ms": the times that half of the runs and 99 of 100 keep within."""
    if beside:
        return f"{digits(median(reports, 'median_ms'))} / {digits(median(reports, 'p99_ms'))} ms"
    times = [report["median_ms"] for report in reports]
    return (f"{digits(median(reports, 'median_ms'))} "
            f"({digits(min(times))}-{digits(max(times))}) ms")


def ratio(ours, theirs, beside):
    keys = ("median_ms", "p99_ms") if beside else ("median_ms",)
    return " / ".join(f"{median(theirs, key) / median(ours, key):.2f}" for key in keys)


def peer_cells(ours, theirs, beside):
    """A peer's times and the ratio; `theirs` is None where it was not measured."""
    if theirs is None:
        return ["-", "-"]
    return [milliseconds(theirs, beside), ratio(ours, theirs, beside)]


def row(name, ours, pytorch, onnx, beside):
    return [name, milliseconds(ours, beside), *peer_cells(ours, pytorch, beside),
            *peer_cells(ours, onnx, beside), f"{median(ours, 'ratio'):.2f}",
            f"{median(ours, 'peak_rss_mb'):.0f}", f"{median(pytorch, 'peak_rss_mb'):.0f}"]


def print_row(cells):
    print("| " + " | ".join(cells) + " |", flush=True)


# ---- measurement ---------------------------------------------------------------------------------


def our_programs(case, args):
    """libjem with its defaults, in the other precisions and, for single rows, tuned for them."""
    variants = {"": (), **{name: ("--precision", name) for name in args.precision}}
    if case.batch == 1:
        variants["tuned for latency"] = ("--tuned-for", "latency")
    limit = ("--isa", args.isa) if args.isa else ()
    return [libjem(args.jem, name, (*limit, *options)) for name, options in variants.items()]


def compare(case, args, peers):
    """Measures a case, prints its rows, and returns the reports of each program."""
    ours = our_programs(case, args)
    theirs = [fastest_pytorch(case, args.threads, peers)]
    if peers.tree and case.op == "logits":
        theirs.append(peers.onnx_runtime())
    reports = take_turns([*ours, *theirs], case, args.rounds, args.threads)
    for program in ours:
        name = describe(case) + program.name.removeprefix("libjem").replace(" ", ", ", 1)
        print_row(row(name, reports[program.name], reports["PyTorch"],
                      reports.get("ONNX Runtime"), case.beside))
    return reports


def main():
    args = parse_args()
    peers = Peers(args.peers, args.isa == "avx2", args.onnx_path)
    setting = circumstances(args.jem, peers)
    print_row(COLUMNS)
    print_row(["---"] * len(COLUMNS))
    results = {case.name: compare(case, args, peers) for case in chosen_cases(args)}
    layouts = [f"{name} {reports['PyTorch'][0]['layout']}" for name, reports in results.items()]
    setting |= {"threads": str(args.threads), "layouts": ", ".join(layouts),
                **({"instructions": limits(args)} if args.isa else {}),
                **({"busy processes beside": str(args.beside)} if args.beside else {})}
    print("\n" + "\n".join(f"{key}: {text}  " for key, text in setting.items()))
    if args.json:
        write_json(args.json, {"setting": setting, "cases": results})


if __name__ == "__main__":
    main()
