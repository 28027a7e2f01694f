"""The files that the jem command is given: links, pipes, "-", files named twice, what survives.

What must not be lost is looked at after each refusal: inputs, models, logs.
"""

import contextlib
import json
import os
import pathlib
import re
import resource
import signal
import socket
import stat
import subprocess
import time

import numpy as np
import pytest
from cli_support import JEM, apply, idx, jem, jem_of_anybody, model, train, write_npy, x_test  # noqa: F401


def command(data, out, *options, steps=3):
    return ["train", "--data", data, "--arch", "mlp-4", "--steps", steps, "--batch", 8, "--chains", 4,
            "--capacity", 8, "--sgld-steps", 1, "--out", out, *options]


def shell(text, **names):
    """Runs a script; its variables are the names, in which spaces do not separate."""
    env = dict(os.environ, JEM=JEM, **{key: str(value) for key, value in names.items()})
    return subprocess.run(["bash", "-c", "IFS=; " + text], env=env, capture_output=True, timeout=60, check=False)


# ---- links, devices, pipes ----------------------------------------------------------------------


@pytest.fixture
def scores(model, x_test, tmp_path):
    """The bytes that `score` writes to a plain file."""
    jem("score", "--model", model, "--in", x_test[0], "--out", tmp_path / "plain")
    content = (tmp_path / "plain").read_bytes()
    (tmp_path / "plain").unlink()
    return content


EVAL = ["eval", "--ood", "uniform", "--limit", 9]
OUTPUTS = {
    "score": lambda m, x, i, out: ["score", "--model", m, "--in", x, "--out", out],
    "sample": lambda m, x, i, out: ["sample", "--model", m, "--n", 2, "--steps", 1, "--out", out],
    "png": lambda m, x, i, out: ["sample", "--model", m, "--n", 2, "--steps", 1, "--png", out],
    "page": lambda m, x, i, out: [*EVAL, "--model", m, "--data", i, "--html", out],
    "picture": lambda m, x, i, out: [*EVAL, "--model", m, "--data", i, "--png", out],
    "train": lambda m, x, i, out: command(i, out),
    "checkpoint": lambda m, x, i, out: command(i, "m", "--checkpoint", out),
    "log": lambda m, x, i, out: command(i, "m", "--log", out),
}


@pytest.mark.parametrize("kind", OUTPUTS)
def test_links_are_followed(kind, model, x_test, idx, tmp_path):
    """Also one that dangles; a replaced file keeps its mode."""
    (tmp_path / "link").symlink_to("second")
    (tmp_path / "second").symlink_to("away/target")
    (tmp_path / "away").mkdir()
    args = OUTPUTS[kind](model, x_test[0], idx, tmp_path / "link")
    jem(*args, cwd=tmp_path)
    target = tmp_path / "away" / "target"
    written = target.read_bytes()
    assert len(written) > 100
    target.chmod(0o640)
    if kind == "checkpoint":
        args += ["--resume"]
    jem(*args, cwd=tmp_path)
    assert (tmp_path / "link").is_symlink() and (tmp_path / "second").is_symlink()
    assert stat.S_IMODE(target.stat().st_mode) == 0o640
    kept = ["target", "target.prev"] if kind == "checkpoint" else ["target"]
    assert sorted(os.listdir(tmp_path / "away")) == kept
    if kind not in ("log", "checkpoint"):  # these tell of time
        assert target.read_bytes() == written


@pytest.mark.parametrize("kind", ["score", "sample", "png", "page", "picture", "train",
                                  "log"])
def test_pipes_and_standard_output(kind, model, x_test, idx, tmp_path):
    def args(out):
        return [JEM, *map(str, OUTPUTS[kind](model, x_test[0], idx, out))]

    def content(written):  # a log tells of time
        return [json.loads(line)["step"] for line in written.splitlines()] \
            if kind == "log" else written

    subprocess.run(args(tmp_path / "plain"), capture_output=True, cwd=tmp_path, check=True)
    plain = content((tmp_path / "plain").read_bytes())
    for out in ("-", "/dev/stdout", "/proc/self/fd/1"):
        result = subprocess.run(args(out), capture_output=True, cwd=tmp_path, check=True)
        assert content(result.stdout) == plain, out
    os.mkfifo(tmp_path / "fifo")
    with subprocess.Popen(args(tmp_path / "fifo"), stdout=subprocess.DEVNULL, cwd=tmp_path,
                          stderr=subprocess.DEVNULL) as process:
        assert content((tmp_path / "fifo").read_bytes()) == plain
        assert process.wait(60) == 0
    assert stat.S_ISFIFO((tmp_path / "fifo").stat().st_mode)


