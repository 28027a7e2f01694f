"""The jem command and data as they are found: usual names, packings, and where channels stand."""

import gzip
import io
import json
import os
import tarfile

import numpy as np
import pytest
from cli_support import (CLASSES, JEM, apply, cifar_records, idx_images, idx_labels, images, jem,
                         model, idx, train, write, write_cifar, write_idx)


def parameters(data, folder, *options):
    """The bytes of a model that was trained for two steps: equal only for equal data."""
    train(data, folder / "m", "--threads", 1, *options, steps=2)
    content = (folder / "m").read_bytes()
    (folder / "m").unlink()
    return content[8 + int.from_bytes(content[:8], "little"):]


# ---- where the channels stand -------------------------------------------------------------------


def save(folder, x, y):
    folder.mkdir(exist_ok=True)
    np.save(folder / "X.npy", x)
    np.save(folder / "y.npy", y)
    return folder


@pytest.mark.parametrize("dtype", [np.uint8, np.float32, np.int16])
@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 8, 8), (4, 6, 9), (3, 16, 8), (3, 3, 3),
                                   (2, 9, 8), (13, 8, 8)])
def test_channels_last(shape, dtype, tmp_path):
    """Refused without --layout; with it the images are those of the array with channels first."""
    rng = np.random.default_rng(sum(shape))
    first = rng.integers(0, 100, (30, *shape)).astype(dtype)
    y = np.arange(30) % CLASSES
    last = save(tmp_path / "last", np.ascontiguousarray(first.transpose(0, 2, 3, 1)), y)
    message = jem("train", "--data", last, "--out", tmp_path / "m", "--steps", 1, expect=1)
    assert "--layout nhwc" in message and "--layout nchw" in message and str(last) in message
    assert not (tmp_path / "m").exists()
    expected = parameters(save(tmp_path / "first", first, y), tmp_path, "--layout", "nchw")
    assert parameters(last, tmp_path, "--layout", "nhwc") == expected
    if shape != (3, 3, 3):
        info = train(last, tmp_path / "m", "--layout", "nchw", steps=1)
        shape_now = json.loads(jem("info", "--model", tmp_path / "m", "--json"))["shape"]
        assert "m" in info and shape_now == [shape[1], shape[2], shape[0]]


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 8, 8), (3, 2, 2), (5, 1, 1), (1, 1, 1),
                                   (6, 4, 9), (16, 5, 5), (2, 4, 5)])
def test_channels_first_need_no_option(shape, tmp_path):
    x = np.random.default_rng(0).integers(0, 100, (30, *shape)).astype(np.uint8)
    train(save(tmp_path / "data", x, np.arange(30) % 3), tmp_path / "m", steps=1)
    assert json.loads(jem("info", "--model", tmp_path / "m", "--json"))["shape"] == list(shape)


def test_computations_with_channels_last(tmp_path):
    first = np.random.default_rng(1).uniform(-1, 1, (30, 3, 8, 4)).astype(np.float32)
    y = np.arange(30) % 3
    data = save(tmp_path / "data", first, y)
    train(data, tmp_path / "m", "--layout", "nchw", steps=1)
    np.save(tmp_path / "x.npy", first.transpose(0, 2, 3, 1).copy())
    for command in ("logits", "energy", "grad", "score"):
        expected = apply(command, tmp_path / "m", data / "X.npy", tmp_path / "y.npy")
        found = apply(command, tmp_path / "m", tmp_path / "x.npy", tmp_path / "y.npy", "--layout",
                      "nhwc")
        assert np.array_equal(found, expected), command
        assert "--layout nhwc" in jem(command, "--model", tmp_path / "m", "--in",
                                      tmp_path / "x.npy", "--out", tmp_path / "y.npy", expect=1)


