"""The jem command, driven as a user drives it: what it refuses.

A refusal ends with the documented exit code (2: the command line, 1: anything else), with one
sentence that names the cause, and without a file left behind.
"""

import os
import resource
import struct
import subprocess
import time

import numpy as np
import pytest
from cli_support import (JEM, idx, idx_images, idx_labels, images, jem, jem_of_anybody, model,
                         not_counting, train, write, write_cifar, write_idx, write_npy, x_test)


# ---- wrong command lines ------------------------------------------------------------------------

USAGE = [
    (["frobnicate"], "expected one of train"),
    (["train"], "--data is missing"),
    (["train", "--epoch", "3"], "did you mean --epochs?"),
    (["train", "--xyzzy", "3"], "--data --out --arch"),
    (["train", "stray"], "stray"),
    (["train", "--steps"], "lacks its value"),
    (["train", "--steps", "--seed", "1"], "lacks its value"),
    (["train", "--steps", "1.5"], "whole number"),
    (["train", "--steps", "10x"], "whole number"),
    (["train", "--steps", ""], "whole number"),
    (["train", "--steps", "99999999999999999999"], "whole number"),
    (["train", "--steps", "0"], "at least 1"),
    (["train", "--batch", "-3"], "from 1"),
    (["train", "--lr", "0"], "above 0"),
    (["train", "--lr", "1e-60"], "above 0"),
    (["train", "--lr", "nan"], "above 0"),
    (["train", "--lr", "0,1"], "a number"),
    (["train", "--lr", "1e-3x"], "a number"),
    (["train", "--lr", " 1"], "a number"),
    (["train", "--lr", "1e50"], "a number"),
    (["train", "--momentum", "1"], "from 0 to 0.99"),
    (["train", "--seed", "-1"], "2^64"),
    (["train", "--optimizer", "adamw"], "adam, sgd"),
    (["train", "--classifier=yes"], "takes no value"),
    (["train", "--data", ""], "empty"),
    (["bench", "--op", "logits", "--arch", "mlp-4", "--shape", "3x32"], "3x32x32"),
    (["bench", "--op", "logits", "--arch", "mlp-4", "--shape", "1x4x4x"], "3x32x32"),
    (["bench", "--op", "logits", "--arch", "resnet", "--shape", "1x4x4"], "resnet"),
    (["bench", "--op", "conv", "--arch", "mlp-4", "--shape", "1x4x4"], "logits, grad"),
    (["sample", "--model", "m", "--n", "4"], "--png FILE or --out"),
    (["score", "--model", "m", "--in", "x", "--out", "y", "--kind", "likelihood"], "max-softmax"),
    (["score", "--model", "m", "--in", "x", "--out", "y", "--kind", "knn"], "needs a detector"),
    (["score", "--model", "m", "--in", "x", "--out", "y", "--temperature", "0"], "above 0"),
    (["eval", "--model", "m", "--data", "d", "--html", "a", "--png", "./a"], "same file"),
]


@pytest.mark.parametrize("args, word", USAGE, ids=lambda value: " ".join(value)[:40]
                         if isinstance(value, list) else "")
def test_wrong_command_line(args, word, tmp_path):
    message = jem(*args, expect=2, cwd=tmp_path)
    assert word in message, message
    assert os.listdir(tmp_path) == []


