"""Includes go downward only, no files include or call each other in a circle, and what belongs to
one room stays there.

The rooms and their order are those of lib/README.md. Each rule is seen to catch a planted violation.
"""

import os
import pathlib
import re
import shutil
import subprocess

import pytest

SOURCE = pathlib.Path(os.environ["JEM_SOURCE"])

# What each room may include besides itself and jem.h.
BELOW_BACKEND = {"nn", "kernels", "base"}
BELOW_MODEL = {"io", "backend"} | BELOW_BACKEND
MAY_INCLUDE = {
    "base": set(),
    "kernels": {"kernels/simd", "base"},
    "kernels/simd": {"kernels", "base"},
    "io": {"base"},
    "nn": {"kernels", "base"},
    "backend": BELOW_BACKEND,
    "backend/rows": {"backend", "nn", "base"},
    "backend/ref": {"backend/rows", "backend"} | BELOW_BACKEND,
    "backend/cpu": {"backend/rows", "backend"} | BELOW_BACKEND,
    "backend/onednn": {"backend/cpu", "backend"} | BELOW_BACKEND,
    "model": BELOW_MODEL,
    "ebm": {"model"} | BELOW_MODEL,
    "train": {"ebm", "model"} | BELOW_MODEL,
    "detect": {"train", "ebm", "model"} | BELOW_MODEL,
    "api": {"detect", "train", "ebm", "model"} | BELOW_MODEL,
}

# Words of code, comments and strings aside, and where alone they may stand.
ONLY_IN = [
    (r"\b(malloc|calloc|realloc|aligned_alloc|posix_memalign|free|strdup|strndup)\s*\(",
     ["base/memory.c"]),
    (r"\bomp_set_\w+|\bomp_pause_resource\w*", ["base/openmp.c"]),
    (r"\bdnnl_\w+", ["backend/onednn/"]),
    (r"\b(printf|fprintf|puts|perror|exit|abort|setlocale|signal|chdir|umask)\s*\(", []),
    # The C library's have other bits on other machines; base/elementary.h has some that have not.
    (r"\b(exp2?|expm1|log(2|10|1p)?|pow|cbrt|hypot|(a?(sin|cos|tan)|atan2)h?|erfc?|l?gamma)f?\s*\(",
     ["backend/ref/"]),
    (r"\bgetenv\s*\(", ["base/openmp.c"]), # of the stacks that libgomp will ask for
]
HEADERS_ONLY_IN = [
    (r"^(oneapi/)?dnnl", ["backend/onednn/"]),
    (r"^omp\.h$", ["base/openmp.c"]),
    (r"^Random123/", ["base/", "kernels/"]),
]


def files(lib):
    return sorted(path for path in lib.rglob("*") if path.suffix in (".c", ".h"))


def room_of(name):
    """The room of a path relative to lib/."""
    return name.rpartition("/")[0]


def code_of(text):
    """Without comments and the insides of strings and characters."""
    pattern = r"/\*.*?\*/|//[^\n]*|\"(?:\\.|[^\"\\\n])*\"|'(?:\\.|[^'\\\n])*'"
    return re.sub(pattern, lambda match: '""' if match.group()[0] in "\"'" else " ", text,
                  flags=re.S)


def include_faults(name, text):
    room = room_of(name)
    if room not in MAY_INCLUDE:
        yield f"{name}: the room '{room}' is not in the plan"
        return
    for own, header in re.findall(r'^\s*#\s*include\s*(["<])([^">]+)', text, flags=re.M):
        if own == '"':
            if room_of(header) not in MAY_INCLUDE[room] | {room}:
                yield f"{name} includes {header}"
            continue
        for pattern, places in HEADERS_ONLY_IN:
            if re.search(pattern, header) and not name.startswith(tuple(places)):
                yield f"{name} includes <{header}>"


def word_faults(name, text):
    for pattern, places in ONLY_IN:
        for match in re.finditer(pattern, code_of(text)):
            if not name.startswith(tuple(places)):
                yield f"{name} says {match.group()}"


def faults(lib):
    found = []
    for path in files(lib):
        name = path.relative_to(lib).as_posix()
        text = path.read_text()
        found += [*include_faults(name, text), *word_faults(name, text)]
    return found


def test_lib_keeps_to_the_plan():
    assert len(files(SOURCE / "lib")) > 50
    assert faults(SOURCE / "lib") == []


def test_api_alone_exports():
    for path in files(SOURCE / "lib"):
        name = path.relative_to(SOURCE / "lib").as_posix()
        if not name.startswith("api/"):
            assert not re.search(r"^JEM_API\b", path.read_text(), flags=re.M), name


# ---- circles -----------------------------------------------------------------------------------

# Objects that the build has made of lib/, whatever they are linked into.
OBJECTS = pathlib.Path(os.environ["JEM_BUILD"]) / "CMakeFiles"


def node_of(name):
    """foo.c and its foo.h are one; a header alone is one too."""
    return name.rpartition(".")[0]


def includes(lib):
    """(who, whom) for all of lib/'s own headers."""
    for path in files(lib):
        name = path.relative_to(lib).as_posix()
        for header in re.findall(r'^\s*#\s*include\s*"([^"]+)', path.read_text(), flags=re.M):
            yield node_of(name), node_of(header)


def uses(objects, lib):
    """(who, whom) for functions and data of lib/'s objects, but for those of files that are gone."""
    defined, taken = {}, []
    paths = sorted(objects.rglob("*.c.o"))
    lines = subprocess.run(["nm", "-A", *paths], check=True, capture_output=True, text=True).stdout
    for line in lines.splitlines():
        match = re.search(r"/lib/([^:]+)\.c\.o:.*\b(\w) (\w+)$", line)
        if match and (lib / f"{match[1]}.c").exists():
            who, kind, name = match.groups()
            if kind == "U":
                taken.append((who, name))
            elif kind in "TDRBV":
                defined[name] = who
    return {(who, defined[name]) for who, name in taken if name in defined}


