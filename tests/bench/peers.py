"""What peer.py and peer_onnx.py share: the options of `jem bench`, the timing and the report."""

import argparse
import contextlib
import json
import os
import pathlib
import re
import statistics
import subprocess
import sys
import time

LOW, HIGH = -1.0, 1.0  # libjem's default range of inputs
OPERATIONS = ["logits", "grad", "sgld", "train"]

# A busy process also ends when the one that started it was killed.
BUSY = "import os; print(flush=True)\nwhile os.getppid() == {parent}: sum(range(100_000))"


def parser(description):
    made = argparse.ArgumentParser(description=description.partition("\n")[0])
    made.add_argument("--arch", required=True)
    made.add_argument("--shape", required=True, metavar="CxHxW")
    made.add_argument("--op", required=True, choices=OPERATIONS)
    made.add_argument("--batch", type=int, default=64)
    made.add_argument("--classes", type=int, default=10)
    made.add_argument("--runs", type=int, default=10)
    made.add_argument("--sgld-steps", type=int, default=20)
    made.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    made.add_argument("--beside", type=int, default=0, metavar="N",
                      help="other processes that are kept busy meanwhile")
    made.add_argument("--json", action="store_true")
    return made


def parse_shape(text):
    return tuple(int(size) for size in text.split("x"))


@contextlib.contextmanager
def busy_processes(n):
    """Keeps n other processes busy. They are not forks of this one, because every page of memory
    that it writes after a fork would be copied first."""
    command = [sys.executable, "-S", "-c", BUSY.format(parent=os.getpid())]
    started = []
    try:
        for _ in range(n):
            started.append(subprocess.Popen(command, stdout=subprocess.PIPE,
                                            stderr=subprocess.DEVNULL))
        for process in started:
            process.stdout.readline()  # it is about to compute
        yield started
    finally:
        for process in started:
            process.kill()
            process.communicate()


def measure(operation, runs, beside=0):
    """Milliseconds of each run, after one that is not measured."""
    times = []
    with busy_processes(beside):
        operation()
        for _ in range(runs):
            begin = time.perf_counter()
            operation()
            times.append(1e3 * (time.perf_counter() - begin))
    return times


def percentile99(times):
    """The time that 99 of 100 runs keep within, as `jem bench` reports it."""
    return sorted(times)[(99 * len(times) + 99) // 100 - 1]


def peak_rss_mb():
    """MiB. Not getrusage(): its figure starts with that of the program which started this one."""
    status = pathlib.Path("/proc/self/status").read_text()
    return int(re.search(r"VmHWM:\s*(\d+) kB", status)[1]) / 1024


def report(args, times, **particulars):
    """Prints the figures. The particulars are those that only one of the peers has."""
    figures = {
        "arch": args.arch, "shape": args.shape, "op": args.op, "batch": args.batch,
        "sgld_steps": args.sgld_steps, "threads": args.threads, "runs": args.runs,
        "beside": args.beside, "median_ms": statistics.median(times),
        "p99_ms": percentile99(times), "min_ms": min(times), "peak_rss_mb": peak_rss_mb(),
        **particulars,
    }
    if args.json:
        print(json.dumps(figures, indent=2))
    else:
        print("\n".join(f"{key:14} {value}" for key, value in figures.items()))
