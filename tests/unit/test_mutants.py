"""The table of tests/mutants fits the tree: planting is slow, this is not."""

import collections
import os
import pathlib
import sys

import pytest

SOURCE = pathlib.Path(os.environ["JEM_SOURCE"])
sys.path.insert(0, str(SOURCE / "tests/mutants"))
from table import MUTANTS  # noqa: E402  (found by the path above)

ROOMS = ["lib/api", "lib/backend", "lib/base", "lib/detect", "lib/ebm", "lib/io", "lib/kernels",
         "lib/model", "lib/nn", "lib/train", "bindings/cli", "bindings/python"]


def sources_of(test):
    """The files that a test of ctest's may be."""
    name = test.partition("@")[0]
    if name.endswith("_py"):
        return list(SOURCE.glob(f"tests/*/{name.removesuffix('_py')}.py"))
    for end in ("_native", "_onednn"):
        name = name.removesuffix(end)
    return list(SOURCE.glob(f"tests/*/{name}.c"))


@pytest.mark.parametrize("mutant", MUTANTS, ids=[m[0] for m in MUTANTS])
def test_row(mutant):
    _, file, text, replacement, tests = mutant
    assert (SOURCE / file).read_text().count(text) == 1
    assert replacement != text
    for test in tests.split():
        assert len(sources_of(test)) == 1, test


def test_all_rooms_have_some():
    assert len(MUTANTS) >= 60 and len({m[0] for m in MUTANTS}) == len(MUTANTS)
    count = collections.Counter(room for m in MUTANTS for room in ROOMS if m[1].startswith(room))
    assert sum(count.values()) == len(MUTANTS)
    assert all(count[room] >= 3 for room in ROOMS), count
