"""What the compiler and the linker were asked to guard, as the built files show it."""

import os
import pathlib
import platform
import re
import subprocess

import pytest

BUILD = pathlib.Path(os.environ["JEM_BUILD"])
LIBRARY, COMMAND = os.environ["JEM_LIBRARY"], os.environ.get("JEM_CLI", "")
CACHE = (BUILD / "CMakeCache.txt").read_text()

pytestmark = pytest.mark.skipif("JEM_HARDEN:BOOL=ON" not in CACHE or "JEM_COVERAGE:BOOL=ON" in CACHE,
                                reason="a build that is not hardened")
FILES = [LIBRARY, *filter(None, [COMMAND])]


def tool(*words):
    return subprocess.run(words, check=True, capture_output=True, text=True).stdout


def imports(path):
    return {line.split()[-1].partition("@")[0]
            for line in tool("nm", "-D", "--undefined-only", path).splitlines()}


@pytest.mark.parametrize("path", FILES)
def test_addresses_are_bound_at_once_and_read_only(path):
    assert re.search(r"FLAGS_1\).*\bNOW\b", tool("readelf", "-d", "-W", path))
    assert "GNU_RELRO" in tool("readelf", "-l", "-W", path)


@pytest.mark.parametrize("path", FILES)
def test_stacks_are_guarded(path):
    assert "__stack_chk_fail" in imports(path)


@pytest.mark.skipif("CMAKE_BUILD_TYPE:STRING=Debug" in CACHE, reason="not optimised")
@pytest.mark.parametrize("path", FILES)
def test_copies_are_checked(path):
    assert [name for name in imports(path) if name.endswith("_chk")] != []


@pytest.mark.skipif(not COMMAND, reason="a build without the command")
def test_command_lies_anywhere():
    assert "Position-Independent Executable" in tool("readelf", "-h", COMMAND)


@pytest.mark.skipif(platform.machine() != "x86_64", reason="the instruction of x86-64")
@pytest.mark.parametrize("path", FILES)
def test_jumps_have_marked_targets(path):
    """Each function begins with endbr64, but for a few of the start-up files."""
    assert tool("objdump", "-d", "--no-show-raw-insn", path).count("\tendbr64") > 50


def test_assertions_run_in_test_builds():
    assert "__assert_fail" in imports(LIBRARY)
