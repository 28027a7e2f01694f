"""The library as the dynamic linker sees it: exports, SONAME, flags, what it asks of others."""

import os
import pathlib
import re
import subprocess

LIBRARY = os.environ["JEM_LIBRARY"]
SOURCE = pathlib.Path(os.environ["JEM_SOURCE"])
SYMBOLS = SOURCE / "tests" / "abi" / "symbols.txt"

# A library that prints, exits or changes the process imports one of these. (getenv and
# omp_set_dynamic have one place, base/openmp.c: test_layering.)
FORBIDDEN = """abort exit _exit _Exit quick_exit secure_getenv setenv putenv setlocale signal
sigaction system popen fork chdir fchdir umask srand rand random strtok localtime printf __printf_chk
puts putchar vprintf __vprintf_chk perror stdout stderr fesetround fesetenv feenableexcept
set_fast_math omp_set_nested omp_set_schedule""".split()

NEEDED = {"libdnnl", "libgomp", "libm", "libc", "libpthread", "ld-linux-x86-64",
          "ld-linux-aarch64"}


def tool(*command):
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def exported():
    """{name: version} of the defined dynamic symbols."""
    found = {}
    for line in tool("nm", "-D", "--defined-only", "--with-symbol-versions", LIBRARY).splitlines():
        name, _, version = line.split()[-1].partition("@")
        if line.split()[-2] != "A":  # the version node itself
            found[name] = version.lstrip("@")
    return found


def imported():
    return [line.split()[-1].partition("@")[::2]
            for line in tool("nm", "-D", "--undefined-only", "--with-symbol-versions",
                             LIBRARY).splitlines()]


def declared():
    header = (SOURCE / "include" / "jem" / "jem.h").read_text()
    code = re.sub(r"/\*.*?\*/", "", header, flags=re.S)
    return set(re.findall(r"^JEM_API[^;(]*?\b(jem_\w+)\s*\(", code, flags=re.M))


def listed():
    return SYMBOLS.read_text().split()


def test_list_is_sorted_and_has_no_doubles():
    assert listed() == sorted(set(listed()))


def test_exports_are_the_list():
    assert sorted(exported()) == listed()


def test_list_is_the_header():
    assert declared() == set(listed())


def test_versions():
    assert set(exported().values()) == {"JEM_0"}


def test_dynamic_section():
    section = tool("readelf", "-d", "-W", LIBRARY)
    assert "Library soname: [libjem.so.0]" in section
    assert re.search(r"FLAGS_1.*NODELETE", section)
    assert "TEXTREL" not in section
    assert "RPATH" not in section or "RUNPATH" in section
    needed = {re.match(r"[^.]+", name).group()
              for name in re.findall(r"NEEDED.*\[(.+)\]", section)}
    assert needed <= NEEDED


def test_stack_is_not_executable():
    line = next(line for line in tool("readelf", "-l", "-W", LIBRARY).splitlines()
                if "GNU_STACK" in line)
    assert line.split()[6] == "RW"


def test_imports_come_from_known_libraries():
    weak = {"__gmon_start__", "_ITM_deregisterTMCloneTable", "_ITM_registerTMCloneTable"}
    for name, version in imported():
        known = (version.lstrip("@").startswith(("GLIBC", "GOMP", "OMP", "OACC"))
                 or name.startswith("dnnl_") or name in weak)
        assert known, f"{name}@{version}"


def test_nothing_forbidden_is_imported():
    assert [name for name, _ in imported() if name in FORBIDDEN] == []


def test_no_fast_math_start_up_code():
    """crtfastmath.o sets FTZ in the host at dlopen; it defines set_fast_math."""
    assert "set_fast_math" not in tool("nm", LIBRARY)
