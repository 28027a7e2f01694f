"""examples/rings runs from end to end: a table with every seed, and a picture. How good its
accuracies are is for a full run to show; here the nets are hardly trained."""

import os
import pathlib
import re
import subprocess
import sys

import pytest

pytest.importorskip("matplotlib", reason="matplotlib (python3-matplotlib) is not installed")

PROGRAM = pathlib.Path(os.environ["JEM_SOURCE"]) / "examples/rings/rings.py"
PERCENT = r" +(\d+\.\d) %"


def test_table_and_picture(tmp_path):
    picture = tmp_path / "picture.png"
    command = [sys.executable, PROGRAM, "--seeds", "1", "--steps", "20", "--picture", picture]
    ran = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=600)
    assert ran.returncode == 0, ran.stderr

    for name in ("rings", "moons"):
        table = re.search(rf"^{name} +JEM +supervised\n(.+\n)+", ran.stdout, re.MULTILINE)[0]
        for row in ("seed 0", "mean", "lowest", "highest"):
            jem, supervised = re.search(rf"^{row}{PERCENT * 2}$", table, re.MULTILINE).groups()
            # Twenty steps are enough to beat a coin, or the labels are not what is learnt.
            assert 40 < float(jem) <= 100 and 50 < float(supervised) <= 100

    assert picture.read_bytes().startswith(b"\x89PNG\r\n\x1a\n")
    assert [path.name for path in tmp_path.iterdir()] == ["picture.png"]
