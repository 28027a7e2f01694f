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
    command = [sys.executable, PROGRAM, "--seeds", "1", "--steps", "5", "--picture", picture]
    ran = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=600)
    assert ran.returncode == 0, ran.stderr

    for name in ("rings", "moons"):
        table = re.search(rf"^{name} +JEM +supervised\n(.+\n)+", ran.stdout, re.MULTILINE)[0]
        rows = [re.search(rf"^{row}{PERCENT * 2}$", table, re.MULTILINE).groups()
                for row in ("seed 0", "mean", "lowest", "highest")]
        assert rows[1:] == rows[:1] * 3  # of one seed
        assert all(0 <= float(percent) <= 100 for percent in rows[0])

    assert picture.read_bytes().startswith(b"\x89PNG\r\n\x1a\n")
    assert [path.name for path in tmp_path.iterdir()] == ["picture.png"]
