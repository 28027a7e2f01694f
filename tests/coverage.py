#!/usr/bin/env python3
"""Lines and branches of each room of lib/ that the tests have run: coverage.py SOURCE BUILD

The build is one with JEM_COVERAGE=ON whose tests have run. Needs gcovr.
"""

import json
import re
import subprocess
import sys


def files(source, build):
    """What gcovr counts of each file below lib/."""
    text = subprocess.run(
        ["gcovr", "--root", source, "--filter", re.escape(f"{source}/lib/"), "--json-summary", "-",
         "--exclude-lines-by-pattern", r"\s*assert\(", build],
        check=True, capture_output=True, text=True).stdout
    return json.loads(text)["files"]


def room(filename):
    """lib/io/file.c -> io, lib/backend/ref/run.c -> backend/ref"""
    return "/".join(filename.split("/")[1:-1])


def row(name, counted):
    sums = {key: sum(file[key] for file in counted)
            for key in ("line_covered", "line_total", "branch_covered", "branch_total")}
    shares = [100 * sums[f"{what}_covered"] / max(sums[f"{what}_total"], 1)
              for what in ("line", "branch")]
    return (f"{name:16s} {sums['line_total']:6d} {shares[0]:7.1f} % "
            f"{sums['branch_total']:8d} {shares[1]:7.1f} %")


def main():
    counted = files(*sys.argv[1:])
    print(f"{'room of lib':16s} {'lines':>6s} {'run':>9s} {'branches':>8s} {'taken':>9s}")
    for name in sorted({room(file["filename"]) for file in counted}):
        print(row(name, [file for file in counted if room(file["filename"]) == name]))
    print(row("all", counted))


if __name__ == "__main__":
    main()