def test_standard_output_is_written_where_it_stands(model, x_test, scores, tmp_path):
    done = shell('(echo before; $JEM score --model $M --in $X --out -; echo after) > $OUT',
                 M=model, X=x_test[0], OUT=tmp_path / "out")
    assert done.returncode == 0
    assert (tmp_path / "out").read_bytes() == b"before\n" + scores + b"after\n"
    jem("score", "--model", model, "--in", x_test[0], "--out", "/dev/null")
    assert stat.S_ISCHR(os.stat("/dev/null").st_mode)


def test_standard_input(model, x_test, scores, tmp_path):
    for text in ("cat $X | $JEM score --model $M --in - --out -",
                 "$JEM score --model $M --in - --out - < $X",
                 "gzip -c $X | $JEM score --model $M --in - --out -",
                 "$JEM score --model $M --in <(cat $X) --out -",
                 "cat $M | $JEM score --model - --in $X --out -"):
        done = shell(text, M=model, X=x_test[0])
        assert done.returncode == 0, done.stderr
        assert done.stdout == scores, text
    done = shell("head -c 1000 $X | $JEM score --model $M --in - --out $O", M=model, X=x_test[0],
                 O=tmp_path / "o")
    assert done.returncode == 1 and b"truncated" in done.stderr
    assert os.listdir(tmp_path) == []


def test_standard_input_that_is_a_socket(model, x_test, scores):
    """As node and inetd give it; it has no name by which it could be opened."""
    ours, theirs = socket.socketpair()
    args = [JEM, "score", "--model", model, "--in", "-", "--out", "-"]
    with subprocess.Popen(args, stdin=theirs, stdout=subprocess.PIPE) as process:
        theirs.close()
        ours.sendall(pathlib.Path(x_test[0]).read_bytes())
        ours.close()
        assert process.communicate(timeout=60)[0] == scores


@pytest.mark.skipif(os.geteuid() != 0, reason="needs a second user")
@pytest.mark.parametrize("kind", ["file", "pipe"])
def test_standard_input_of_another_user(kind, model, x_test, scores, tmp_path, jem_of_anybody):
    """What root opened for a user who may not open it."""
    private = tmp_path / "private.npy"
    private.write_bytes(pathlib.Path(x_test[0]).read_bytes())
    private.chmod(0o600)
    with open(private, "rb") as file, open(model, "rb") as model_file:
        feeder = subprocess.Popen(["cat"], stdin=file, stdout=subprocess.PIPE) if kind == "pipe" else None
        descriptor = f"/dev/fd/{model_file.fileno()}"
        done = jem_of_anybody("score", "--model", descriptor, "--in", "-", "--out", "-",
                              stdin=feeder.stdout if feeder else file, pass_fds=[model_file.fileno()])
        if feeder:
            feeder.stdout.close()
            feeder.wait()
    assert done.returncode == 0, done.stderr
    assert done.stdout == scores


@pytest.mark.parametrize("change", [b'"jem.classes":"2"', b'"jem.classes":"7"', b'"jem.format":"9"'])
def test_a_pipe_that_never_ends(change, model):
    """Also where the header, of which the digest is looked at then, already says no."""
    key = change.partition(b":")[0]
    content = re.sub(key + b':"[0-9]+"', change, pathlib.Path(model).read_bytes())
    assert change in content
    with subprocess.Popen([JEM, "info", "--model", "-"], stdin=subprocess.PIPE,
                          stderr=subprocess.PIPE, bufsize=0) as process:
        with contextlib.suppress(BrokenPipeError):
            process.stdin.write(content + b"\0")  # and open it stays
        assert process.wait(timeout=20) == 1
        assert b"the file goes on after them" in process.stderr.read()


