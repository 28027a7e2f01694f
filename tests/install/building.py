"""What the tests of installed and embedded trees share: commands that must succeed, consumers, a
parent project that adds libjem and prints what that has changed."""

import os
import pathlib
import subprocess

SOURCE = pathlib.Path(os.environ["JEM_SOURCE"])
BUILD = pathlib.Path(os.environ["JEM_BUILD"])
CONSUMER = SOURCE / "tests" / "install" / "consumer.c"


def attempt(*command, **options):
    return subprocess.run([str(word) for word in command], capture_output=True, text=True, **options)


def run(*command, **options):
    result = attempt(*command, **options)
    assert result.returncode == 0, f"{command}\n{result.stdout}\n{result.stderr}"
    return result.stdout


def build_setting(name):
    """A cache variable of the build under test."""
    lines = (BUILD / "CMakeCache.txt").read_text().splitlines()
    return next(line.partition("=")[2] for line in lines if line.startswith(f"{name}:"))


def library_dir(tree):
    return next(tree.rglob("libjem.so")).parent


def pkg_config(libraries, *words):
    env = {**os.environ, "PKG_CONFIG_PATH": str(libraries / "pkgconfig")}
    return run("pkg-config", *words, env=env).split()


def compile_consumer(program, *words):
    run("gcc", "-std=c99", "-Wall", "-Wextra", "-Werror", CONSUMER, "-o", program, *words)
    return program


# ---- a parent project ---------------------------------------------------------------------------

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