def test_a_model_tells_the_layout(tmp_path):
    """For eval and sample a shape that fits the model leaves no doubt."""
    first = np.random.default_rng(1).integers(0, 99, (30, 16, 4, 4)).astype(np.uint8)
    data = save(tmp_path / "data", first, np.arange(30) % 3)
    train(data, tmp_path / "m", "--layout", "nchw", steps=1)
    evaluate = ["eval", "--model", tmp_path / "m", "--ood", "uniform", "--json", "--data"]
    expected = jem(*evaluate, data)
    sample = ["sample", "--model", tmp_path / "m", "--n", 3, "--steps", 1, "--out",
              tmp_path / "s.npy", "--data"]
    jem(*sample, data)
    last = save(tmp_path / "last", first.transpose(0, 2, 3, 1).copy(), np.arange(30) % 3)
    for command in (evaluate, sample):
        assert "--layout nhwc" in jem(*command, last, expect=1)
    found = json.loads(jem(*evaluate, last, "--layout", "nhwc"))
    assert {**found, "data": str(data)} == json.loads(expected)


# ---- names and packings -------------------------------------------------------------------------


@pytest.fixture(scope="module")
def plain_idx(tmp_path_factory):
    folder = tmp_path_factory.mktemp("plain")
    return parameters(write_idx(folder / "data"), folder)


def renamed(folder, change, packed=False):
    write_idx(folder)
    for path in list(folder.iterdir()):
        content = path.read_bytes()
        path.unlink()
        write(folder / change(path.name), content, packed)
    return folder


NAMES = {
    "7-Zip": lambda name: name.replace("-idx", ".idx"),
    "7-Zip, packed": lambda name: name.replace("-idx", ".idx") + ".gz",
    "torchvision": lambda name: f"raw/{name}",
    "one set of EMNIST": lambda name: f"emnist-digits-{name.replace('t10k', 'test')}",
    "one set of EMNIST, packed": lambda name: f"emnist-digits-{name.replace('t10k', 'test')}.gz",
    "usual": lambda name: name,
    "packed": lambda name: f"{name}.gz",
}


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("case", NAMES)
def test_names_of_idx_files(case, packed, plain_idx, tmp_path):
    """The content, not the name, says whether a file is packed."""
    data = renamed(tmp_path / "data", NAMES[case], packed)
    assert parameters(data, tmp_path) == plain_idx
    train(data, tmp_path / "m", steps=1)
    assert json.loads(jem("eval", "--model", tmp_path / "m", "--data", data, "--json"))["n"] == 30


def test_several_sets_in_a_folder(plain_idx, tmp_path):
    data = tmp_path / "data"
    names = [f"emnist-{name}" for name in ("letters", "digits", "balanced", "byclass", "bymerge", "mnist")]
    for name in names:
        renamed(tmp_path / name, lambda file: f"{name}-{file}")
        for path in (tmp_path / name).iterdir():
            write(data / path.name, path.read_bytes())
    message = jem("train", "--data", data, "--out", tmp_path / "m", expect=1)
    assert "6 data sets" in message and f"{data}/emnist-balanced" in message
    assert parameters(data / "emnist-digits", tmp_path) == plain_idx


def test_fashion_in_a_raw_folder(tmp_path):
    data = tmp_path / "FashionMNIST" / "raw"
    write_idx(data)
    for path in (data, data.parent):
        train(path, tmp_path / "m", steps=1)
        names = json.loads(jem("info", "--model", tmp_path / "m", "--json"))["classes"]
        assert names[9] == "Ankle boot"


def test_packed_arrays(tmp_path):
    x, y = images(30, 1)
    expected = parameters(save(tmp_path / "plain", x, y), tmp_path)
    packed = tmp_path / "packed"
    for name, array in (("X.npy.gz", x), ("y.npy.gz", y)):
        file = io.BytesIO()
        np.save(file, array)
        write(packed / name, file.getvalue(), packed=True)
    assert parameters(packed, tmp_path) == expected


def archive(path, folder, order, mode="w:gz", inside="cifar-10-batches-bin",
            form=tarfile.GNU_FORMAT):
    with tarfile.open(path, mode, format=form) as tar:
        note = tarfile.TarInfo(f"{inside}/readme.html")
        note.size = 700
        tar.addfile(note, io.BytesIO(b"x" * 700))
        for name in order:
            tar.add(folder / name, f"{inside}/{name}")
    return path


