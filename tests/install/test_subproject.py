"""libjem inside of another project by add_subdirectory(): what that project is and installs stays its
own; with absolute installation folders; built by clang."""

import os
import shutil

import pytest

from building import CONSUMER, SOURCE, attempt, build_setting, compile_consumer, pkg_config, run

PARENT = """cmake_minimum_required(VERSION 3.18)
project(parent LANGUAGES C)
get_cmake_property(before CACHE_VARIABLES)
set(flags "${{CMAKE_C_FLAGS}}")
add_subdirectory("{source}" jem)
get_cmake_property(after CACHE_VARIABLES)
list(REMOVE_ITEM after ${{before}})
if(NOT flags STREQUAL CMAKE_C_FLAGS OR CMAKE_C_STANDARD OR CMAKE_POSITION_INDEPENDENT_CODE)
    message(SEND_ERROR "the parent's flags have changed")
endif()
get_property(targets DIRECTORY "{source}" PROPERTY BUILDSYSTEM_TARGETS)
get_property(tests DIRECTORY "{source}" PROPERTY TESTS)
message(STATUS "type=[${{CMAKE_BUILD_TYPE}}]")
message(STATUS "cached=[${{after}}]")
message(STATUS "targets=[${{targets}}]")
message(STATUS "tests=[${{tests}}]")
add_executable(app "{consumer}")
target_link_libraries(app PRIVATE jem::jem)
add_executable(static_app "{consumer}")
target_link_libraries(static_app PRIVATE jem::jem_static)
install(TARGETS app RUNTIME DESTINATION bin)
"""

# What find_package(OpenMP), find_package(Threads) and project() of CMake itself keep.
FOREIGN = ("OpenMP_", "FIND_PACKAGE_MESSAGE_DETAILS_", "CMAKE_HAVE_LIBC_PTHREAD",
           "CMAKE_PROJECT_VERSION")


def parent(folder):
    folder.mkdir()
    (folder / "CMakeLists.txt").write_text(PARENT.format(source=SOURCE, consumer=CONSUMER))
    return folder


def configure(folder, *options):
    """Into folder/build. Not optimised, which is quickest."""
    return run("cmake", "-S", folder, "-B", folder / "build", "-DCMAKE_C_FLAGS=-O0",
               f"-DJEM_WITH_ONEDNN={build_setting('JEM_WITH_ONEDNN')}", *options)


def build(folder):
    text = run("cmake", "--build", folder / "build", "--parallel", "2")
    assert "warning:" not in text
    return folder / "build"


def said(text, name):
    """The list that the parent's CMakeLists.txt has printed."""
    return [word for word in text.partition(f"{name}=[")[2].partition("]")[0].split(";") if word]


@pytest.fixture(scope="module")
def embedded(tmp_path_factory):
    """A parent that is built and installed and says nothing of libjem: {name: what}."""
    top = tmp_path_factory.mktemp("embedded")
    folder = parent(top / "parent")
    text = configure(folder, "-DCMAKE_C_COMPILER=gcc", "-DCMAKE_DISABLE_FIND_PACKAGE_PkgConfig=ON",
                     "-DCMAKE_DISABLE_FIND_PACKAGE_ZLIB=ON")
    outputs = {name: run(build(folder) / name) for name in ("app", "static_app")}
    run("cmake", "--install", folder / "build", "--prefix", top / "tree")
    return {"folder": folder, "text": text, "outputs": outputs, "tree": top / "tree"}


@pytest.fixture(scope="module")
def absolute(embedded, tmp_path_factory):
    """{folder: absolute path} of what the same parent installs of libjem, when it asks for that."""
    top = tmp_path_factory.mktemp("absolute")
    places = {kind: top / "tree" / kind.lower() for kind in ("LIB", "INCLUDE", "BIN")}
    configure(embedded["folder"], "-DJEM_INSTALL=ON", "-DJEM_BUILD_CLI=ON",
              "-DCMAKE_DISABLE_FIND_PACKAGE_PkgConfig=OFF",
              "-DCMAKE_DISABLE_FIND_PACKAGE_ZLIB=OFF", f"-DCMAKE_INSTALL_PREFIX={top / 'prefix'}",
              *(f"-DCMAKE_INSTALL_{kind}DIR={path}" for kind, path in places.items()))
    run("cmake", "--install", build(embedded["folder"]))
    return places


def test_parent_stays_as_it_is(embedded):
    text = embedded["text"]
    assert "type=[]" in text
    assert said(text, "tests") == []
    assert "jem" in said(text, "targets") and "jem_cli" not in said(text, "targets")
    assert [name for name in said(text, "targets") if not name.startswith("jem")] == []
    assert [name for name in said(text, "cached")
            if not name.upper().startswith(("JEM_", *map(str.upper, FOREIGN)))] == []


def test_parent_runs(embedded):
    for name, output in embedded["outputs"].items():
        assert output.startswith("libjem 0.1.0"), name


def test_parent_installs_only_its_own(embedded):
    assert [path.name for path in embedded["tree"].rglob("*") if path.is_file()] == ["app"]


def test_command_in_absolute_folders(absolute):
    env = {key: value for key, value in os.environ.items() if key != "LD_LIBRARY_PATH"}
    assert "0.1.0" in run(absolute["BIN"] / "jem", "--version", env=env)


@pytest.mark.parametrize("module", ["jem", "jem-static"])
def test_pkg_config_in_absolute_folders(absolute, tmp_path, module):
    program = compile_consumer(tmp_path / "consumer", f"-Wl,-rpath,{absolute['LIB']}",
                               *pkg_config(absolute["LIB"], "--cflags", "--libs", module))
    assert run(program).startswith("libjem 0.1.0")


def test_cmake_package_in_absolute_folders(absolute, tmp_path):
    (tmp_path / "CMakeLists.txt").write_text(
        f'cmake_minimum_required(VERSION 3.18)\nproject(user C)\nfind_package(jem REQUIRED)\n'
        f'add_executable(app "{CONSUMER}")\ntarget_link_libraries(app PRIVATE jem::jem)\n')
    run("cmake", "-S", tmp_path, "-B", tmp_path / "b", f"-Djem_DIR={absolute['LIB']}/cmake/jem")
    run("cmake", "--build", tmp_path / "b")
    assert run(tmp_path / "b" / "app").startswith("libjem 0.1.0")


needs_clang = pytest.mark.skipif(shutil.which("clang") is None, reason="clang is not installed")


@needs_clang
def test_clang_with_libgomp(tmp_path):
    """With oneDNN where this build has it; the tests under ThreadSanitizer are by clang with libomp."""
    folder = parent(tmp_path / "parent")
    configure(folder, "-DCMAKE_C_COMPILER=clang", "-DJEM_OPENMP=libgomp")
    assert run(build(folder) / "app").startswith("libjem 0.1.0")


@needs_clang
def test_clang_with_libomp_beside_onednn_is_refused(tmp_path):
    result = attempt("cmake", "-S", SOURCE, "-B", tmp_path, "-DCMAKE_C_COMPILER=clang",
                     "-DJEM_OPENMP=libomp", "-DJEM_WITH_ONEDNN=ON")
    assert result.returncode != 0
    assert "two OpenMP" in result.stderr or "oneDNN" in result.stderr


@needs_clang
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