def same_room(who, whom):
    """Files of simd/ are part of the kernels. Between rooms the rooms' order is the rule."""
    return room_of(who).removesuffix("/simd") == room_of(whom).removesuffix("/simd")


def circles(edges):
    """Sets of files of one room each of which reaches all others of its set."""
    below = {}
    for who, whom in edges:
        if who != whom and same_room(who, whom):
            below.setdefault(who, set()).add(whom)
            below.setdefault(whom, set())

    def reached(node):
        seen, todo = set(), [node]
        while todo:
            more = below[todo.pop()] - seen
            seen |= more
            todo += more
        return seen

    reach = {node: reached(node) for node in below}
    found = {frozenset(other for other in reach[node] if node in reach[other])
             for node in below if node in reach[node]}
    return sorted(sorted(circle) for circle in found)


def test_no_file_depends_on_itself():
    used = uses(OBJECTS, SOURCE / "lib")
    assert len(used) > 300, "nothing has been built there"
    assert circles([*includes(SOURCE / "lib"), *used]) == []


# (file, header that it includes, files of the circle that this closes)
CIRCLES = [
    ("base/status.h", "base/config.h", ["base/config", "base/status"]),
    ("kernels/layout.h", "kernels/kept.h", ["kernels/kept", "kernels/layout"]),
    ("nn/graph.h", "nn/build.h", ["nn/build", "nn/graph"]),
    ("train/optimizer_state.h", "train/guard.h", ["train/guard", "train/snapshot"]),
    ("kernels/lanes.h", "kernels/simd/v16.h", ["kernels/lanes", "kernels/simd/v16"]),
    ("backend/cpu/plan.h", "backend/cpu/ops.h", ["backend/cpu/ops", "backend/cpu/plan"]),
]


@pytest.mark.parametrize("name,header,circle", CIRCLES)
def test_planted_circle(name, header, circle):
    found = circles([*includes(SOURCE / "lib"), (node_of(name), node_of(header))])
    assert len(found) == 1 and set(circle) <= set(found[0])


def test_calls_make_circles_too(tmp_path):
    """Two objects that include nothing of each other."""
    room = tmp_path / "lib/room"
    room.mkdir(parents=True)
    for name, code in (("a", "void b(void); void a(void) { b(); }"),
                       ("b", "void a(void); void b(void) { a(); }"),
                       ("c", "void a(void); void c(void) { a(); }")):
        (room / f"{name}.c").write_text(code)
        subprocess.run(["cc", "-c", room / f"{name}.c", "-o", room / f"{name}.c.o"], check=True)
    used = uses(tmp_path, tmp_path / "lib")
    assert ("room/c", "room/a") in used and circles(used) == [["room/a", "room/b"]]


# ---- planted faults ----------------------------------------------------------------------------

# (file, line added, words of the fault)
PLANTED = [
    ("base/config.c", '#include "api/check.h"', "base/config.c includes api/check.h"),
    ("base/text.c", '#include "kernels/noise.h"', "includes kernels/noise.h"),
    ("kernels/noise.c", '#include "nn/graph.h"', "includes nn/graph.h"),
    ("io/file.c", '#include "model/model.h"', "includes model/model.h"),
    ("nn/graph.c", '#include "backend/backend.h"', "includes backend/backend.h"),
    ("backend/ref/conv.c", '  #  include "model/runner.h"', "includes model/runner.h"),
    ("backend/backend.c", '#include "backend/ref/ref.h"', "includes backend/ref/ref.h"),
    ("model/runner.c", '#include "ebm/density.h"', "includes ebm/density.h"),
    ("ebm/density.c", '#include "train/step.h"', "includes train/step.h"),
    ("train/step.c", '#include "detect/score.h"', "includes detect/score.h"),
    ("detect/score.c", '#include "api/check.h"', "includes api/check.h"),
    ("ebm/sampler.c", '#include "backend/ref/ref.h"', "includes backend/ref/ref.h"),
    ("model/model.c", "#include <oneapi/dnnl/dnnl.h>", "includes <oneapi/dnnl/dnnl.h>"),
    ("ebm/langevin.c", "#include <omp.h>", "includes <omp.h>"),
    ("api/model.c", "static dnnl_engine_t engine;", "says dnnl_engine_t"),
    ("ebm/starts.c", "static void f(void *p) { free(p); }", "says free("),
    ("model/input.c", "static void *f(void) { return malloc (1); }", "says malloc ("),
    ("train/step.c", "static void f(void) { omp_set_num_threads(1); }", "omp_set_num_threads"),
    ("io/file.c", "static void f(void) { exit(1); }", "says exit("),
    ("ebm/density.c", "static double f(double x) { return exp(x); }", "says exp("),
    ("newroom/file.c", "int x;", "room 'newroom'"),
]


@pytest.mark.parametrize("name,line,fault", PLANTED)
def test_planted(tmp_path, name, line, fault):
    lib = tmp_path / "lib"
    shutil.copytree(SOURCE / "lib", lib)
    before = len(faults(lib))
    path = lib / name
    path.parent.mkdir(exist_ok=True)
    with path.open("a") as file:
        file.write(f"\n/* malloc(1) */ // free(x)\n{line}\n")
    found = faults(lib)
    assert len(found) == before + 1
    assert any(fault in one for one in found)