def test_wrong_arguments_together(idx, model, tmp_path):
    base = ["train", "--data", idx, "--out", tmp_path / "m", "--arch"]
    assert "more than one length" in jem(*base, "mlp-4", "--steps", 1, "--seconds", 2, expect=2)
    assert "all 0" in jem(*base, "mlp-4", "--w-px", 0, "--w-pyx", 0, "--energy-l2", 0,
                            expect=2)
    assert "--class-conditional" in jem(*base, "mlp-4", "--w-pxy", 1, expect=2)
    assert "--classifier" in jem(*base, "mlp-4", "--logit-norm", 0.04, expect=2)
    assert "--w-pyx" in jem(*base, "mlp-4", "--logit-norm", 0.04, "--classifier", "--w-pyx", 0,
                            "--outliers", idx, expect=2)
    assert "--crop or --flip" in jem(*base, "mlp-4", "--augment-data", expect=2)
    assert "less than 8" in jem(*base, "mlp-4", "--crop", 8, expect=2)
    assert "--sam-rho" in jem(*base, "mlp-4", "--sam-adaptive", expect=2)
    assert "--schedule cosine" in jem(*base, "mlp-4", "--lr-floor", 0.1, expect=2)
    for words in ([0.5, 0.5], [0.5, 0.4], [1], ["a"], [0.1] * 9, ["nan"], ["0.5x"]):
        assert "milestones" in jem(*base, "mlp-4", "--milestones", *words, expect=2)
    assert "--schedule step" in jem(*base, "mlp-4", "--schedule", "cosine", "--milestones", 0.5,
                                    expect=2)
    assert "--noise-std" in jem(*base, "mlp-4", "--matched-noise", "--noise-std", 0.1, expect=2)
    assert "--start-rank" in jem(*base, "mlp-4", "--start", "data", "--start-rank", 3, expect=2)
    assert "resnet-9" in jem(*base, "resnet-9", "--steps", 1, expect=2)
    assert "--capacity" in jem(*base, "mlp-4", "--steps", 1, "--capacity", 3, expect=2)
    assert "below" in jem(*base, "mlp-4", "--steps", 1, "--x-low", 1, "--x-high", 0, expect=2)
    assert "--start-low 2" in jem(*base, "mlp-4", "--steps", 1, "--start-low", 2, expect=2)
    assert "a chain of each class" in jem(*base, "mlp-4", "--steps", 1, "--class-conditional",
                                          "--chains", 2, "--capacity", 2, expect=2)
    sample = ["sample", "--model", model, "--png", tmp_path / "s.png"]
    assert "0..2" in jem(*sample, "--class", 3, expect=2)
    assert "--data" in jem(*sample, "--start", "gaussian", expect=2)
    assert "--data" in jem(*sample, "--start", "data", expect=2)
    assert "--start-rank" in jem(*sample, "--start-rank", 3, expect=2)
    assert "--class" in jem(*sample, "--grid", "--class", 1, expect=2)
    assert "too large" in jem(*sample, "--n", 1000000, "--scale", 64, expect=2)
    assert os.listdir(tmp_path) == []


def test_no_command():
    result = subprocess.run([JEM], capture_output=True, text=True, check=False)
    assert result.returncode == 2 and "train" in result.stdout


# ---- bad data -----------------------------------------------------------------------------------

IMAGES, LABELS = "train-images-idx3-ubyte", "train-labels-idx1-ubyte"


def damage(name, change):
    return lambda d: (d / name).write_bytes(change((d / name).read_bytes()))


def header(*sizes):
    return lambda content: struct.pack(">4I", 0x803, *sizes) + content[16:]


