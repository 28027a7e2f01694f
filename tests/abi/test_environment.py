"""Every exported function that returns a status has the library's floating-point environment."""

import os
import pathlib
import re

API = pathlib.Path(os.environ["JEM_SOURCE"]) / "lib" / "api"
FUNCTION = re.compile(r"JEM_API jem_status (\w+)\([^;{]*\)\n\{\n(.*)\n")


def test_first_statement():
    found = [match for path in sorted(API.glob("*.c")) for match in FUNCTION.findall(path.read_text())]
    assert len(found) > 50
    assert [name for name, first in found if first.strip() != "JEMI_OWN_ENVIRONMENT;"] == []
