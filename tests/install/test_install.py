"""The installed tree: complete, movable, and usable through pkg-config (shared, static) and CMake."""

import os
import shutil

import pytest

from building import (BUILD, CONSUMER, SOURCE, attempt, build_setting, compile_consumer,
                      library_dir, pkg_config, run)


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    """Installed to one place, then moved to another."""
    first = tmp_path_factory.mktemp("first") / "prefix"
    run("cmake", "--install", BUILD, "--prefix", first)
    moved = tmp_path_factory.mktemp("elsewhere") / "moved"
    shutil.move(first, moved)
    assert not first.exists()
    return moved


def environment(tree):
    return {**os.environ, "LD_LIBRARY_PATH": str(library_dir(tree)),
            "PKG_CONFIG_PATH": str(library_dir(tree) / "pkgconfig")}


def test_files(tree):
    names = {path.name for path in tree.rglob("*")}
    assert {"jem.h", "libjem.so", "libjem.so.0", "libjem.so.0.1.0", "libjem.a", "jem.pc",
            "jem-static.pc", "LICENSE", "THIRD-PARTY.txt", "jem-config.cmake", "jem-config-version.cmake"} <= names
    installed = next(tree.rglob("jem.h"))
    assert installed.read_bytes() == (SOURCE / "include" / "jem" / "jem.h").read_bytes()
    assert installed.parent.name == "jem" and installed.parent.parent.name == "include"


def test_no_path_of_the_build_is_left(tree):
    for path in [*tree.rglob("*.pc"), *tree.rglob("*.cmake")]:
        text = path.read_text()
        for place in (str(SOURCE), str(BUILD), "first"):
            assert place not in text, f"{path.name} names {place}"


def test_notices(tree):
    documents = tree / "share" / "doc" / "jem"
    assert (documents / "LICENSE").read_bytes() == (SOURCE / "LICENSE").read_bytes()
    assert "D. E. Shaw Research" in (documents / "THIRD-PARTY.txt").read_text()


def dynamic_section(program):
    return run("readelf", "-d", program)


def test_pkg_config_shared(tree, tmp_path):
    program = compile_consumer(tmp_path / "consumer",
                               *pkg_config(library_dir(tree), "--cflags", "--libs", "jem"))
    assert run(program, env=environment(tree)).startswith("libjem 0.1.0")
    assert "libjem.so.0" in dynamic_section(program)


def test_pkg_config_with_run_path(tree, tmp_path):
    """README's line for those who cannot run ldconfig."""
    libraries = library_dir(tree)
    folder = pkg_config(libraries, "--variable=libdir", "jem")[0]
    program = compile_consumer(tmp_path / "consumer", f"-Wl,-rpath,{folder}",
                               *pkg_config(libraries, "--cflags", "--libs", "jem"))
    assert run(program).startswith("libjem 0.1.0")


def test_pkg_config_static(tree, tmp_path):
    """The archive beside the shared library, which "-ljem" would prefer."""
    program = compile_consumer(tmp_path / "consumer",
                               *pkg_config(library_dir(tree), "--cflags", "--libs", "jem-static"))
    assert "libjem" not in dynamic_section(program)
    assert run(program).startswith("libjem 0.1.0")


def test_pkg_config_static_without_shared(tree, tmp_path):
    copy = tmp_path / "static"
    shutil.copytree(tree, copy, symlinks=True)
    libraries = library_dir(copy)
    for library in libraries.glob("libjem.so*"):  # so that -ljem can only be the archive
        library.unlink()
    program = compile_consumer(tmp_path / "consumer",
                               *pkg_config(libraries, "--static", "--cflags", "--libs", "jem"))
    assert "libjem" not in dynamic_section(program)
    assert run(program).startswith("libjem 0.1.0")


@pytest.mark.skipif(build_setting("JEM_WITH_ONEDNN") != "OFF", reason="oneDNN has no archive")
def test_pkg_config_fully_static(tree, tmp_path):
    program = compile_consumer(tmp_path / "consumer", "-static", *pkg_config(
        library_dir(tree), "--static", "--cflags", "--libs", "jem"))
    assert "no dynamic section" in dynamic_section(program)
    assert run(program).startswith("libjem 0.1.0")


def test_version_is_asked_for(tree):
    assert run("pkg-config", "--modversion", "jem", env=environment(tree)).strip() == "0.1.0"


LISTS = """cmake_minimum_required(VERSION 3.18)
project(consumer LANGUAGES {languages})
find_package(jem {version} REQUIRED)
add_executable(consumer "{source}")
target_link_libraries(consumer PRIVATE jem::jem)
"""


def configure(tree, folder, version="0.1", languages="C", source=CONSUMER):
    folder.mkdir(exist_ok=True)
    (folder / "CMakeLists.txt").write_text(
        LISTS.format(version=version, languages=languages, source=source))
    return attempt("cmake", "-S", folder, "-B", folder / "build", f"-DCMAKE_PREFIX_PATH={tree}")


def test_cmake_package(tree, tmp_path):
    result = configure(tree, tmp_path / "c")
    assert result.returncode == 0, result.stderr
    run("cmake", "--build", tmp_path / "c" / "build")
    assert run(tmp_path / "c" / "build" / "consumer").startswith("libjem 0.1.0")


def test_cmake_package_from_cxx(tree, tmp_path):
    source = tmp_path / "consumer.cpp"
    shutil.copy(CONSUMER, source)
    result = configure(tree, tmp_path / "cxx", languages="CXX", source=source)
    assert result.returncode == 0, result.stderr
    run("cmake", "--build", tmp_path / "cxx" / "build")
    assert run(tmp_path / "cxx" / "build" / "consumer").startswith("libjem 0.1.0")


def test_cmake_package_refuses_another_version(tree, tmp_path):
    assert configure(tree, tmp_path / "later", version="0.2").returncode != 0
