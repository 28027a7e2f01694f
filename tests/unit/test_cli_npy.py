"""The .npy reader of the jem command against numpy's own reading of the same file.

Rows in any dress must give the very bytes that the same values as plain float32 give.
"""

import gzip
import itertools
import os
import struct

import numpy as np
import pytest
from cli_support import apply, idx, jem, model

ROWS = 6
NUMBERS = ["f2", "f4", "f8", "i1", "i2", "i4", "i8", "u2", "u4", "u8", "b1"]


def rows_of(kind):
    """Rows for a model of 1x8x8 that every type holds exactly, but for the rounding to float32."""
    rng = np.random.default_rng(len(kind) + ord(kind[1]))
    if kind[0] == "f":
        return rng.uniform(-1, 1, (ROWS, 1, 8, 8)).astype(kind)
    low = -1 if kind[0] == "i" else 0
    return rng.integers(low, 2, (ROWS, 1, 8, 8)).astype("?" if kind == "b1" else kind)


def header(text, version=(1, 0), pad=64):
    """Magic, version and a padded dict."""
    wide = version[0] > 1
    lead = 12 if wide else 10
    text = text.encode() + b" " * ((-lead - len(text) - 1) % pad) + b"\n"
    return (b"\x93NUMPY" + bytes(version) + struct.pack("<I" if wide else "<H", len(text)) + text)


@pytest.fixture(scope="module")
def energies(model, tmp_path_factory):
    """The energies of an array or of a file, as the bytes of the result."""
    folder = tmp_path_factory.mktemp("energies")

    def compute(rows):
        path = folder / "x.npy"
        if isinstance(rows, bytes):
            path.write_bytes(rows)
        else:
            np.save(path, rows)
        return apply("energy", model, path, folder / "y.npy").tobytes()
    return compute


