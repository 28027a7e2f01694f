"""How the tests of the jem command run it: the binary, tiny data in every form, a small model.

The binary is the one that the environment variable JEM_CLI names.
"""

import gzip
import os
import pathlib
import shutil
import struct
import subprocess
import tempfile
import zlib

import numpy as np
import pytest

JEM = os.environ.get("JEM_CLI", "")
assert os.access(JEM, os.X_OK), f"JEM_CLI={JEM!r} is not the built jem command"
SIDE, CLASSES = 8, 3
OOD_SETS = ["uniform", "constant", "interp", "inverted", "rotated", "shuffled"]

# A build that counts what runs is slow, and writes its counters into files when it ends.
not_counting = pytest.mark.skipif(os.environ.get("JEM_COVERAGE") == "ON",
                                  reason="a build that counts what runs")


def last_of(args):
    """The command line with the last value of each option: tests build on common ones, but jem
    refuses an option that is given twice. Lists add up."""
    groups = []
    for word in map(str, args):
        if word.startswith("--") or not groups:
            groups.append([word])
        else:
            groups[-1].append(word)
    last = {group[0]: i for i, group in enumerate(groups)}
    return [word for i, group in enumerate(groups) for word in group
            if last[group[0]] == i or group[0] == "--milestones"]


def jem(*args, expect=0, **options):
    """Runs jem; returns what it printed. Failures must be one sentence, successes silent.

    The time limit is for hangs: on a busy machine a minute's work has taken several.
    """
    result = subprocess.run([JEM, *last_of(args)], capture_output=True, text=True, timeout=600,
                            **options)
    shown = f"jem {' '.join(map(str, args))}\n{result.stdout}{result.stderr}"
    assert result.returncode == expect, shown
    if expect == 0:
        return result.stdout
    lines = result.stderr.strip().splitlines()
    assert lines and lines[-1].startswith("jem"), shown
    return lines[-1]


@pytest.fixture(scope="session")
def jem_of_anybody():
    """Runs jem as another user, whom the folder of the build need not be open to (as in /root): a
    copy with the library beside it, where everybody may go."""
    library = pathlib.Path(os.environ["JEM_LIBRARY"])
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        command = shutil.copy(JEM, folder)
        for name in library.parent.glob("libjem.so*"):
            shutil.copy(name, folder)

        def run(*args, **options):
            env = dict(os.environ, LD_LIBRARY_PATH=folder)
            return subprocess.run([command, *args], env=env, user=65534, capture_output=True,
                                  timeout=60, check=False, **options)
        yield run


# ---- data ---------------------------------------------------------------------------------------


def images(n, seed, channels=1, side=SIDE, classes=CLASSES):
    """8-bit images whose class shows in where they are bright; easy to learn."""
    rng = np.random.default_rng(seed)
    y = np.arange(n) % classes
    x = rng.integers(0, 90, (n, channels, side, side))
    for i in range(n):
        rows = slice(y[i] * side // classes, (y[i] + 1) * side // classes)
        x[i, :, rows, :] += 150
    return x.astype(np.uint8), y.astype(np.int64)


def idx_images(x):
    return struct.pack(">4I", 0x803, len(x), x.shape[2], x.shape[3]) + x.tobytes()


def idx_labels(y):
    return struct.pack(">2I", 0x801, len(y)) + y.astype(np.uint8).tobytes()


def write(path, content, packed=False):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(content) if packed else content)


def write_idx(directory, packed=False, prefix="", n_train=60, n_test=30):
    end = ".gz" if packed else ""
    for split, n, seed in (("train", n_train, 1), ("t10k", n_test, 2)):
        x, y = images(n, seed)
        write(directory / f"{prefix}{split}-images-idx3-ubyte{end}", idx_images(x), packed)
        write(directory / f"{prefix}{split}-labels-idx1-ubyte{end}", idx_labels(y), packed)
    return directory


def cifar_records(x, y, coarse):
    first = b"\x13" if coarse else b""
    return b"".join(first + bytes([label]) + image.tobytes() for image, label in zip(x, y))


def write_cifar(directory, classes):
    names = ([f"data_batch_{i}.bin" for i in range(1, 6)] + ["test_batch.bin"] if classes == 10
             else ["train.bin", "test.bin"])
    for seed, name in enumerate(names):
        x, y = images(8, seed, channels=3, side=32)
        write(directory / name, cifar_records(x, y, classes == 100))
    return directory


def write_npy(directory, dtype=np.uint8, test=True):
    directory.mkdir(parents=True, exist_ok=True)
    for end, n, seed in (("", 60, 1), ("_test", 30, 2))[: 2 if test else 1]:
        x, y = images(n, seed)
        if dtype != np.uint8:
            x = (x / 127.5 - 1.0).astype(dtype)
        np.save(directory / f"X{end}.npy", x)
        np.save(directory / f"y{end}.npy", y)
    return directory


def train(data, out, *options, arch="mlp-16", steps=30):
    return jem("train", "--data", data, "--arch", arch, "--out", out, "--steps", steps, "--batch",
               16, "--sgld-steps", 2, "--capacity", 100, *options)


@pytest.fixture(scope="module")
def idx(tmp_path_factory):
    return write_idx(tmp_path_factory.mktemp("idx"))


@pytest.fixture(scope="module")
def model(idx, tmp_path_factory):
    """A small convolutional model that has learned a little."""
    path = tmp_path_factory.mktemp("model") / "m.safetensors"
    train(idx, path, arch="cnn-4-8", steps=80)
    return path


@pytest.fixture(scope="module")
def x_test(tmp_path_factory):
    """Test images as inputs of the model, and the file that holds them."""
    x, y = images(30, 2)
    path = tmp_path_factory.mktemp("x") / "x.npy"
    np.save(path, (x / np.float32(127.5) - 1).astype(np.float32))
    return path, y


def apply(command, model, x, out, *options):
    jem(command, "--model", model, "--in", x, "--out", out, *options)
    return np.load(out)


def png_header(path):
    content = path.read_bytes()
    assert content[:8] == b"\x89PNG\r\n\x1a\n"
    return struct.unpack(">IIBB", content[16:26])


def pixels_of(path):
    """A PNG of 8-bit RGB, filters undone."""
    content = path.read_bytes()
    width, height = png_header(path)[:2]
    packed, at = b"", 8
    while at < len(content):
        size = int.from_bytes(content[at:at + 4], "big")
        if content[at + 4:at + 8] == b"IDAT":
            packed += content[at + 8:at + 8 + size]
        at += 12 + size
    lines = np.frombuffer(zlib.decompress(packed), np.uint8).reshape(height, 1 + 3 * width)
    out = np.zeros((height, 3 * width), np.uint8)
    above = np.zeros(3 * width, np.int64)
    for y, line in enumerate(lines):
        out[y] = unfiltered(line[0], line[1:].astype(np.int64), above)
        above = out[y].astype(np.int64)
    return out.reshape(height, width, 3)


def unfiltered(kind, line, above):
    if kind in (0, 2):
        return (line + (above if kind == 2 else 0)) % 256
    out = np.zeros_like(line)
    for i, value in enumerate(line):
        left, corner = (out[i - 3], above[i - 3]) if i >= 3 else (0, 0)
        paeth = min((left, above[i], corner), key=lambda v: abs(left + above[i] - corner - v))
        out[i] = (value + {1: left, 3: (left + above[i]) // 2, 4: paeth}[kind]) % 256
    return out
