#!/usr/bin/python3
"""Plants faults one by one and says which of them the tests see:

    tests/mutants/run.py [--build DIR] [--list] [--slow] [PATTERN ...]

A copy of the tracked tree is built in DIR (build-test/mutants by default; ccache helps, if there is
one). For each fault of table.py the tests that must see it are built and run: killed by one of them,
or SURVIVED. Faults that only a sanitizer sees need builds of their own, and are run with --slow or by
name. PATTERN is a name of the table, or one with wildcards. Exit status 1 if any fault survived.
"""

import argparse
import fnmatch
import pathlib
import shutil
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from table import MUTANTS  # noqa: E402  (found by the path above)

SOURCE = pathlib.Path(__file__).resolve().parents[2]
SECONDS = 120  # of one test: a fault may make it hang
BUILDS = {
    "": ["-DCMAKE_C_COMPILER=gcc"],
    "address": ["-DCMAKE_C_COMPILER=gcc", "-DJEM_SANITIZE=address",
                "-DCMAKE_BUILD_TYPE=RelWithDebInfo"],
    "thread": ["-DCMAKE_C_COMPILER=clang", "-DJEM_SANITIZE=thread", "-DJEM_WITH_ONEDNN=OFF",
               "-DJEM_BUILD_CLI=OFF", "-DCMAKE_BUILD_TYPE=RelWithDebInfo"],
}
EXECUTOR_TESTS = ("_native", "_onednn")  # a program that ctest runs once for each backend


class Broken(Exception):
    """The table does not fit the tree."""


def split(test):
    """The test's name and the build that it runs in."""
    name, _, build = test.partition("@")
    return name, build


def target_of(name):
    """What has to be built for a test: its program, or what a script uses."""
    if name.endswith("_py"):
        return ["jem", "jem_cli"]
    for end in EXECUTOR_TESTS:
        name = name.removesuffix(end)
    return [name]


class Tree:
    """A copy of the sources, and its builds."""

    def __init__(self, folder):
        self.source = folder / "source"
        self.builds = folder
        names = subprocess.run(["git", "ls-files", "-z"], cwd=SOURCE, check=True,
                               capture_output=True, text=True).stdout.split("\0")
        for name in filter(None, names):
            self._copy(SOURCE / name, self.source / name)

    @staticmethod
    def _copy(old, new):
        """Only what differs, so that nothing is built without need."""
        if new.exists() and new.read_bytes() == old.read_bytes():
            return
        new.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(old, new)

    def _build_folder(self, build):
        folder = self.builds / f"build-{build or 'release'}"
        if not (folder / "build.ninja").exists():
            launcher = ["-DCMAKE_C_COMPILER_LAUNCHER=ccache"] if shutil.which("ccache") else []
            subprocess.run(["cmake", "-S", self.source, "-B", folder, "-G", "Ninja",
                            "-DJEM_BUILD_TESTS=ON", *BUILDS[build], *launcher], check=True,
                           stdout=subprocess.DEVNULL)
        return folder

    def fails(self, test):
        """Builds and runs one test."""
        name, build = split(test)
        folder = self._build_folder(build)
        made = subprocess.run(["ninja", "-C", folder, *target_of(name)], capture_output=True,
                              text=True)
        if made.returncode != 0:
            raise Broken(f"does not build:\n{made.stdout[-2000:]}")
        done = subprocess.Popen(["ctest", "--test-dir", folder, "-R", f"^{name}$",
                                 "--no-tests=error"], stdout=subprocess.PIPE,
                                stderr=subprocess.STDOUT, text=True, start_new_session=True)
        try:
            output, _ = done.communicate(timeout=SECONDS)
        except subprocess.TimeoutExpired:
            # Check puts each test into a process group of its own, but all are of one session.
            subprocess.run(["pkill", "-KILL", "-s", str(done.pid)], check=True)
            done.wait()
            return True
        if "No tests were found" in output:
            raise Broken(f"there is no test {name}")
        return done.returncode != 0

    def killer(self, mutant):
        """The first of its tests that sees the fault, or None."""
        _, file, text, replacement, tests = mutant
        path = self.source / file
        good = path.read_text()
        if good.count(text) != 1:
            raise Broken(f"its text occurs {good.count(text)} times in {file}")
        path.write_text(good.replace(text, replacement))
        try:
            return next((test for test in tests.split() if self.fails(test)), None)
        finally:
            path.write_text(good)


def is_slow(mutant):
    return "@" in mutant[-1]


def chosen(patterns, slow):
    if not patterns:
        return [m for m in MUTANTS if slow or not is_slow(m)]
    return [m for m in MUTANTS if any(fnmatch.fnmatch(m[0], p) for p in patterns)]


def check_unmutated(tree, mutants):
    tests = sorted({test for m in mutants for test in m[-1].split()})
    failing = [test for test in tests if tree.fails(test)]
    if failing:
        sys.exit(f"without a fault fail: {', '.join(failing)}")
    print(f"{len(tests)} tests pass without a fault", flush=True)


def run(tree, mutants):
    bad = 0
    for mutant in mutants:
        begin = time.monotonic()
        try:
            killer = tree.killer(mutant)
            verdict = f"killed by {killer}" if killer else "SURVIVED"
        except Broken as error:
            killer, verdict = None, f"BROKEN, {error}"
        bad += killer is None
        print(f"{mutant[0]:45} {verdict} ({time.monotonic() - begin:.0f} s)", flush=True)
    print(f"{len(mutants) - bad} of {len(mutants)} were seen")
    return bad


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", type=pathlib.Path, default=SOURCE / "build-test/mutants")
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--slow", action="store_true")
    parser.add_argument("patterns", nargs="*", metavar="PATTERN")
    arguments = parser.parse_args()
    mutants = chosen(arguments.patterns, arguments.slow)
    if arguments.list:
        for name, file, *_, tests in mutants:
            print(f"{name:45} {file}: {tests}")
        return 0
    tree = Tree(arguments.build.resolve())
    check_unmutated(tree, mutants)
    return 1 if run(tree, mutants) else 0


if __name__ == "__main__":
    sys.exit(main())
