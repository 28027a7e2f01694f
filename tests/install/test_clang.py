"""Built by clang, with each OpenMP runtime that goes with the rest."""

import shutil

import pytest

from building import SOURCE, attempt, build, build_setting, configure, parent, run

pytestmark = pytest.mark.skipif(shutil.which("clang") is None, reason="clang is not installed")


def test_clang_with_libgomp(tmp_path):
    """With oneDNN where this build has it; the tests under ThreadSanitizer are by clang with libomp."""
    folder = parent(tmp_path / "parent")
    configure(folder, "-DCMAKE_C_COMPILER=clang", "-DJEM_OPENMP=libgomp")
    assert run(build(folder) / "app").startswith("libjem 0.1.0")


@pytest.mark.skipif(build_setting("JEM_WITH_ONEDNN") == "OFF", reason="a build without oneDNN")
def test_clang_with_libomp_beside_onednn_is_refused(tmp_path):
    result = attempt("cmake", "-S", SOURCE, "-B", tmp_path, "-DCMAKE_C_COMPILER=clang",
                     "-DJEM_OPENMP=libomp", "-DJEM_WITH_ONEDNN=ON")
    assert result.returncode != 0
    assert "two OpenMP runtimes in one process" in " ".join(result.stderr.split())
