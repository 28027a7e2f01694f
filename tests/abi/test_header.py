"""jem.h compiles alone, and twice, in every standard that a host may be written in."""

import os
import pathlib
import shutil
import subprocess

import pytest

INCLUDE = pathlib.Path(os.environ["JEM_SOURCE"]) / "include"

C_STANDARDS = ["c99", "c11", "c17"]
CXX_STANDARDS = ["c++11", "c++17"]
BUILDS = [(compiler, standard)
          for compilers, standards in ((("gcc", "clang"), C_STANDARDS),
                                       (("g++", "clang++"), CXX_STANDARDS))
          for compiler in compilers for standard in standards]

SOURCE = """#include <jem/jem.h>
#include <jem/jem.h>
int use(jem_model_config *config);
int use(jem_model_config *config) { return (int)jem_model_config_init(config, sizeof *config); }
"""


def build(compiler, standard, source, *options):
    language = "c++" if "++" in standard else "c"
    return subprocess.run(
        [compiler, f"-std={standard}", "-x", language, "-Wall", "-Wextra", "-Wpedantic",
         "-Wconversion", "-Werror", "-fsyntax-only", f"-I{INCLUDE}", *options, "-"],
        input=source, capture_output=True, text=True)


@pytest.mark.parametrize("compiler,standard", BUILDS)
def test_header_compiles_alone(compiler, standard):
    if shutil.which(compiler) is None:
        pytest.skip(f"{compiler} is not installed")
    result = build(compiler, standard, SOURCE)
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize("compiler,standard", BUILDS)
def test_the_compiler_would_complain(compiler, standard):
    """The positive control: what is no strict C or C++ is refused with these options."""
    if shutil.which(compiler) is None:
        pytest.skip(f"{compiler} is not installed")
    assert build(compiler, standard, SOURCE + "int statement = ({ 1; });").returncode != 0