@pytest.mark.parametrize("classes", [10, 100])
def test_packings_of_cifar(classes, tmp_path):
    plain = write_cifar(tmp_path / "plain", classes)
    expected = parameters(plain, tmp_path)
    names = sorted(os.listdir(plain), key=lambda name: name[::-1])  # not the order of the rows
    folder = "cifar-10-batches-bin" if classes == 10 else "cifar-100-binary"
    published = "cifar-10-binary.tar.gz" if classes == 10 else "cifar-100-binary.tar.gz"
    for name in names:
        content = (plain / name).read_bytes()
        write(tmp_path / "gz" / f"{name}.gz", content, packed=True)
        write(tmp_path / "as-plain" / name, content, packed=True)
        write(tmp_path / "above" / folder / name, content)
    (tmp_path / "with-archive").mkdir()
    inside = archive(tmp_path / "with-archive" / published, plain, names, inside=folder)
    forms = [tmp_path / "gz", tmp_path / "as-plain", tmp_path / "above", tmp_path / "with-archive",
             inside, archive(tmp_path / "c.tar", plain, names, "w"),
             archive(tmp_path / "c.tgz", plain, names, form=tarfile.PAX_FORMAT, inside="x" * 60)]
    for form in forms:
        assert parameters(form, tmp_path) == expected, form
    train(plain, tmp_path / "m", steps=1)
    for form in forms:
        report = json.loads(jem("eval", "--model", tmp_path / "m", "--data", form, "--ood",
                                "uniform", "--json"))
        assert report["n"] == 8


def test_bad_archives(tmp_path):
    plain = write_cifar(tmp_path / "plain", 10)
    names = sorted(os.listdir(plain))
    whole = archive(tmp_path / "c.tar.gz", plain, names).read_bytes()
    tar = gzip.decompress(whole)
    half = tar[:len(tar) // 2]
    cases = {
        "truncated gzip": (whole[:-20], "truncated"),
        "damaged gzip": (whole[:-8] + b"\1\2\3\4" + whole[-4:], "damaged"),
        "truncated tar": (half, "truncated"),
        "no tar": (b"hello" * 1000, "not a tar"),
        "empty": (b"", "no binary CIFAR"),
        "bad sum": (tar[:10] + b"?" + tar[11:], "not a tar"),
        "python version": (archive(tmp_path / "p.tar.gz", plain, [], inside="py").read_bytes(),
                           "no binary CIFAR"),
        "a part is missing": (archive(tmp_path / "q.tar", plain, names[1:], "w").read_bytes(),
                              "lacks data_batch_1.bin"),
    }
    for content, word in cases.values():
        (tmp_path / "c.tar.gz").write_bytes(content)
        message = jem("train", "--data", tmp_path / "c.tar.gz", "--out", tmp_path / "m", expect=1)
        assert word in message and str(tmp_path / "c.tar.gz") in message, message


def test_sizes_of_packed_files_are_true(tmp_path):
    """No message tells a number of bytes that nobody counted."""
    data = write_cifar(tmp_path / "data", 10)
    write(data / "data_batch_2.bin", (data / "data_batch_2.bin").read_bytes()[:-1], packed=True)
    message = jem("train", "--data", data, "--out", tmp_path / "m", expect=1)
    assert f"holds {8 * 3073 - 1} bytes" in message and "data_batch_2.bin" in message
    idx_data = write_idx(tmp_path / "idx")
    x, _ = images(60, 1)
    huge = idx_images(x)[:4] + b"\x7f\xff\xff\xff" + idx_images(x)[8:]
    write(idx_data / "train-images-idx3-ubyte", huge, packed=True)
    message = jem("train", "--data", idx_data, "--out", tmp_path / "m", expect=1)
    assert str((2**31 - 1) * 64) in message and "its size can hold" in message


def test_python_version_of_cifar(tmp_path):
    write(tmp_path / "data" / "data_batch_1", b"pickle")
    message = jem("train", "--data", tmp_path / "data", "--out", tmp_path / "m", expect=1)
    assert "pickles of Python" in message and "cifar-10-binary.tar.gz" in message
