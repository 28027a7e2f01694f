"""jem bench: its arithmetic, its peaks, and the table of kernels that --tune prints."""

import json
import os
import pathlib
import re
import subprocess
import time

import numpy as np
import pytest
from cli_support import jem, not_counting


def bench(arch, shape, op, *options):
    return jem("bench", "--arch", arch, "--shape", shape, "--op", op, "--runs", 2, *options)


@pytest.mark.parametrize("op, passes", [("logits", 1), ("grad", 2), ("sgld", 2), ("train", 15)])
def test_bench(op, passes):
    report = json.loads(jem("bench", "--arch", "mlp-32", "--shape", "1x4x4", "--batch", 8, "--op",
                            op, "--runs", 3, "--classes", 5, "--sgld-steps", 3, "--threads", 1,
                            "--json"))
    macs = 16 * 32 + 32 * 5
    assert np.isclose(report["gflop"], 2e-9 * macs * 8 * passes, rtol=1e-6)
    assert 0 < report["min_ms"] <= report["median_ms"]
    assert np.isclose(report["gflops"], report["gflop"] / report["median_ms"] * 1e3, rtol=1e-6)
    assert report["threads"] == 1 and report["batch"] == 8 and report["runs"] == 3
    assert report["peak_precision"] == "f32"
    assert report["peak_gflops"] > 4 and report["peak_rss_mb"] > 1
    assert np.isclose(report["ratio"], report["gflops"] / report["peak_gflops"], rtol=1e-6)


def test_memory_of_bench_is_its_own():
    ballast = np.ones(200 << 17)  # 200 MiB that a child would inherit in its ru_maxrss
    report = json.loads(jem("bench", "--arch", "mlp-32", "--shape", "1x4x4", "--op", "logits",
                            "--runs", 1, "--json"))
    assert 1 < report["peak_rss_mb"] < 100 < ballast.nbytes >> 20


def children_of(pid):
    try:
        return pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return []


def wait_until(condition):
    end = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_beside_busy_processes():
    report = json.loads(jem("bench", "--arch", "mlp-32", "--shape", "1x4x4", "--op", "logits",
                            "--runs", 50, "--beside", 2, "--json"))
    assert report["beside"] == 2 and report["runs"] == 50
    assert report["min_ms"] <= report["median_ms"] <= report["p99_ms"]
    assert "beside" not in json.loads(bench("mlp-8", "1x1x1", "logits", "--json"))


def test_busy_processes_end_with_the_measurement():
    long = subprocess.Popen([os.environ["JEM_CLI"], "bench", "--arch", "mlp-32", "--shape", "1x4x4",
                             "--runs", "1000000", "--op", "train", "--beside", "3"],
                            stdout=subprocess.DEVNULL)
    try:
        wait_until(lambda: len(children_of(long.pid)) == 3)
        busy = children_of(long.pid)
    finally:
        long.kill()
        long.wait()
    wait_until(lambda: not any(os.path.exists(f"/proc/{pid}/task") for pid in busy))


@pytest.mark.parametrize("op, options", [
    ("logits", ["--precision", "bf16"]),
    ("sgld", ["--precision-chains", "bf16"]),
    ("train", ["--precision", "bf16", "--sgld-steps", 1]),
])
def test_peak_of_bf16(op, options):
    """Where the processor has no bfloat16 the peak is that of f32, and says so."""
    offered = "avx512_bf16" in pathlib.Path("/proc/cpuinfo").read_text()
    report = json.loads(bench("mlp-16", "1x4x4", op, *options, "--json"))
    assert report["peak_precision"] == ("bf16" if offered else "f32")
    assert ("vdpbf16ps" in report["peak_instructions"]) == offered
    assert np.isclose(report["ratio"], report["gflops"] / report["peak_gflops"], rtol=1e-6)


def test_peak_follows_the_operation():
    report = json.loads(bench("mlp-16", "1x4x4", "logits", "--precision-chains", "bf16", "--json"))
    assert report["peak_precision"] == "f32"


# ---- instruction sets ---------------------------------------------------------------------------

def offered():
    words = jem("bench", "--arch", "mlp-4", "--shape", "1x2x2", "--op", "logits", "--isa", "mmx",
                expect=2)
    return re.search(r"'mmx' .* there are (.*)", words)[1].split(", ")


def test_isa_limits_everything():
    """Our kernels, oneDNN's, and the peak that both are compared with."""
    instructions = {"avx512": "AVX-512", "avx2": "AVX2 + FMA", "neon": "128-bit vectors",
                    "portable": "SSE2" if "avx2" in offered() else "128-bit vectors"}
    assert offered()[-1] == "portable"
    for isa in offered():
        report = json.loads(bench("wrn-10-1", "1x8x8", "logits", "--isa", isa, "--threads", 1,
                                  "--batch", 2, "--json"))
        assert report["isa"] == isa
        assert report["peak_instructions"] == instructions[isa]
    if "avx2" in offered():
        assert json.loads(bench("mlp-16", "1x4x4", "logits", "--isa", "avx2", "--precision",
                                "bf16", "--json"))["peak_precision"] == "f32"


# ---- tune ---------------------------------------------------------------------------------------

KERNELS = ["WINOGRAD", "DIRECT_BF16", "DIRECT", "STEM", "ONEDNN"]
ROW = re.compile(r"ROW\((?:\d+, ){6}(?:FORWARD|TRANSPOSED|WEIGHTS), (?:F32|BF16), "
                 r"AVX512(?:_BF16)?, \d, "
                 r"(?:WINOGRAD|DIRECT|DIRECT_BF16|STEM|ONEDNN)\), // \d+\.\d{3}, "
                 r"(?:WINOGRAD|DIRECT|DIRECT_BF16|STEM|ONEDNN) \d+\.\d{3}")