BAD_IDX = {
    "truncated images": (damage(IMAGES, lambda c: c[:-1]), "truncated"),
    "truncated header": (damage(IMAGES, lambda c: c[:9]), "truncated"),
    "empty file": (damage(IMAGES, lambda c: b""), "truncated"),
    "truncated labels": (damage(LABELS, lambda c: c[:-5]), "truncated"),
    "trailing byte": (damage(IMAGES, lambda c: c + b"x"), "bytes follow"),
    "wrong magic": (damage(IMAGES, lambda c: b"\0\0\x08\x01" + c[4:]), "0x00000803"),
    "foreign file": (damage(IMAGES, lambda c: b"PK\3\4" + c), "magic"),
    "huge count": (damage(IMAGES, header(2**32 - 1, 1024, 1024)), "truncated"),
    "huge sides": (damage(IMAGES, header(60, 2**32 - 1, 2**32 - 1)), "1..1024"),
    "zero sides": (damage(IMAGES, header(60, 0, 8)), "1..1024"),
    "no images": (lambda d: (write(d / IMAGES, struct.pack(">4I", 0x803, 0, 8, 8)),
                             write(d / LABELS, struct.pack(">2I", 0x801, 0))), "no rows"),
    "fewer labels": (damage(LABELS, lambda c: struct.pack(">2I", 0x801, 59) + c[9:]),
                     "expected 60"),
    "more labels": (damage(LABELS, lambda c: struct.pack(">2I", 0x801, 61) + c[8:] + c[-1:]),
                    "61 labels; expected 60"),
    "wild label": (damage(LABELS, lambda c: c[:-1] + b"\xc8"), "labels up to 200"),
    "no label file": (lambda d: (d / LABELS).unlink(), LABELS),
    "no image file": (lambda d: (d / IMAGES).unlink(), IMAGES),
    "images are a directory": (lambda d: ((d / IMAGES).unlink(), (d / IMAGES).mkdir()), IMAGES),
}


@pytest.mark.parametrize("case", BAD_IDX)
@pytest.mark.parametrize("packed", [False, True], ids=["plain", "gz"])
def test_bad_idx(case, packed, tmp_path):
    data = write_idx(tmp_path / "data")
    change, word = BAD_IDX[case]
    change(data)
    for name in (IMAGES, LABELS):
        if packed and (data / name).is_file():
            write(data / f"{name}.gz", (data / name).read_bytes(), packed=True)
            (data / name).unlink()
    refuse_training(data, word, tmp_path)


def refuse_training(data, word, tmp_path):
    message = jem("train", "--data", data, "--arch", "mlp-4", "--out", tmp_path / "m", "--steps", 1,
                  expect=1)
    assert word in message and str(data) in message, message
    assert not list(tmp_path.glob("m*"))


