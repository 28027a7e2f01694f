"""What a configure run refuses, and that it says everything at once: foreign processors, packages that
are missing."""

import os
import shutil

import pytest

from building import SOURCE, attempt


@pytest.mark.skipif(shutil.which("clang") is None, reason="clang is not installed")
@pytest.mark.parametrize("target, words", [
    ("i686-linux-gnu", "32 bits, little-endian"),
    ("armv7-linux-gnueabihf", "32 bits, little-endian"),
    ("s390x-linux-gnu", "64 bits, big-endian"),
    ("powerpc-linux-gnu", "32 bits, big-endian"),
])
def test_targets_that_are_refused(tmp_path, target, words):
    result = attempt("cmake", "-S", SOURCE, "-B", tmp_path, "-DCMAKE_C_COMPILER=clang",
                     f"-DCMAKE_C_COMPILER_TARGET={target}",
                     "-DCMAKE_TRY_COMPILE_TARGET_TYPE=STATIC_LIBRARY")
    assert result.returncode != 0
    assert words in " ".join(result.stderr.split())


def test_all_missing_packages_are_named_at_once(tmp_path):
    env = {**os.environ, "PKG_CONFIG_LIBDIR": "/nowhere", "PKG_CONFIG_PATH": ""}
    result = attempt("cmake", "-S", SOURCE, "-B", tmp_path, "-DCMAKE_IGNORE_PATH=/usr/include",
                     "-DCMAKE_DISABLE_FIND_PACKAGE_ZLIB=ON", "-DJEM_BUILD_TESTS=ON", env=env)
    assert result.returncode != 0
    assert result.stderr.count("CMake Error") == 1
    line = next(line for line in result.stderr.splitlines() if "apt-get install" in line)
    assert {"librandom123-dev", "libjansson-dev", "libpng-dev", "zlib1g-dev", "check",
            "libdnnl-dev"} <= set(line.split())


def test_missing_pkg_config_is_named(tmp_path):
    result = attempt("cmake", "-S", SOURCE, "-B", tmp_path,
                     "-DCMAKE_DISABLE_FIND_PACKAGE_PkgConfig=ON")
    assert result.returncode != 0
    assert "apt-get install pkg-config" in result.stderr
