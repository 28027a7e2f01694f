#!/usr/bin/python3
"""The peer for logits: what `jem bench` measures, in ONNX Runtime. Options and JSON as of peer.py.

Another process exports the network from its twin, so that this one neither holds PyTorch in memory
nor shares the processors with its threads.
"""

import contextlib
import os
import pathlib
import subprocess
import sys
import tempfile

import numpy as np

from peers import HIGH, LOW, measure, parse_shape, parser, peak_rss_mb, report

try:
    import onnxruntime
except ImportError:
    sys.exit("peer_onnx.py needs ONNX Runtime: apt install python3-onnxruntime python3-onnx")

FATAL_ONLY = 4


@contextlib.contextmanager
def silent_stderr():
    """Also discards what C++ writes."""
    saved = os.dup(2)
    with open(os.devnull, "w") as nowhere:
        os.dup2(nowhere.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)


def make_session(path, threads):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = FATAL_ONLY
    # Debian's build registers all operators twice when it makes the first session, and complains
    # in a thousand lines. A real failure raises an exception.
    with silent_stderr():
        return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def exported_session(args):
    """The session of a twin with PyTorch's initial parameters."""
    script = pathlib.Path(__file__).with_name("onnx_twin.py")
    with tempfile.TemporaryDirectory() as folder:
        path = f"{folder}/twin.onnx"
        done = subprocess.run([sys.executable, script, args.arch, args.shape, str(args.classes),
                               str(args.batch), path], capture_output=True, text=True)
        if done.returncode != 0:
            sys.exit(f"{args.arch} could not be exported:\n{done.stderr.strip()}")
        return make_session(path, args.threads)


def parse_args():
    made = parser(__doc__)
    args = made.parse_args()
    if args.op != "logits":
        made.error(f"ONNX Runtime computes no gradients; --op is {args.op}, expected logits")
    return args


def main():
    args = parse_args()
    import_rss_mb = peak_rss_mb()
    session = exported_session(args)
    size = (args.batch, *parse_shape(args.shape))
    x = np.random.default_rng(1).uniform(LOW, HIGH, size).astype(np.float32)
    times = measure(lambda: session.run(None, {"x": x}), args.runs, args.beside)
    report(args, times, import_rss_mb=import_rss_mb, onnxruntime=onnxruntime.__version__,
           package=os.path.dirname(onnxruntime.__file__))


if __name__ == "__main__":
    main()