def test_bad_gzip(tmp_path):
    data = write_idx(tmp_path / "data", packed=True)
    path = data / f"{IMAGES}.gz"
    whole = path.read_bytes()
    for content, word in [(whole[:len(whole) // 2], "truncated"), (whole[:-4], "truncated"),
                          (whole[:100] + bytes([whole[100] ^ 0x55]) + whole[101:], "damaged"),
                          (whole[:-8] + b"\1\2\3\4" + whole[-4:], "gzip file (incorrect data check)")]:
        path.write_bytes(content)
        refuse_training(data, word, tmp_path)


def npy(array):
    def save(path):
        np.save(path, array)
    return save


def raw_npy(text, wide=False):
    lead = bytes([1 + wide, 0]) + struct.pack("<I" if wide else "<H", len(text))
    return lambda path: path.write_bytes(b"\x93NUMPY" + lead + text.encode())


def edit_npy(change):
    return lambda path: path.write_bytes(change(path.read_bytes()))


GOOD = "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }"
BAD_X = {
    "truncated": (edit_npy(lambda c: c[:-1]), "truncated"),
    "truncated header": (edit_npy(lambda c: c[:40]), "truncated"),
    "two bytes": (edit_npy(lambda c: c[:2]), "not a .npy file"),
    "trailing": (edit_npy(lambda c: c + b"xx"), "damaged"),
    "foreign": (lambda path: path.write_bytes(b"hello, this is text"), "not a .npy file"),
    "version 9": (edit_npy(lambda c: c[:6] + b"\x09" + c[7:]), "version 9"),
    "complex": (npy(np.zeros((60, 1, 8, 8), ">c8")), ">c8"),
    "struct": (npy(np.zeros(60, [("a", "<f4")])), "struct"),
    "one dimension": (npy(np.zeros(60, np.float32)), "(60,)"),
    "five dimensions": (npy(np.zeros((60, 1, 1, 1, 1), np.float32)), "more than 4"),
    "channels last": (npy(np.zeros((60, 32, 32, 3), np.uint8)), "--layout nhwc"),
    "no features": (npy(np.zeros((60, 0), np.float32)), "(60, 0)"),
    "NaN": (npy(np.full((60, 4), np.nan, np.float32)), "NaN"),
    "infinity": (npy(np.full((60, 4), -np.inf)), "infinity"),
    "beyond float": (npy(np.full((60, 4), 1e300)), "1e+300"),
    "constant": (npy(np.ones((60, 4), np.float32)), "varies"),
    "huge shape": (raw_npy(GOOD.replace("2, 3", "4294967296, 4294967296, 4294967296")), "damaged"),
    "wraps to 0": (raw_npy(GOOD.replace("2, 3", "4611686018427387904, 4")), "damaged"),
    "negative": (raw_npy(GOOD.replace("2, 3", "-1, 3")), "damaged"),
    "no comma": (raw_npy(GOOD.replace("2, 3", "2 3")), "damaged"),
    "twice": (raw_npy(GOOD.replace("}", "'shape': (2, 3), }")), "damaged"),
    "no shape": (raw_npy("{'descr': '<f4', 'fortran_order': False}"), "damaged"),
    "unknown key": (raw_npy(GOOD.replace("}", "'x': 1}")), "damaged"),
    "open string": (raw_npy("{'descr': '<f4"), "damaged"),
    "long header": (raw_npy(" " * 2**20 + " ", wide=True), "at most"),
    "claims a long header": (lambda path: path.write_bytes(b"\x93NUMPY\2\0\xff\xff\7\0{"),
                             "truncated"),
    "directory": (lambda path: (path.unlink(), path.mkdir()), ""),
}


@pytest.mark.parametrize("case", BAD_X)
def test_bad_x(case, model, tmp_path):
    """As training data and as input of a computation."""
    data = write_npy(tmp_path / "data", np.float32, test=False)
    change, word = BAD_X[case]
    change(data / "X.npy")
    if (data / "X.npy").is_file():
        refuse_training(data, word, tmp_path)
    message = jem("logits", "--model", model, "--in", data / "X.npy", "--out", tmp_path / "y.npy",
                  expect=1)
    assert str(data / "X.npy") in message
    assert os.listdir(tmp_path) == ["data"]


def test_files_do_not_steer_the_terminal(model, tmp_path):
    raw_npy(GOOD.replace("<f4", "\x1b[31m"))(tmp_path / "x.npy")
    message = jem("logits", "--model", model, "--in", tmp_path / "x.npy", "--out", "y", expect=1)
    assert "?[31m" in message and "\x1b" not in message


BAD_Y = {
    "negative": (npy(np.full(60, -1)), "out of range"),
    "floats": (npy(np.zeros(60)), "floats"),
    "matrix": (npy(np.zeros((60, 1), np.int64)), "(60, 1)"),
    "too few": (npy(np.zeros(59, np.int64)), "expected 60"),
    "gap": (npy(np.array([0] * 59 + [7])), "labels up to 7"),
    "giant": (npy(np.array([0] * 59 + [2**40])), "out of range"),
    "unsigned giant": (npy(np.array([0] * 59 + [2**64 - 1], "u8")), str(2**64 - 1)),
    "large": (npy(np.array([0] * 59 + [2**30])), "at most 100000"),
}


@pytest.mark.parametrize("case", BAD_Y)
def test_bad_y(case, tmp_path):
    data = write_npy(tmp_path / "data", test=False)
    change, word = BAD_Y[case]
    change(data / "y.npy")
    refuse_training(data, word, tmp_path)


def test_bad_cifar(tmp_path):
    data = write_cifar(tmp_path / "data", 10)
    batch = data / "data_batch_3.bin"
    whole = batch.read_bytes()
    for content, word in [(whole[:-1], "multiple of 3073"), (b"", "multiple of 3073"),
                          (b"\x0a" + whole[1:], "0..9")]:
        batch.write_bytes(content)
        refuse_training(data, word, tmp_path)
    batch.unlink()
    refuse_training(data, "data_batch_3.bin", tmp_path)


def test_data_that_is_not_there(tmp_path):
    refuse_training(tmp_path / "nowhere", "does not exist", tmp_path)
    (tmp_path / "empty").mkdir()
    refuse_training(tmp_path / "empty", "no data set", tmp_path)
    (tmp_path / "file.txt").write_text("hello")
    refuse_training(tmp_path / "file.txt", "not a data set", tmp_path)
    os.mkfifo(tmp_path / "pipe")
    refuse_training(tmp_path / "pipe", "is a pipe", tmp_path)
    refuse_training("/dev/null", "is a pipe, device or socket", tmp_path)
    (tmp_path / "loop").symlink_to("loop")
    refuse_training(tmp_path / "loop", "cannot be read: Too many levels", tmp_path)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs a second user")
def test_data_that_may_not_be_seen(tmp_path, jem_of_anybody):
    data = write_idx(tmp_path / "data")
    data.chmod(0o700)
    tmp_path.chmod(0o755)
    done = jem_of_anybody("train", "--data", ".", "--out", "/dev/null", cwd=data, text=True)
    assert done.returncode == 1 and "cannot be read: Permission denied" in done.stderr, done.stderr


def test_eval_refuses_other_shapes_and_labels(model, tmp_path):
    data = write_cifar(tmp_path / "cifar", 10)
    assert "3x32x32" in jem("eval", "--model", model, "--data", data, expect=1)
    x, y = images(20, 1, classes=4)
    for name, content in (("t10k-images-idx3-ubyte", idx_images(x)),
                          ("t10k-labels-idx1-ubyte", idx_labels(y))):
        write(tmp_path / "four" / name, content)
    message = jem("eval", "--model", model, "--data", tmp_path / "four", expect=1)
    assert "label 3" in message and "0..2" in message
    idx = write_idx(tmp_path / "idx")
    evaluate = ["eval", "--model", model, "--data", idx, "--ood"]
    message = jem(*evaluate, "uniform", "nothing-here", expect=2)
    assert "nothing-here" in message and "uniform, constant" in message
    assert "3x32x32" in jem(*evaluate, data, expect=1)
    wide = tmp_path / "wide"
    wide.mkdir()
    np.save(wide / "X.npy", images(30, 1)[0][:, :, :4])
    np.save(wide / "y.npy", images(30, 1)[1])
    train(wide, tmp_path / "wide-model", steps=1)
    message = jem("eval", "--model", tmp_path / "wide-model", "--data", wide, "--ood", "rotated",
                  expect=2)
    assert "rotated" in message


def test_bad_rows_of_a_computation(model, x_test, tmp_path):
    x = np.load(x_test[0])
    cases = [(x[:, :, :4], "(n, 1, 8, 8)"), (x.reshape(60, -1), "(n, 64)"),
             (x.transpose(0, 2, 3, 1), "--layout nhwc")]
    spoiled = x.copy()
    spoiled[7, 0, 1, 1] = np.inf
    cases.append((spoiled, "row 7"))
    for array, word in cases:
        np.save(tmp_path / "x.npy", array)
        message = jem("energy", "--model", model, "--in", tmp_path / "x.npy", "--out",
                      tmp_path / "y.npy", "--batch", 4, expect=1)
        assert word in message
    for labels, word in [(np.full(30, 3), "0..2"), (np.full(29, 0), "expected 30")]:
        np.save(tmp_path / "l.npy", labels)
        message = jem("energy", "--model", model, "--in", x_test[0], "--out", tmp_path / "y.npy",
                      "--labels", tmp_path / "l.npy", expect=1)
        assert word in message
    assert sorted(os.listdir(tmp_path)) == ["l.npy", "x.npy"]


@pytest.mark.parametrize("command", ["eval", "info", "logits", "sample"])
def test_bad_model_file(command, model, idx, x_test, tmp_path):
    rest = {"eval": ["--data", idx], "info": [], "logits": ["--in", x_test[0], "--out", "y.npy"],
            "sample": ["--png", "s.png"]}[command]
    bad = tmp_path / "bad"
    for content in (b"", b"not a model at all", model.read_bytes()[:-3]):
        bad.write_bytes(content)
        jem(command, "--model", bad, *rest, expect=1, cwd=tmp_path)
    assert "gone" in jem(command, "--model", tmp_path / "gone", *rest, expect=1, cwd=tmp_path)
    assert os.listdir(tmp_path) == ["bad"]


# ---- outputs ------------------------------------------------------------------------------------


@pytest.mark.parametrize("target, word", [("no/such/m", "No such file"), ("", "directory")])
def test_unwritable_output(idx, model, x_test, tmp_path, target, word):
    out = tmp_path / target
    begin = time.monotonic()
    for args in (["train", "--data", idx, "--arch", "mlp-4", "--seconds", 60, "--out", out],
                 ["logits", "--model", model, "--in", x_test[0], "--out", out],
                 ["sample", "--model", model, "--png", out, "--steps", 1000000],
                 ["eval", "--model", model, "--data", idx, "--html", out],
                 ["eval", "--model", model, "--data", idx, "--png", out],
                 ["sample", "--model", model, "--out", out, "--steps", 1000000]):
        assert word in jem(*args, expect=1)
    assert time.monotonic() - begin < 10
    assert os.listdir(tmp_path) == []


def test_full_device(idx, model, x_test, tmp_path):
    rest = ["--out", "/dev/full"]
    for args in (["logits", "--model", model, "--in", x_test[0], *rest],
                 ["sample", "--model", model, "--steps", 1, *rest],
                 ["sample", "--model", model, "--steps", 1, "--png", "/dev/full"],
                 ["eval", "--model", model, "--data", idx, "--html", "/dev/full"],
                 ["eval", "--model", model, "--data", idx, "--png", "/dev/full"],
                 ["train", "--data", idx, "--arch", "mlp-4", "--steps", 1, *rest]):
        message = jem(*args, expect=1, env=dict(os.environ, TMPDIR=str(tmp_path)))
        assert "No space left" in message and "/dev/full" in message
    saved, = os.listdir(tmp_path)  # a trained model is not lost
    assert saved.startswith("jem-model-") and saved in message


def test_unwritable_log(idx, tmp_path):
    message = jem("train", "--data", idx, "--arch", "mlp-4", "--out", tmp_path / "m", "--log",
                  tmp_path / "no" / "log", expect=1)
    assert "log" in message and os.listdir(tmp_path) == []
    message = jem("train", "--data", idx, "--arch", "mlp-4", "--out", tmp_path / "m", "--steps", 2,
                  "--log", "/dev/full", expect=1)
    assert "the model was saved, but /dev/full" in message
    jem("info", "--model", tmp_path / "m")


@not_counting
def test_full_disk_leaves_the_old_file(idx, model, x_test, tmp_path):
    def limit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (300, 300))

    old = tmp_path / "old"
    for args in (["logits", "--model", model, "--in", x_test[0], "--out", old],
                 ["sample", "--model", model, "--out", old, "--steps", 1],
                 ["sample", "--model", model, "--png", old, "--steps", 1],
                 ["eval", "--model", model, "--data", idx, "--html", old],
                 ["eval", "--model", model, "--data", idx, "--png", old],
                 ["train", "--data", idx, "--arch", "mlp-4", "--steps", 1, "--out", old]):
        old.write_text("precious")
        assert "old" in jem(*args, expect=1, preexec_fn=limit)
        assert old.read_text() == "precious" and os.listdir(tmp_path) == ["old"]


def test_closed_standard_output(model):
    with open("/dev/full", "w") as full:
        result = subprocess.run([JEM, "info", "--model", model], stdout=full,
                                stderr=subprocess.PIPE, text=True, check=False)
    assert result.returncode == 1 and "standard output" in result.stderr
