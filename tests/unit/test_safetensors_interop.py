"""libjem's safetensors files read by other eyes, and other programs' files read by libjem.

The parser, the writer and the digest here are made from the format's description alone, with json
and numpy. JEM_BUILD is the build folder, whose tests/test_safetensors writes and prints files.
"""
import json
import os
import struct
import subprocess

import numpy as np
import pytest

DTYPES = {"F32": "<f4", "F16": "<f2", "I64": "<i8"}


@pytest.fixture
def program():
    return os.path.join(os.environ["JEM_BUILD"], "tests", "test_safetensors")


@pytest.fixture
def path(tmp_path):
    return str(tmp_path / "x.safetensors")


def load(path):
    raw = open(path, "rb").read()
    (size,) = struct.unpack("<Q", raw[:8])
    header = json.loads(raw[8 : 8 + size])
    assert raw[8 : 8 + size].rstrip(b" ").endswith(b"}")
    data = raw[8 + size :]
    metadata = header.pop("__metadata__", {})
    tensors = {}
    end = 0
    for name, info in header.items():
        begin, stop = info["data_offsets"]
        assert begin == end, "tensors lie in the header's order"
        end = stop
        tensors[name] = np.frombuffer(data[begin:stop], DTYPES[info["dtype"]]).reshape(info["shape"])
    assert end == len(data) and (8 + size) % 64 == 0
    return raw, metadata, tensors


def crc64_xz(data):
    crc = 0xFFFFFFFFFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0xC96C5795D7870F42 if crc & 1 else 0)
    return f"{crc ^ 0xFFFFFFFFFFFFFFFF:016x}"


def test_others_read_ours(program, path):
    subprocess.run([program, "--write", path], check=True)
    raw, metadata, tensors = load(path)
    assert list(metadata) == ["jem.digest.kind", "jem.digest", "jem.arch", "empty", 'a "key"\n', ""]
    assert metadata['a "key"\n'] == 'tab\t, line\n, quote", \\, DEL\x7f, Grüß'
    assert metadata["jem.digest.kind"] == "crc64-xz"
    digest = metadata["jem.digest"]
    assert crc64_xz(raw.replace(digest.encode(), b"0" * 16, 1)) == digest
    assert list(tensors) == ["z.weight", "half", "empty", 'a "quoted" \\name\x01 €', "counters"]
    limits = np.finfo(np.float32)
    expected = np.array([0, -0.0, 1.5, limits.tiny / 4, limits.min, np.inf], np.float32)
    assert tensors["z.weight"].shape == (3, 2)
    assert tensors["z.weight"].tobytes() == expected.tobytes()
    assert tensors["half"].tolist() == [1.0, -2.0, 2.0**-24]
    assert tensors["empty"].shape == (2, 0, 2)
    assert tensors['a "quoted" \\name\x01 €'] == np.float32(0.1)
    assert tensors["counters"].tolist() == [-(2**63), 2**63 - 1]


def save(path, tensors, metadata, ascii_only, pad):
    header, data = {"__metadata__": metadata} if metadata else {}, b""
    for name, (dtype, array) in tensors.items():
        header[name] = {
            "dtype": dtype,
            "shape": list(array.shape),
            "data_offsets": [len(data), len(data) + array.nbytes],
        }
        data += array.tobytes()
    text = json.dumps(header, ensure_ascii=ascii_only).encode()
    text += b" " * (-len(text) % pad)
    open(path, "wb").write(struct.pack("<Q", len(text)) + text + data)


def dump(program, path):
    result = subprocess.run([program, "--dump", path], stdout=subprocess.PIPE, text=True)
    assert result.returncode == 0, result.stdout
    return result.stdout.splitlines()


def test_we_read_others(program, path):
    rng = np.random.default_rng(1)
    f32 = rng.standard_normal((3, 2, 5)).astype("<f4")
    f16 = rng.standard_normal(7).astype("<f2")
    bf16 = (f32.ravel().view("<u4") >> 16).astype("<u2")
    i64 = rng.integers(-(2**63), 2**63 - 1, 4, dtype="<i8")
    tensors = {
        "größe/😀": ("F16", f16),
        "conv.weight": ("F32", f32),
        "bf": ("BF16", bf16),
        "num_batches_tracked": ("I64", i64),
        "none": ("F32", np.zeros((0, 3), "<f4")),
    }
    widened = (bf16.astype("<u4") << 16).view("<f4")
    for ascii_only in (False, True):
        for pad in (1, 8):
            save(path, tensors, {"format": "pt", "ä": "ß"}, ascii_only, pad)
            lines = dump(program, path)
            assert lines[:3] == ["digest 0", "metadata format=pt", "metadata ä=ß"], lines[:3]
            found = {}
            for line in lines[3:]:
                front, _, values = line.partition(" :")
                _, name, *shape = front.split(" ")
                found[name] = ([int(s) for s in shape], values.split())
            assert list(found) == list(tensors)
            for name, wide in (("größe/😀", f16), ("conv.weight", f32), ("bf", widened)):
                assert found[name][0] == list(wide.shape)
                got = [float.fromhex(v) for v in found[name][1]]
                assert got == [float(v) for v in wide.ravel()], name
            assert [int(v) for v in found["num_batches_tracked"][1]] == i64.tolist()
            assert found["none"] == ([0, 3], [])