def test_labels_from_standard_input(model, x_test, tmp_path):
    np.save(tmp_path / "l.npy", x_test[1])
    base = ["energy", "--model", model, "--in", x_test[0], "--labels"]
    jem(*base, tmp_path / "l.npy", "--out", tmp_path / "a")
    with open(tmp_path / "l.npy", "rb") as labels:
        jem(*base, "-", "--out", tmp_path / "b", stdin=labels)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_names_of_every_length(model, x_test, scores, tmp_path):
    for length in (2, 100, 101, 240, 244, 255):
        for name in ("b" * length, "ä" * (length // 2)):
            for _ in range(2):
                jem("score", "--model", model, "--in", x_test[0], "--out", tmp_path / name)
            assert (tmp_path / name).read_bytes() == scores
    assert "too long" in jem("score", "--model", model, "--in", x_test[0], "--out",
                             tmp_path / ("b" * 256), expect=1)


@pytest.mark.parametrize("length, code", [(250, 0), (251, 1), (255, 1)])
def test_both_names_of_a_checkpoint_must_fit(idx, tmp_path, length, code):
    """It is told before training, not when there is an old one to keep."""
    jem(*command(idx, tmp_path / "m", "--checkpoint", tmp_path / ("c" * length)), expect=code)
    assert (tmp_path / "m").exists() == (code == 0)


# ---- inputs that are no files -------------------------------------------------------------------


def refuse_at_once(*args, **options):
    begin = time.monotonic()
    message = jem(*args, expect=1, **options)
    assert time.monotonic() - begin < 10
    return message


@pytest.mark.parametrize("what", ["fifo", "/dev/zero", "/dev/null", "folder", "/dev/stdin"])
def test_inputs_that_are_no_files(what, model, x_test, idx, tmp_path):
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "folder").mkdir()
    path = tmp_path / what
    np.save(tmp_path / "l.npy", x_test[1])
    rest = ["--out", tmp_path / "o"]
    with open("/dev/zero", "rb") as zeros:
        for args in (["score", "--model", model, "--in", path], ["score", "--model", path, "--in",
                     x_test[0]], ["energy", "--model", model, "--in", x_test[0], "--labels", path],
                     ["train", "--steps", 1, "--data", path]):
            refuse_at_once(*args, *rest, stdin=zeros)
        refuse_at_once("info", "--model", path, stdin=zeros)
        refuse_at_once("eval", "--model", model, "--data", path, stdin=zeros)
    assert not (tmp_path / "o").exists()


def test_pipes_inside_of_data(tmp_path):
    data = write_npy(tmp_path / "data", test=False)
    (data / "y.npy").unlink()
    os.mkfifo(data / "y.npy")
    jem(*command(data, tmp_path / "m", "--w-pyx", 0))  # as if it were not there
    (data / "X.npy").unlink()
    os.mkfifo(data / "X.npy")
    refuse_at_once(*command(data, tmp_path / "n"))


def test_first_signal_ends_who_waits_for_input(model):
    with subprocess.Popen([JEM, "score", "--model", model, "--in", "-", "--out", "/dev/null"],
                          stdin=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        process.stdin.write(b"\x93NUMPY")
        process.stdin.flush()
        time.sleep(0.5)
        process.send_signal(signal.SIGTERM)
        assert process.wait(5) == -signal.SIGTERM


# ---- a file named twice -------------------------------------------------------------------------


def by_name(folder, path):
    return path


def by_other_name(folder, path):
    return folder / "sub" / ".." / path.name


def by_link(folder, path):
    (folder / "link").symlink_to(path)
    return folder / "link"


def by_hard_link(folder, path):
    os.link(path, folder / "hard")
    return folder / "hard"


WAYS = [by_name, by_other_name, by_link, by_hard_link]


@pytest.fixture
def place(model, x_test, idx, tmp_path):
    """Copies of all inputs in one folder."""
    for name, source in (("m", model), ("x", x_test[0])):
        (tmp_path / name).write_bytes(source.read_bytes())
    np.save(tmp_path / "l.npy", x_test[1])
    (tmp_path / "sub").mkdir()
    write_npy(tmp_path / "data")
    jem(*command(idx, tmp_path / "t", "--checkpoint", tmp_path / "c", steps=6), "--stop-after", 3)
    jem(*command(idx, tmp_path / "t", "--checkpoint", tmp_path / "c", steps=6), "--resume",
        "--stop-after", 1)
    return tmp_path


CLASHES = {
    "score x": ("x", lambda d, i, p: ["score", "--model", d / "m", "--in", d / "x", "--out", p]),
    "score m": ("m", lambda d, i, p: ["score", "--model", d / "m", "--in", d / "x", "--out", p]),
    "labels": ("l.npy", lambda d, i, p: ["energy", "--model", d / "m", "--in", d / "x", "--labels",
                                         d / "l.npy", "--out", p]),
    "png m": ("m", lambda d, i, p: ["sample", "--model", d / "m", "--png", p]),
    "two outputs": ("old", lambda d, i, p: ["sample", "--model", d / "m", "--png", d / "old",
                                            "--out", p]),
    "log and out": ("old", lambda d, i, p: command(i, d / "old", "--log", p)),
    "checkpoint and out": ("old", lambda d, i, p: command(i, p, "--checkpoint", d / "old")),
    "resume": ("c", lambda d, i, p: command(i, p, "--checkpoint", d / "c", "--resume", steps=6)),
    "previous": ("c.prev", lambda d, i, p: command(i, p, "--checkpoint", d / "c", "--resume",
                                                   steps=6)),
    "log previous": ("c.prev", lambda d, i, p: command(i, d / "new", "--log", p, "--checkpoint",
                                                       d / "c", "--resume", steps=6)),
    "data file": ("x", lambda d, i, p: command(d / "x", p, "--w-pyx", 0)),
    "in the data": ("data/X.npy", lambda d, i, p: command(d / "data", p)),
    "labels of the data": ("data/y.npy", lambda d, i, p: command(d / "data", d / "new", "--log",
                                                                 p)),
    "data of chains": ("data/X.npy", lambda d, i, p: ["sample", "--model", d / "m", "--data",
                                                      d / "data", "--png", p, "--steps", 1]),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("clash", CLASHES)
def test_no_output_is_an_input_or_another_output(clash, way, place, idx):
    name, make = CLASHES[clash]
    target = place / name
    if not target.exists():
        target.write_text("precious")
    path = way(place, target) if "/" not in name or way != by_other_name else target
    before = {p: p.read_bytes() for p in place.rglob("*") if p.is_file()}
    args = make(place, idx, path)
    message = jem(*args, expect=2)
    assert "same file" in message and str(path) in message, message
    assert {p: p.read_bytes() for p in place.rglob("*") if p.is_file()} == before


def test_outputs_that_are_not_there_yet(model, idx, tmp_path):
    (tmp_path / "sub").mkdir()
    (tmp_path / "link").symlink_to("sub/new")
    for one, other in (("new", "new"), ("sub/new", "link"), ("new", "sub/../new")):
        assert "same file" in jem("sample", "--model", model, "--png", tmp_path / one, "--out",
                                  tmp_path / other, expect=2)
    assert "same file" in jem(*command(idx, tmp_path / "c.prev", "--checkpoint", tmp_path / "c"),
                              expect=2)
    assert "both -" in jem("sample", "--model", model, "--png", "-", "--out", "-", expect=2)
    assert "both -" in jem("score", "--model", "-", "--in", "-", "--out", "x", expect=2)
    assert "--checkpoint is -" in jem(*command(idx, "m", "--checkpoint", "-"), expect=2)
    assert "device or pipe" in jem(*command(idx, tmp_path / "m", "--checkpoint", "/dev/null"),
                                   expect=2)
    assert sorted(os.listdir(tmp_path)) == ["link", "sub"]


@pytest.mark.parametrize("log", ["-", "/dev/stdout", "/dev/fd/1"])
def test_one_pipe_for_two_outputs(log, idx, tmp_path):
    """The log's lines would stand in the model."""
    message = jem(*command(idx, "/proc/self/fd/1"), "--log", log, expect=2)
    assert "is the same file as --out" in message
    assert os.listdir(tmp_path) == []


def test_devices_may_be_shared(model, idx, x_test):
    jem("sample", "--model", model, "--n", 2, "--steps", 1, "--png", "/dev/null", "--out",
        "/dev/null")
    jem(*command(idx, "/dev/null", "--log", "/dev/null"))


def test_an_output_beside_the_data_is_no_clash(tmp_path):
    """Nor is the model of a run before."""
    data = write_npy(tmp_path / "data")
    for _ in range(2):
        jem(*command(data, data / "m.safetensors", "--log", data / "log.npy"))


# ---- a trained model is not lost ----------------------------------------------------------------


def start(args, **options):
    return subprocess.Popen([JEM, *map(str, args)], stderr=subprocess.PIPE, text=True, **options)


def until_trained(log):
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline and not (log.exists() and log.stat().st_size > 0):
        time.sleep(0.01)


@pytest.mark.parametrize("where", ["beside", "temporary"])
def test_last_save_that_fails(where, idx, tmp_path):
    """The folder of the model changes while it is trained."""
    out, log = tmp_path / "folder" / "m", tmp_path / "log"
    out.parent.mkdir()
    (tmp_path / "tmp").mkdir()
    args = command(idx, out, "--log", log, steps=10**9)
    with start(args, env=dict(os.environ, TMPDIR=str(tmp_path / "tmp"))) as process:
        until_trained(log)
        if where == "beside":
            out.mkdir()
        else:
            out.parent.rmdir()
        process.send_signal(signal.SIGTERM)
        message = process.communicate(timeout=30)[1].splitlines()[-1]
    assert process.returncode == 1 and str(out) in message
    saved = pathlib.Path(message.split("was saved to ")[1].split(" instead")[0])
    assert saved.parent == (out.parent if where == "beside" else tmp_path / "tmp")
    assert json.loads(jem("info", "--model", saved, "--json"))["training"]["steps"] > 0


def test_model_for_a_pipe_that_nobody_reads(idx, tmp_path):
    reader, writer = os.pipe()
    os.close(reader)  # before the training, as a small model would fit into the pipe
    with start(command(idx, "-"), stdout=writer, env=dict(os.environ, TMPDIR=str(tmp_path))) as run:
        os.close(writer)
        message = run.communicate(timeout=60)[1]
    saved = list(tmp_path.glob("jem-model-*"))
    assert run.returncode == 1 and len(saved) == 1 and str(saved[0]) in message
    jem("info", "--model", saved[0])


def test_nothing_is_left_where_nothing_can_be_saved(idx, tmp_path):
    (tmp_path / "tmp").mkdir()
    limit = lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (300, 300))
    message = jem(*command(idx, tmp_path / "m"), expect=1, preexec_fn=limit,
                  env=dict(os.environ, TMPDIR=str(tmp_path / "tmp")))
    assert "could not be saved elsewhere" in message
    assert os.listdir(tmp_path) == ["tmp"] and os.listdir(tmp_path / "tmp") == []


def test_training_survives_the_reader_of_its_progress(idx, tmp_path):
    args = ["train", "--data", idx, "--arch", "mlp-8", "--steps", 200, "--batch", 8, "--sgld-steps",
            2, "--chains", 6, "--capacity", 30, "--out", tmp_path / "m", "--optimizer", "sgd",
            "--clip-norm", "none", "--lr", 0.5, "--seed", 1, "--threads", 1]
    plain = subprocess.run([JEM, *map(str, args)], capture_output=True, check=True)
    assert len(plain.stderr.splitlines()) > 2  # the guard has something to say
    (tmp_path / "m").unlink()
    reader, writer = os.pipe()
    os.close(reader)
    with subprocess.Popen([JEM, *map(str, args)], stderr=writer, stdout=writer) as process:
        os.close(writer)
        process.wait(60)
    assert (tmp_path / "m").exists()
    assert process.returncode == 128 + signal.SIGPIPE


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_standard_streams(closed, idx, tmp_path):
    """Nothing that is said for people gets into a file."""
    names = {"D": idx, "O": tmp_path / "m", "L": tmp_path / "log", "C": tmp_path / "c"}
    shell(f"$JEM train --data $D --arch mlp-4 --steps 20 --batch 8 --out $O --log $L "
          f"--checkpoint $C --checkpoint-every 5 {closed}", **names)
    steps = [json.loads(line)["step"] for line in (tmp_path / "log").open()]
    assert steps == list(range(1, 21))
    jem("info", "--model", tmp_path / "m")
    done = shell(f"$JEM score --model $M --in - --out - {closed}", M=tmp_path / "m")
    assert done.returncode == 1


# ---- kills --------------------------------------------------------------------------------------


def test_kills_leave_nothing(idx, tmp_path):
    """At most one file for each target, which the next writer removes."""
    args = command(idx, tmp_path / "m", "--checkpoint", tmp_path / "c", "--checkpoint-every", 1,
                   steps=10**9)
    jem(*args, "--stop-after", 2)
    for kill in range(40):
        with start([*args, "--resume"]) as process:
            time.sleep(0.05 + 0.02 * (kill % 20))
            process.kill()
        # m, c, c.prev, and what a writer of c was filling
        assert len(os.listdir(tmp_path)) <= 4, os.listdir(tmp_path)
    jem(*args, "--resume", "--stop-after", 1)
    assert sorted(os.listdir(tmp_path)) == ["c", "c.prev", "m"]


# ---- options given twice, lengths ---------------------------------------------------------------


@pytest.mark.parametrize("words", [["--lr", 1, "--lr", 2], ["--lr=1", "--lr=1"],
                                   ["--out", "a", "--out", "b"], ["--flip", "--flip"],
                                   ["--seed", 1, "--steps", 3, "--seed", 1]])
def test_doubled_option(words, idx, tmp_path):
    name = str(words[0]).split("=")[0]
    done = subprocess.run([JEM, "train", "--data", idx, *map(str, words)], capture_output=True,
                          text=True, cwd=tmp_path, check=False)
    assert done.returncode == 2 and f"{name} was given twice" in done.stderr
    assert os.listdir(tmp_path) == []


def test_a_list_may_be_given_in_parts(idx, tmp_path):
    jem(*command(idx, tmp_path / "m", "--milestones", 0.2, "--milestones", 0.5, 0.7))


def resumed(args, *more):
    result = subprocess.run([JEM, *map(str, args), "--resume", *map(str, more)],
                            capture_output=True, text=True, check=True)
    return [line for line in result.stderr.splitlines() if "goes on with" in line]


@pytest.mark.parametrize("length", ["--steps", "--epochs"])
def test_resume_lengthens(length, idx, tmp_path):
    """With a constant rate the longer run is the one that was as long from the start."""
    first, longer = (20, 50) if length == "--steps" else (2, 5)  # an epoch has 7 steps
    base = ["train", "--data", idx, "--arch", "mlp-4", "--batch", 8, "--sgld-steps", 1, "--capacity",
            40, "--schedule", "constant"]
    jem(*base, length, longer, "--out", tmp_path / "whole")
    args = [*base, "--out", tmp_path / "m", "--checkpoint", tmp_path / "c"]
    jem(*args, length, first)
    said = resumed([*args, length, longer])
    assert len(said) == 1 and f"{length} {longer} instead of {first}" in said[0]
    assert "40 % is over" in said[0] and "learning rate" in said[0]
    assert (tmp_path / "m").read_bytes() == (tmp_path / "whole").read_bytes()
    assert resumed([*args, length, longer]) == []
    shorter = 40 if length == "--steps" else 4
    message = jem(*args, length, shorter, "--resume", expect=2)
    assert f"{length} is {shorter}" in message and "expected at least" in message
    if length == "--steps":
        assert "50 steps already" in message
        assert "--epochs is 9, but was not given" in jem(*args, "--epochs", 9, "--resume", expect=2)


def test_resume_follows_the_schedule_of_the_new_length(idx, tmp_path):
    log = tmp_path / "log"
    args = command(idx, tmp_path / "m", "--checkpoint", tmp_path / "c", "--log", log, "--schedule",
                   "cosine", "--lr", 1e-3)
    args.remove("--steps"), args.remove(3)
    jem(*args, "--steps", 10)
    resumed(args, "--steps", 20)
    rates = [json.loads(line)["lr"] for line in log.open()]
    expected = [1e-3 * (1 + np.cos(np.pi * t / (10 if t < 10 else 20))) / 2 for t in range(20)]
    assert np.allclose(rates, expected, rtol=1e-4, atol=1e-9)


def test_resume_of_a_time(idx, tmp_path):
    args = command(idx, tmp_path / "m", "--checkpoint", tmp_path / "c")
    args.remove("--steps"), args.remove(3)
    jem(*args, "--seconds", 0.5)
    assert "expected at least" in jem(*args, "--seconds", 0.1, "--resume", expect=2)
    assert "instead of 0.5" in resumed(args, "--seconds", 1)[0]
