"""The table of compare.py, from made-up reports, and the figures of the peers, without PyTorch."""

import signal
import types

import compare
import measuring
import peers
import pytest

OURS = [{"median_ms": 10.0, "p99_ms": 20.0, "ratio": 0.5, "peak_rss_mb": 18.4},
        {"median_ms": 12.0, "p99_ms": 22.0, "ratio": 0.7, "peak_rss_mb": 18.4},
        {"median_ms": 11.0, "p99_ms": 21.0, "ratio": 0.6, "peak_rss_mb": 18.4}]
PYTORCH = [{"median_ms": 110.0, "p99_ms": 420.0, "peak_rss_mb": 280.0}]
ONNX = [{"median_ms": 22.0, "p99_ms": 31.5, "peak_rss_mb": 70.0}]


def args(**given):
    return types.SimpleNamespace(**{"peers": "", "onnx_path": "", "isa": None, "jem": "jem",
                                    "precision": [], **given})


def test_row():
    assert compare.row("it", OURS, PYTORCH, ONNX, beside=0) == [
        "it", "11 (10-12) ms", "110 (110-110) ms", "10.00", "22 (22-22) ms", "2.00", "0.60",
        "18", "280"]


def test_row_beside_busy_processes():
    assert compare.row("it", OURS, PYTORCH, None, beside=2) == [
        "it", "11 / 21 ms", "110 / 420 ms", "10.00 / 20.00", "-", "-", "0.60", "18", "280"]


def test_row_has_all_columns():
    assert len(compare.row("it", OURS, PYTORCH, None, beside=0)) == len(compare.COLUMNS)


@pytest.mark.parametrize("batch, names", [
    (64, ["libjem", "libjem bf16"]),
    (1, ["libjem", "libjem bf16", "libjem tuned for latency"]),
])
def test_our_programs(batch, names):
    case = measuring.Case("", "mlp-8", "1x1x1", "logits", batch)
    programs = compare.our_programs(case, args(precision=["bf16"], isa="avx2"))
    assert [program.name for program in programs] == names
    assert all(program.command[:4] == ("jem", "bench", "--isa", "avx2") for program in programs)


def test_peers_in_a_tree():
    limited = measuring.Peers("/tree", avx2=True, onnx_path="/other")
    assert limited.pytorch("contiguous").command == (
        "chroot", "/tree", "env", *measuring.KEEP_MEMORY, *measuring.PYTORCH_AVX2, "python3",
        "/jem/tests/bench/peer.py", "--layout", "contiguous")
    assert limited.onnx_runtime().command == (
        "chroot", "/tree", "env", *measuring.KEEP_MEMORY, "PYTHONPATH=/other", "python3",
        "/jem/tests/bench/peer_onnx.py")


def make_tree(folder):
    (folder / "etc").mkdir()
    (folder / "etc/os-release").touch()
    (folder / "proc/self").mkdir(parents=True)
    (folder / "jem").symlink_to(measuring.SOURCE)


def test_fault_of_tree(tmp_path):
    assert compare.fault_of_tree(args()) is None
    assert "--peers only" in compare.fault_of_tree(args(onnx_path="/other"))
    assert "holds no Debian" in compare.fault_of_tree(args(peers=str(tmp_path)))
    make_tree(tmp_path)
    assert compare.fault_of_tree(args(peers=str(tmp_path))) is None
    wanting = args(peers=str(tmp_path), onnx_path="/other")
    assert "no folder onnxruntime" in compare.fault_of_tree(wanting)
    (tmp_path / "proc/self").rmdir()
    assert "mount --bind /proc" in compare.fault_of_tree(args(peers=str(tmp_path)))
    (tmp_path / "jem").unlink()
    assert f"mount --bind {measuring.SOURCE}" in compare.fault_of_tree(args(peers=str(tmp_path)))


def test_percentile():
    assert peers.percentile99([5.0]) == 5.0
    assert peers.percentile99(range(100, 0, -1)) == 99
    assert peers.percentile99(range(1, 201)) == 198


def test_busy_processes():
    with peers.busy_processes(2) as started:
        assert [process.poll() for process in started] == [None, None]
    assert [process.returncode for process in started] == [-signal.SIGKILL] * 2


def test_measure_leaves_out_the_first_run():
    calls = []
    assert len(peers.measure(lambda: calls.append(0), runs=3)) == 3
    assert len(calls) == 4
