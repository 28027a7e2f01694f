"""Where libjem is: the Python package `jem` and JEM, the command.

Both are taken from this source tree and its build/, unless the environment variables JEM_LIBRARY
and JEM_CLI name others.
"""

import os
import pathlib
import sys

SOURCE = pathlib.Path(__file__).resolve().parents[2]
BUILD = SOURCE / "build"

os.environ.setdefault("JEM_LIBRARY", str(BUILD / "libjem.so.0"))
sys.path.insert(0, str(SOURCE / "bindings" / "python"))

import jem  # noqa: E402  (found by the path above)

JEM = os.environ.get("JEM_CLI", str(BUILD / "bindings" / "cli" / "jem"))

__all__ = ["JEM", "jem"]
