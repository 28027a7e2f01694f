"""What the tests of installed and embedded trees share: commands that must succeed, the source."""

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
