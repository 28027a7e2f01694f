"""libjem inside of another project by add_subdirectory(): what that project is and installs stays its
own; what it installs into absolute folders."""

import os

import pytest

from building import CONSUMER, build, compile_consumer, configure, parent, pkg_config, run

# What find_package(OpenMP), find_package(Threads) and project() of CMake itself keep.
FOREIGN = ("OpenMP_", "FIND_PACKAGE_MESSAGE_DETAILS_", "CMAKE_HAVE_LIBC_PTHREAD",
           "CMAKE_PROJECT_VERSION")


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
