"""How programs are measured side by side; what compare.py and growth.py share.

Each measurement is a process of its own, and the programs take turns, so that whatever else the
machine does in the meantime falls on all of them.
"""

import argparse
import dataclasses
import datetime
import json
import os
import pathlib
import re
import shlex
import statistics
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
SOURCE = HERE.parents[1]
LAYOUTS = ("contiguous", "channels_last")
# What limits PyTorch: its own kernels, its convolutions and its BLAS each read another variable.
PYTORCH_AVX2 = ("ATEN_CPU_CAPABILITY=avx2", "ONEDNN_MAX_CPU_ISA=AVX2", "OPENBLAS_CORETYPE=Haswell")

# glibc gives large blocks back to the system as soon as they are freed. PyTorch frees and asks for them in
# every step, and where page faults are dear, as in virtual machines, that takes more than half of its
# time. With these it keeps its memory.
KEEP_MEMORY = ("MALLOC_MMAP_MAX_=0", "MALLOC_TRIM_THRESHOLD_=8000000000")


@dataclasses.dataclass(frozen=True)
class Case:
    """What is measured: an operation of `jem bench`."""

    name: str
    arch: str
    shape: str
    op: str
    batch: int = 64
    runs: int = 10
    sgld_steps: int = 20
    beside: int = 0  # busy processes

    def options(self):
        return ["--arch", self.arch, "--shape", self.shape, "--op", self.op,
                "--batch", str(self.batch), "--runs", str(self.runs),
                "--sgld-steps", str(self.sgld_steps), "--beside", str(self.beside)]


@dataclasses.dataclass(frozen=True)
class Program:
    """Something with the options of `jem bench` that reports as JSON."""

    name: str
    command: tuple

    def measure(self, case, threads):
        command = [*self.command, *case.options(), "--threads", str(threads), "--json"]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode != 0:
            sys.exit(f"{shlex.join(command)}\n{done.stderr.strip()}")
        return json.loads(done.stdout)


def libjem(jem, variant="", options=()):
    return Program(f"libjem {variant}".rstrip(), (jem, "bench", *options))


@dataclasses.dataclass(frozen=True)
class Peers:
    """Where PyTorch and ONNX Runtime run, and what limits them."""

    tree: str = ""  # a Debian tree to enter by chroot; otherwise this system
    avx2: bool = False
    onnx_path: str = ""  # the folder of another build of ONNX Runtime, as seen inside the tree

    def command(self, script, environment):
        env = ("env", *KEEP_MEMORY, *environment)
        if self.tree:
            return ("chroot", self.tree, *env, "python3", f"/jem/tests/bench/{script}")
        return (*env, sys.executable, str(HERE / script))

    def pytorch(self, layout="contiguous"):
        limits = PYTORCH_AVX2 if self.avx2 else ()
        return Program("PyTorch", (*self.command("peer.py", limits), "--layout", layout))

    def onnx_runtime(self):
        path = (f"PYTHONPATH={self.onnx_path}",) if self.onnx_path else ()
        return Program("ONNX Runtime", self.command("peer_onnx.py", path))


THIS_SYSTEM = Peers()


def fastest_pytorch(case, threads, peers=THIS_SYSTEM):
    """PyTorch with the memory layout that suits the case. Training is judged by its chains, and
    busy processes would only blur the difference."""
    trial = dataclasses.replace(case, runs=min(case.runs, 5), beside=0,
                                op="sgld" if case.op == "train" else case.op)
    times = {layout: peers.pytorch(layout).measure(trial, threads)["min_ms"] for layout in LAYOUTS}
    return peers.pytorch(min(times, key=times.get))


def take_turns(programs, case, rounds, threads):
    """{program's name: its reports, one a round}."""
    reports = {program.name: [] for program in programs}
    for turn in range(rounds):
        for program in programs:
            show_progress(f"{case.name}: round {turn + 1} of {rounds}, {program.name}")
            reports[program.name].append(program.measure(case, threads))
    show_progress("")
    return reports


def show_progress(text):
    """One line that is overwritten, for who watches."""
    if sys.stderr.isatty():
        print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)


def median(reports, key):
    """Over the rounds."""
    return statistics.median(report[key] for report in reports)


# ---- where and when ------------------------------------------------------------------------------


def first_match(path, pattern, default="unknown"):
    found = re.search(pattern, pathlib.Path(path).read_text(), re.MULTILINE)
    return found[1] if found else default


def output_of(*command):
    try:
        done = subprocess.run(command, cwd=SOURCE, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return ""
    return done.stdout.strip()


def system_of(tree):
    return first_match(f"{tree}/etc/os-release", r'^PRETTY_NAME="(.*)"$')


def circumstances(jem, peers=THIS_SYSTEM):
    """What a reader must know to judge the figures: {heading: text}."""
    commit = output_of("git", "describe", "--always", "--dirty", "--exclude=*")
    policy = os.environ.get("OMP_WAIT_POLICY")
    return {
        "machine": first_match("/proc/cpuinfo", r"^model name\s*: (.*)$")
                   + f", {len(os.sched_getaffinity(0))} cores",
        "system": system_of(""),
        **({"the peers' system": system_of(peers.tree)} if peers.tree else {}),
        "libjem": f"{output_of(jem, '--version')} {commit}".strip(),
        **versions(peers),
        "date": datetime.date.today().isoformat(),
        "command": shlex.join(["python3", os.path.relpath(sys.argv[0], SOURCE), *sys.argv[1:]]),
        **({"environment": f"OMP_WAIT_POLICY={policy}"} if policy else {}),
    }


def versions(peers):
    """{peer's name: its version and those of the libraries it calls}, read from a tiny case."""
    tiny = Case("", "mlp-8", "1x1x1", "logits", 1, 1)
    pytorch = peers.pytorch().measure(tiny, 1)
    warn_of_slow_blas(pytorch["blas"])
    template = "{torch}, kernels for {isa}, oneDNN {onednn}, BLAS {blas}"
    found = {"PyTorch": template.format(**pytorch)}
    if peers.tree:
        onnx = peers.onnx_runtime().measure(tiny, 1)
        found["ONNX Runtime"] = "{onnxruntime} of {package}".format(**onnx)
    return found


def warn_of_slow_blas(name):
    if name.startswith("libblas.so"):
        print("warning: PyTorch's linear layers use the reference BLAS, some fifty times slower "
              "than OpenBLAS.\nFor a fair comparison: apt install libopenblas0-openmp",
              file=sys.stderr)


# ---- options -------------------------------------------------------------------------------------


def parser(description):
    made = argparse.ArgumentParser(description=description.partition("\n")[0])
    made.add_argument("--jem", default=str(SOURCE / "build/bindings/cli/jem"),
                      help="the command (default: build/bindings/cli/jem)")
    made.add_argument("--rounds", type=int, default=5, help="of turns (default 5)")
    made.add_argument("--quick", action="store_true", help="a few small cases, two rounds")
    return made


def parse(made):
    args = made.parse_args()
    if not os.access(args.jem, os.X_OK):
        made.error(f"there is no program {args.jem}; build libjem or name it by --jem")
    if args.quick:
        args.rounds = min(args.rounds, 2)
    return args


def write_json(path, content):
    pathlib.Path(path).write_text(json.dumps(content, indent=1) + "\n")