@pytest.mark.parametrize("kind", NUMBERS)
def test_types_orders_and_versions(energies, kind, tmp_path):
    rows = rows_of(kind)
    expected = energies(rows.astype(np.float32))
    grid = itertools.product("<>=", [(1, 0), (2, 0), (3, 0)], "CF")
    for i, (order, version, memory) in enumerate(grid):
        if (i // 2 + i) % 2 and kind not in ("f4", "i2"):
            continue  # half of the grid for most types, in either order of memory
        array = np.array(rows, rows.dtype.newbyteorder(order), order=memory)
        with open(tmp_path / "x.npy", "wb") as file:
            np.lib.format.write_array(file, array, version=version)
        content = (tmp_path / "x.npy").read_bytes()
        assert np.array_equal(np.load(tmp_path / "x.npy"), rows)
        assert energies(content) == expected, (order, version, memory)


def test_wide_integers_are_rounded_once(energies):
    """Through a double, 2^60 + 2^36 + 1 would be rounded twice."""
    for kind in ("i8", "u8", "i4"):
        rows = np.zeros((1, 1, 8, 8), kind)
        rows.flat[0] = 16777219 if kind == "i4" else 2**60 + 2**36 + 1
        assert energies(rows) == energies(rows.astype(np.float32)), kind


DESCR = ["f4", "=f4", "|f4", "<f4", "f", "<f"]
DICTS = [
    "{'descr': '%s', 'fortran_order': False, 'shape': (6, 1, 8, 8), }",
    '{"descr": "%s", "fortran_order": False, "shape": (6, 1, 8, 8)}',
    "{'shape': (6, 1, 8, 8), 'descr': '%s', 'fortran_order': False}",
    "{'descr':'%s','fortran_order':False,'shape':(6,1,8,8)}",
    "{u'descr': u'%s', u'fortran_order': False, u'shape': (6L, 1L, 8L, 8L)}",
    " {  'fortran_order' :\tFalse , 'shape' : ( 6 , 1 , 8 , 8 , ) ,\n 'descr' : '%s' , } ",
]


@pytest.mark.parametrize("version", [(1, 0), (2, 0), (3, 0)])
def test_headers_in_any_dress(energies, version):
    rows = rows_of("f4")
    expected = energies(rows)
    for text, descr, pad in zip(DICTS, DESCR, (64, 1, 9000, 16, 64, 60000)):
        assert energies(header(text % descr, version, pad) + rows.tobytes()) == expected, text


def test_flat_rows_in_fortran_order(energies):
    rows = rows_of("f4")
    flat = rows.reshape(ROWS, -1)
    assert energies(np.asfortranarray(flat)) == energies(flat) == energies(rows)


def test_a_file_packed_by_gzip(energies):
    rows = rows_of("f4")
    plain = header(DICTS[0] % "<f4") + rows.tobytes()
    assert energies(gzip.compress(plain)) == energies(rows)


BAD = {
    "complex": ("<c8", "type <c8"),
    "long double": ("<f16", "type <f16"),
    "text": ("<U4", "type <U4"),
    "object": ("|O", "type |O"),
    "date": ("<M8[ns]", "type <M8[ns]"),
    "nothing": ("", "type struct"),
}


@pytest.mark.parametrize("case", BAD)
def test_other_types_are_named(model, case, tmp_path):
    descr, word = BAD[case]
    (tmp_path / "x.npy").write_bytes(header(DICTS[0] % descr) + bytes(6 * 64 * 16))
    assert word in jem("energy", "--model", model, "--in", tmp_path / "x.npy", "--out",
                       tmp_path / "y", expect=1)


@pytest.mark.parametrize("text", [
    "{'descr': '<f4' 'fortran_order': False, 'shape': (6, 1, 8, 8)}",
    "{'descr': '<f4', 'fortran_order': 0, 'shape': (6, 1, 8, 8)}",
    "{'descr': '<f4', 'fortran_order': False, 'shape': [6, 1, 8, 8]}",
    "{'descr': '<f4', 'fortran_order': False, 'shape': (384)}",
    "{'descr': '<f4', 'fortran_order': False, 'shape': (6,, 1, 8, 8)}",
    "{'descr': '<f4', 'fortran_order': False, 'shape': (6, 1, 8, 8)} + {}",
    "{'descr': '<f4', 'fortran_order': False, 'shape': (6, 1, 8, 8)}\0",
    "{\"descr': '<f4', 'fortran_order': False, 'shape': (6, 1, 8, 8)}",
    "{'descr': '<f4', 'fortran_order': False, 'shape': (6, 9223372036854775808)}",
])
def test_headers_that_numpy_refuses_too(model, text, tmp_path):
    path = tmp_path / "x.npy"
    path.write_bytes(header(text) + bytes(6 * 64 * 4))
    with pytest.raises(Exception):  # of many types, by the version of Python
        np.load(path)
    assert "damaged" in jem("energy", "--model", model, "--in", path, "--out", tmp_path / "y",
                            expect=1)


@pytest.mark.parametrize("array, word", [
    (np.full((3, 64), 1e300), "holds 1e+300 in row 0"),
    (np.full((3, 64), -3.5e38), "holds -3.5e+38 in row 0"),
    (np.diag(np.full(64, np.nan))[:3], "NaN or infinity in row 0"),
    (np.full((3, 64), np.inf, np.float16), "NaN or infinity in row 0"),
])
def test_values_that_are_no_floats(model, array, word, tmp_path):
    np.save(tmp_path / "x.npy", array)
    message = jem("score", "--model", model, "--in", tmp_path / "x.npy", "--out", tmp_path / "y",
                  expect=1)
    assert word in message and ("float32" in message) == ("holds NaN" not in message)


# ---- labels -------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [k for k in NUMBERS if k[0] != "f"] + ["u1"])
def test_labels_of_every_width(model, kind, tmp_path):
    rows = rows_of("f4")
    labels = np.arange(ROWS) % (2 if kind == "b1" else 3)
    np.save(tmp_path / "x.npy", rows)
    results = []
    for dtype in ("<i8", kind, f">{kind}", f"={kind}"):
        np.save(tmp_path / "l.npy", np.asfortranarray(labels.astype(dtype)))
        results.append(apply("energy", model, tmp_path / "x.npy", tmp_path / "y.npy", "--labels",
                             tmp_path / "l.npy").tobytes())
    assert len(set(results)) == 1


@pytest.mark.parametrize("labels, word", [
    (np.array([0, 1, 2**64 - 1, 0, 0, 0], "u8"), "label 18446744073709551615 of row 2"),
    (np.array([0, 1, 2**63, 0, 0, 0], ">u8"), "label 9223372036854775808 of row 2"),
    (np.array([0, -1, 0, 0, 0, 0], "i1"), "label -1 of row 1"),
    (np.array([0, 0, 0, 0, 0, -2**63], "i8"), f"label {-2**63} of row 5"),
    (np.array([0, 3, 0, 0, 0, 0], "u2"), "0..2"),
    (np.zeros(6), "y.astype(int)"),
])
def test_labels_out_of_range(model, labels, word, tmp_path):
    np.save(tmp_path / "x.npy", rows_of("f4"))
    np.save(tmp_path / "l.npy", labels)
    assert word in jem("energy", "--model", model, "--in", tmp_path / "x.npy", "--labels",
                       tmp_path / "l.npy", "--out", tmp_path / "y.npy", expect=1)
    assert sorted(os.listdir(tmp_path)) == ["l.npy", "x.npy"]
