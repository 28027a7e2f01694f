"""Names out of files do not steer the terminal: nothing that the command prints holds a control
character, a control of the writing direction or bytes that are no UTF-8.
"""

import json
import struct
import subprocess
import unicodedata

import pytest
from cli_support import JEM, jem

import jem as binding

NAMES = {
    "escape": "\x1b[2J\x1b]0;title\x07",
    "lines": "one\ntwo\rthree\tfour",
    "delete and C1": "a\x7fb\x80c\x9b31md\x9f",
    "directions": "a\u202eb\u202ac\u2066d\u2069e\u200ef\u200fg\u061ch",
    "separators": "a\u2028b\u2029c",
}
KEPT = "Größe €"


def steering(text):
    """The characters of a text that a terminal may act on, but for the ends of lines."""
    return [c for c in text if c != "\n" and unicodedata.category(c) in ("Cc", "Zl", "Zp")
            or c in "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u200e\u200f\u061c"]


def printed(*args):
    result = subprocess.run([JEM, *map(str, args)], capture_output=True, timeout=60)
    return result.stdout.decode() + result.stderr.decode()  # strictly


@pytest.fixture(params=NAMES, ids=lambda name: name.replace(" ", "-"))
def hostile(request):
    return NAMES[request.param]


def test_info(tmp_path, hostile):
    path = tmp_path / "m"
    with binding.Model.create("mlp-4", 3, 3) as model:
        model.class_names = [hostile, KEPT, hostile + "2"]
        model.set_metadata("training", json.dumps({"note": hostile, hostile: KEPT},
                                                  ensure_ascii=False))
        model.save(path)
    text = printed("info", "--model", path)
    assert not steering(text), text
    assert KEPT in text and "?" in text
    assert len(text.splitlines()) == len(printed("info", "--model", path).splitlines())
    as_json = printed("info", "--model", path, "--json")
    assert not steering(as_json)
    report = json.loads(as_json)  # nothing is lost there
    assert report["classes"] == [hostile, KEPT, hostile + "2"]


def test_errors(tmp_path, hostile):
    name = json.dumps(hostile + KEPT, ensure_ascii=False).replace("\x7f", "\\u007f")
    header = f'{{{name}:{{"dtype":"F32","shape":[1],"data_offsets":[0,8]}}}}'.encode()
    path = tmp_path / "m"
    path.write_bytes(struct.pack("<Q", len(header)) + header + bytes(8))
    sentence = jem("info", "--model", path, expect=1)
    assert not steering(sentence) and str(path) in sentence and KEPT in sentence
    named = tmp_path / hostile.replace("/", "")
    sentence = jem("info", "--model", named, expect=1)
    assert not steering(sentence) and "No such file" in sentence