# in, out, side, kernel, stride
LAYERS = [(1, 16, 12, 3, 1), (16, 16, 12, 3, 1), (16, 16, 12, 3, 1), (16, 32, 12, 3, 1),
          (32, 32, 12, 3, 2), (16, 32, 12, 1, 2), (32, 64, 6, 3, 1), (64, 64, 6, 3, 2),
          (32, 64, 6, 1, 2), (64, 10, 1, 1, 1)]


@pytest.fixture(scope="module")
def onednn():
    if json.loads(bench("mlp-4", "1x2x2", "logits", "--json"))["backend"] != "onednn":
        pytest.skip("this build has no oneDNN backend")


def tune(op, *options):
    report = bench("wrn-10-1", "1x12x12", op, "--batch", 2, "--sgld-steps", 1, "--threads", 1,
                   "--tune", "--json", *options)
    return json.loads(report)["tune"]


def layers_of(rows, direction):
    return sorted(tuple(row[key] for key in ("in", "out", "h", "kernel", "stride"))
                  for row in rows if row["direction"] == direction
                  for _ in range(row["layers"]))


@pytest.mark.parametrize("op, directions", [
    ("logits", ["FORWARD"]), ("sgld", ["FORWARD", "TRANSPOSED"]),
    ("train", ["FORWARD", "WEIGHTS"]),
])
def test_tune_has_every_layer(onednn, op, directions):
    rows = tune(op)
    for direction in directions:
        assert layers_of(rows, direction) == sorted(LAYERS)
    assert {row["direction"] for row in rows} - {"TRANSPOSED"} == set(directions) - {"TRANSPOSED"}
    n = 1 if op == "train" else 2  # gradients are summed over pieces of the batch
    assert all(row["n"] == n and row["w"] == row["h"] for row in rows)


def test_training_needs_no_gradient_of_its_input(onednn):
    assert layers_of(tune("train"), "TRANSPOSED") == sorted(LAYERS[1:])


def test_verdicts_of_tune(onednn):
    for row in tune("grad", "--precision", "bf16"):
        times = row["ms"]
        assert set(times) <= set(KERNELS) and {"ONEDNN", row["chosen"]} <= set(times)
        assert all(0 < ms < 1e4 for ms in times.values())
        assert times[row["fastest"]] == min(times.values())
        assert (row["row"] is not None) == (times[row["chosen"]] > 1.1 * min(times.values()))
        assert row["row"] is None or ROW.fullmatch(row["row"])


def test_kernels_of_linear_layers(onednn):
    """Their input is an image, but what counts are its features."""
    rows = json.loads(bench("cnn-16", "1x12x12", "train", "--batch", 2, "--sgld-steps", 1,
                            "--threads", 1, "--tune", "--json"))["tune"]
    assert layers_of(rows, "WEIGHTS") == [(1, 16, 12, 3, 1), (576, 10, 1, 1, 1)]


@not_counting
def test_rows_have_the_form_of_the_table(onednn):
    """A kernel that is wrong for nearly all layers, so that rows are printed."""
    if "avx512" not in pathlib.Path("/proc/cpuinfo").read_text():
        pytest.skip("there is one kernel only")
    text = bench("wrn-10-1", "1x28x28", "grad", "--batch", 16, "--threads", 1, "--tune",
                 "--kernel", "direct")
    printed = re.findall(r"^    (ROW.*)$", text, re.M)
    assert printed and all(ROW.fullmatch(row) for row in printed)
    assert sum(line[0] == "*" for line in text.splitlines() if "x3 / " in line or "x1 / " in line) \
        == len(printed)
    assert any(row.startswith("ROW(16, 16, 28, 28, 3, 1, FORWARD, F32,") and "WINOGRAD)" in row
               for row in printed)
    source = pathlib.Path(os.environ["JEM_SOURCE"]) / "lib/backend/cpu/choice_table.c"
    in_table = re.findall(r"^    (ROW.*)$", source.read_text(), re.M)
    assert in_table and all(ROW.fullmatch(row) for row in in_table)


def test_tune_as_text(onednn):
    text = bench("mlp-20", "3x5x7", "grad", "--batch", 4, "--threads", 1, "--tune")
    rows = [line for line in text.splitlines() if "1x1 / 1" in line and "->" in line]
    assert [line[1:].split()[1] for line in rows] == 2 * ["FORWARD"] + 2 * ["TRANSPOSED"]
    assert "4, 105 -> 20, 1x1, 1x1 / 1" in rows[0] and "4, 20 -> 10, 1x1, 1x1 / 1" in rows[1]
    deserved = sum(line[0] == "*" for line in rows)
    assert ("The table is right" in text) == (deserved == 0)
    assert ("lib/backend/cpu/choice_table.c" in text) == (deserved > 0)


def test_tune_has_nothing_to_say_of_f32_strict(onednn):
    assert "f32-strict" in jem("bench", "--arch", "mlp-4", "--shape", "1x2x2", "--op", "grad",
                               "--precision", "f32-strict", "--tune", expect=2)


def test_tune_wants_kernels():
    message = jem("bench", "--arch", "mlp-4", "--shape", "1x2x2", "--op", "grad", "--backend",
                  "ref", "--tune", expect=2)
    assert "--backend ref" in message


def test_kernels_by_name():
    message = jem("bench", "--arch", "mlp-4", "--shape", "1x2x2", "--op", "logits", "--kernel",
                  "gemm", expect=2)
    assert "'gemm'" in message and "auto, onednn, winograd, direct, direct-bf16, stem" in message
    bench("mlp-4", "1x2x2", "logits", "--kernel", "direct")
