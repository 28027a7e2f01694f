"""examples/quickstart.sh with all that is slow replaced: what it is told, what it leaves alone."""

import os
import pathlib
import shutil
import subprocess

SOURCE = pathlib.Path(os.environ["JEM_SOURCE"])
FAKE_JEM = """#!/bin/sh
while [ $# -gt 0 ]; do
    case $1 in
    --out | --png) echo new >"$2" ;;
    --seconds) echo "$2" >>seconds ;;
    esac
    shift
done
"""


def fake_tree(folder):
    """A clone whose build is there already and whose jem only makes its files."""
    for name, text in {".ci/require": "", "bin/cmake": "#!/bin/sh\n",
                       "build/bindings/cli/jem": FAKE_JEM}.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(0o755)
    (folder / "examples").mkdir()
    shutil.copy(SOURCE / "examples/quickstart.sh", folder / "examples")
    return folder


def quickstart(tree, *args, **more):
    environment = {**os.environ, "PATH": f"{tree}/bin:{os.environ['PATH']}", **more}
    return subprocess.run(["sh", tree / "examples/quickstart.sh", *args], env=environment,
                          check=True, capture_output=True, text=True).stdout


def test_an_earlier_model_stays(tmp_path):
    tree, out = fake_tree(tmp_path / "a clone"), tmp_path / "my models"
    quickstart(tree, out)
    assert sorted(os.listdir(out)) == ["model.safetensors", "samples.png"]
    (out / "model.safetensors").write_text("precious")
    text = quickstart(tree, out)
    assert f"Wrote {out}/model-2.safetensors and {out}/samples-2.png" in text
    (out / "model-3.safetensors").write_text("precious")
    quickstart(tree, out)
    assert (out / "samples-4.png").exists() and not (out / "samples-3.png").exists()
    for name in ("model.safetensors", "model-3.safetensors"):
        assert (out / name).read_text() == "precious"


def test_the_length_is_told_and_taken(tmp_path):
    tree = fake_tree(tmp_path / "clone")
    assert "JEM_QUICKSTART_SECONDS" in quickstart(tree, "--help")
    assert not (tree / "seconds").exists()
    assert "90 seconds" in quickstart(tree, tmp_path / "out")
    assert "7 seconds" in quickstart(tree, tmp_path / "out", JEM_QUICKSTART_SECONDS="7")
    assert (tree / "seconds").read_text() == "90\n7\n"
