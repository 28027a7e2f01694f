"""jem train --checkpoint: stopped in any way and resumed, a run ends in the same model file.

Kills at random moments are 150 here. For more:

    JEM_CLI=build/bindings/cli/jem python3 tests/unit/test_cli_resume.py 10000
"""

import contextlib
import json
import os
import pathlib
import random
import resource
import signal
import subprocess
import sys
import tempfile
import time

import pytest

from cli_support import JEM, idx, jem, last_of, write_idx  # noqa: F401 (idx is a fixture)

LENGTH = 60


def command(data, out, *options, steps=LENGTH):
    return last_of(["train", "--data", data, "--arch", "mlp-8", "--steps", steps, "--batch", 8,
                    "--sgld-steps", 2, "--chains", 6, "--capacity", 30, "--out", out, *options])


def straight(data, out, *options, **how):
    jem(*command(data, out, *options, **how))
    return out.read_bytes()


# ---- going on -----------------------------------------------------------------------------------

KINDS = {
    "default": [],
    "ref": ["--backend", "ref"],
    "average": ["--ema", "0.9", "--sam-rho", "0.05", "--optimizer", "sgd"],
    "few labels": ["--labels-per-class", 3, "--labelled-batch", 5, "--schedule", "cosine"],
    "classes": ["--class-conditional", "--w-pxy", 0.5, "--start", "gaussian", "--start-rank", 2],
    "data": ["--start", "data", "--reinit", 1, "--crop", 1, "--flip"],
    "classifier": ["--classifier", "--warmup", 20],
    "epochs": ["--no-guard", "--seed", 3],
    "convolutions": ["--arch", "cnn-4", "--threads", 2],
}


@pytest.mark.parametrize("kind", KINDS)
def test_pieces_make_the_whole(idx, tmp_path, kind):
    whole = straight(idx, tmp_path / "whole", *KINDS[kind])
    pieces = command(idx, tmp_path / "m", *KINDS[kind], "--checkpoint", tmp_path / "c",
                     "--checkpoint-every", 7, "--log", tmp_path / "log")
    assert "paused after 1 new steps" in jem(*pieces, "--stop-after", 1)
    jem(*pieces, "--stop-after", 24, "--resume")
    jem(*pieces, "--stop-after", 14, "--resume")
    jem(*pieces, "--resume")
    assert (tmp_path / "m").read_bytes() == whole
    jem(*pieces, "--resume")  # there is nothing left to do
    assert (tmp_path / "m").read_bytes() == whole
    lines = [json.loads(line) for line in (tmp_path / "log").read_text().splitlines()]
    assert [line["step"] for line in lines] == list(range(1, LENGTH + 1))
    assert sorted(os.listdir(tmp_path)) == ["c", "c.prev", "log", "m", "whole"]


# Diverges twice and heals.
WILD = ["--optimizer", "sgd", "--clip-norm", "none", "--lr", 0.5, "--seed", 1, "--threads", 1]


def rollbacks(*args):
    """Runs jem train; returns what it said of rollbacks: from, to, rate, try, figure."""
    result = subprocess.run([JEM, *map(str, args)], capture_output=True, text=True, check=True)
    return [line.split("rolled back ")[1] for line in result.stderr.splitlines()
            if "rolled back " in line]


def test_checkpoints_change_no_rollback(idx, tmp_path):
    undone = rollbacks(*command(idx, tmp_path / "whole", *WILD, steps=200))
    assert len(undone) >= 2
    saves = ["--checkpoint", tmp_path / "c", "--checkpoint-every", 7]
    assert rollbacks(*command(idx, tmp_path / "m", *WILD, *saves, steps=200)) == undone
    assert (tmp_path / "m").read_bytes() == (tmp_path / "whole").read_bytes()


@pytest.mark.parametrize("first", [10, 17, 25, 40])
def test_rollbacks_after_a_stop(idx, tmp_path, first):
    """What was kept before the stop is what the run goes back to after it."""
    undone = rollbacks(*command(idx, tmp_path / "whole", *WILD, steps=200))
    pieces = command(idx, tmp_path / "m", *WILD, "--checkpoint", tmp_path / "c", steps=200)
    again = rollbacks(*pieces, "--stop-after", first)
    assert again + rollbacks(*pieces, "--resume") == undone
    assert (tmp_path / "m").read_bytes() == (tmp_path / "whole").read_bytes()


def stop(process, number, log):
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline and not (log.exists() and log.stat().st_size > 0):
        time.sleep(0.01)
    process.send_signal(number)
    message = process.communicate(timeout=20)[1]
    return process.returncode, message


@pytest.mark.parametrize("number, code", [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_signals_save(idx, tmp_path, number, code):
    """The step in progress is finished, so that the chains are not ahead of the parameters."""
    options = ["--sgld-steps", 400]
    whole = straight(idx, tmp_path / "whole", *options)
    log = tmp_path / "log"
    args = command(idx, tmp_path / "m", *options, "--checkpoint", tmp_path / "c", "--log", log)
    catchable = lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)
    with subprocess.Popen([JEM, *map(str, args)], stderr=subprocess.PIPE, text=True,
                          preexec_fn=catchable) as process:
        returned, message = stop(process, number, log)
    assert returned == code and "was saved" in message
    assert 0 < json.loads(jem("info", "--model", tmp_path / "m", "--json"))["training"]["steps"]
    jem(*args, "--resume")
    assert (tmp_path / "m").read_bytes() == whole


# ---- the log ------------------------------------------------------------------------------------


def test_the_log_goes_back_with_the_run(idx, tmp_path):
    """What a killed session wrote after its checkpoint is written again, so it goes; also where
    the session had been set back to an earlier step."""
    log = tmp_path / "log"
    args = command(idx, tmp_path / "m", "--checkpoint", tmp_path / "c", "--log", log)
    jem(*args, "--stop-after", 20)
    kept = log.read_text()
    lines = kept.splitlines(keepends=True)
    beyond = "".join(lines[-3:]).replace('"step":', '"step":2')
    log.write_text(kept + beyond + lines[-6] + lines[-1][:40])
    jem(*args, "--resume", "--stop-after", 1)
    assert log.read_text().startswith(kept)
    jem(*args, "--resume")
    steps = [json.loads(line)["step"] for line in log.open()]
    assert steps == list(range(1, LENGTH + 1))


def test_another_log_is_left_alone(idx, tmp_path):
    args = command(idx, tmp_path / "m", "--checkpoint", tmp_path / "c", "--log")
    other = tmp_path / "other"
    jem(*args, tmp_path / "log", "--stop-after", 20)
    content = '{"step":3}\n' * 5000
    other.write_text(content)
    jem(*args, other, "--resume", "--stop-after", 1)
    assert other.read_text().startswith(content)
    jem(*args, tmp_path / "log", "--resume")
    assert len((tmp_path / "log").read_text().splitlines()) == LENGTH - 1


def test_the_log_of_a_run_that_is_refused_stays(idx, tmp_path):
    log = tmp_path / "log"
    args = command(idx, tmp_path / "m", "--checkpoint", tmp_path / "c", "--log", log)
    jem(*args, "--stop-after", 5)
    kept = log.read_bytes()
    for options in ([], ["--capacity", 3], ["--crop", 8], ["--arch", "mlp-0"],
                    ["--data", tmp_path / "no"], ["--resume", "--lr", 1]):
        jem(*args, *options, expect=1 if "--data" in options else 2)
        assert log.read_bytes() == kept
    (tmp_path / "c").unlink()
    jem(*args, "--stop-after", 3)
    assert [json.loads(line)["step"] for line in log.open()] == [1, 2, 3]


@pytest.mark.parametrize("before, kept", [
    ("", True),  # the session that was killed had begun the log
    ('{"step":7}\n{"step":20}\n', True),
    ('an introduction\n\n{"steps":3}\n', True),
    ('{"step":21}\n' * 2, False),
])
def test_a_log_that_the_checkpoint_does_not_know(idx, tmp_path, before, kept):
    """It was begun after the checkpoint; what a killed session wrote to it is written again."""
    log = tmp_path / "log"
    args = command(idx, tmp_path / "m", "--checkpoint", tmp_path / "c")
    jem(*args, "--stop-after", 20)
    killed = "".join(f'{{"step":{step},"loss":{step * 1e300}}}\n' for step in range(21, 41))
    log.write_text(before + killed + '{"step":41,"lo')
    jem(*args, "--resume", "--stop-after", 5, "--log", log)
    before = before if kept else ""
    assert log.read_text().startswith(before)
    new = log.read_text()[len(before):]
    assert [json.loads(line)["step"] for line in new.splitlines()] == list(range(21, 26))


@pytest.mark.parametrize("content", ['{"step":30}\nnotes\n', "\n", '{"step":30}\n{"a":1}\n',
                                     '{"step":30}\n["step",31]\n', "\0\0\n", "x" * 9999 + "\n",
                                     '{"step":30}\n{"step":"31"}\n'])
def test_what_is_no_log_is_not_cut(idx, tmp_path, content):
    log = tmp_path / "log"
    args = command(idx, tmp_path / "m", "--checkpoint", tmp_path / "c")
    jem(*args, "--stop-after", 20)
    log.write_text(content)
    jem(*args, "--resume", "--stop-after", 1, "--log", log)
    assert log.read_text().startswith(content)
    assert len(log.read_text()[len(content):].splitlines()) == 1


def test_stop_after_counts_the_steps_that_stand(idx, tmp_path):
    """A session of a run that is set back again and again still ends as many steps further on."""
    log, checkpoint = tmp_path / "log", tmp_path / "c"
    args = command(idx, tmp_path / "m", "--checkpoint", checkpoint, "--log", log, "--lr", 10,
                   "--guard-every", 10, "--guard-tries", 100)
    for end in (25, 50):
        more = ["--stop-after", 25, *(["--resume"] if checkpoint.exists() else [])]
        result = subprocess.run([JEM, *map(str, args + more)], capture_output=True, text=True,
                                check=True)
        assert "paused after 25 new steps" in result.stdout
        assert json.loads(log.read_text().splitlines()[-1])["step"] == end
    assert any(json.loads(line)["event"] for line in log.open())


# ---- refusals -----------------------------------------------------------------------------------


@pytest.fixture
def paused(idx, tmp_path):
    args = command(idx, tmp_path / "m", "--checkpoint", tmp_path / "c")
    jem(*args, "--stop-after", 5)
    return args


@pytest.mark.parametrize("options, code, words", [
    (["--lr", "0.5"], 2, ["--lr is 0.5", "was 0.002", "/c was made"]),
    (["--clip-norm", "none"], 2, ["--clip-norm is none", "was 5"]),
    (["--seed", "1"], 2, ["--seed is 1", "was 0"]),
    (["--flip"], 2, ["--flip is given", "was not given"]),
    (["--milestones", "0.1", "0.2"], 2, ["--milestones is 0.1 0.2", "was not given"]),
    (["--threads", "1"], 2, ["--threads is 1"]),
    (["--backend", "ref"], 2, ["--backend is ref"]),
    (["--no-guard"], 2, ["--no-guard is given"]),
    (["--limit", "50"], 2, ["--limit is 50"]),
    (["--arch", "mlp-9"], 1, ["mlp-8", "mlp-9"]),
    (["--optimizer", "sgd"], 1, ["optimizer.kind"]),
    (["--capacity", "31"], 1, ["sampler.capacity = 30; this run has 31"]),
    (["--classifier"], 1, ["sampler"]),
])
def test_other_options_are_refused(paused, options, code, words, tmp_path):
    before = (tmp_path / "m").read_bytes()
    message = jem(*paused, "--resume", *options, expect=code)
    assert all(word in message for word in words), message
    assert (tmp_path / "m").read_bytes() == before


def test_session_options_may_differ(paused, idx, tmp_path):
    """Data may have moved; the model file says where they were, so its bytes are compared apart."""
    jem(*paused, "--resume", "--out", tmp_path / "n", "--checkpoint-every", 3, "--stop-after", 9)
    jem(*paused, "--resume", "--data", f"{idx}/.", "--stop-after", 1)
    jem(*paused, "--resume", "--out", tmp_path / "n")
    assert (tmp_path / "n").read_bytes() == straight(idx, tmp_path / "whole")


@contextlib.contextmanager
def changed_note(model_file, checkpoint):
    """Of a classifier's checkpoint, what jem train keeps there."""
    import jem as binding  # here: ten thousand kills need no binding
    with binding.Model.load(model_file) as model, binding.Optimizer(model) as optimizer:
        binding.load_checkpoint(checkpoint, model, optimizer)
        note = json.loads(optimizer.note)
        yield note
        optimizer.note = json.dumps(note)
        binding.save_checkpoint(checkpoint, model, optimizer)


@pytest.mark.parametrize("batches", [2**62, 10**9, 19, 0, -1])
def test_batches_that_no_run_can_have_taken_are_refused(idx, tmp_path, batches):
    checkpoint = tmp_path / "c"
    args = command(idx, tmp_path / "m", "--classifier", "--checkpoint", checkpoint)
    jem(*args, "--stop-after", 20)
    with changed_note(tmp_path / "m", checkpoint) as note:
        assert note["batches"] == 20
        note["batches"] = batches
    assert f"{batches} batches in 20 steps" in jem(*args, "--resume", expect=1)


def test_a_checkpoint_may_be_older_than_an_option(idx, tmp_path):
    """One that it does not know had no other value than the default."""
    checkpoint = tmp_path / "c"
    args = command(idx, tmp_path / "m", "--classifier", "--checkpoint", checkpoint)
    jem(*args, "--stop-after", 20)
    with changed_note(tmp_path / "m", checkpoint) as note:
        assert note["options"].pop("beta1") == "0.9"
    assert "--beta1 is 0.5" in jem(*args, "--resume", "--beta1", 0.5, expect=2)
    jem(*args, "--resume")
    assert (tmp_path / "m").read_bytes() == straight(idx, tmp_path / "whole", "--classifier")


def test_other_data_are_refused(paused, tmp_path):
    other = write_idx(tmp_path / "other", n_train=60)
    images = other / "train-images-idx3-ubyte"
    changed = bytearray(images.read_bytes())
    changed[-1] ^= 1
    images.write_bytes(bytes(changed))
    assert "other data" in jem(*paused, "--resume", "--data", other, expect=2)
    other_shape = write_idx(tmp_path / "few", n_train=30)
    assert "other data" in jem(*paused, "--resume", "--data", other_shape, expect=2)


def test_beginnings(idx, paused, tmp_path):
    assert "/c exists; go on" in jem(*paused, expect=2)
    (tmp_path / "c.prev").write_bytes((tmp_path / "c").read_bytes())
    assert "/c and" in jem(*paused, expect=2)
    (tmp_path / "c").unlink()
    assert "/c.prev exists; go on" in jem(*paused, expect=2)  # or --resume would take that run
    (tmp_path / "away").mkdir()
    (tmp_path / "c.prev").rename(tmp_path / "away" / "c.prev")
    (tmp_path / "away" / "c").write_bytes(b"")
    (tmp_path / "c").symlink_to("away/c")
    assert "/away/c.prev exist; go on" in jem(*paused, expect=2)
    new = command(idx, tmp_path / "m", "--checkpoint", tmp_path / "new")
    assert "No such file" in jem(*new, "--resume", expect=1)
    assert "--checkpoint" in jem(*command(idx, tmp_path / "m"), "--resume", expect=2)
    assert "--checkpoint" in jem(*command(idx, tmp_path / "m"), "--stop-after", 3, expect=2)
    nowhere = command(idx, tmp_path / "m", "--checkpoint", tmp_path / "no" / "c")
    assert "no/c" in jem(*nowhere, expect=1)
    (tmp_path / "new").write_bytes((tmp_path / "m").read_bytes())
    assert "no checkpoint" in jem(*new, "--resume", expect=1)


# ---- damage, full disks, kills ------------------------------------------------------------------


def test_damage_costs_one_interval(idx, tmp_path):
    whole = straight(idx, tmp_path / "whole")
    args = command(idx, tmp_path / "m", "--checkpoint", tmp_path / "c", "--checkpoint-every", 5)
    jem(*args, "--stop-after", 20)
    os.truncate(tmp_path / "c", 1000)
    result = subprocess.run([JEM, *map(str, args), "--resume"], capture_output=True, text=True,
                            check=True)
    assert "c.prev" in result.stderr
    assert (tmp_path / "m").read_bytes() == whole


def test_damage_never_costs_both_generations(idx, tmp_path):
    """The one before stays until there is another good one."""
    whole = straight(idx, tmp_path / "whole")
    args = command(idx, tmp_path / "m", "--checkpoint", tmp_path / "c", "--checkpoint-every", 1)
    jem(*args, "--stop-after", 5)
    for _ in range(3):
        os.truncate(tmp_path / "c", 1000)
        jem(*args, "--resume", "--checkpoint-every", 100, "--stop-after", 1)
    os.truncate(tmp_path / "c", 1000)
    jem(*args, "--resume")
    assert (tmp_path / "m").read_bytes() == whole
    for name in ("c", "c.prev"):
        os.truncate(tmp_path / name, 1000)
    message = jem(*args, "--resume", expect=1)
    assert "/c'" in message and "/c.prev'" in message


def room_for_the_model_only(model):
    size = model.stat().st_size + 64
    return lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


@pytest.mark.parametrize("options", [[], ["--ema", "0.9"]], ids=["plain", "ema"])
def test_no_room_for_a_checkpoint_costs_no_model(idx, tmp_path, options):
    """Not even where the disk was full all the time."""
    whole = straight(idx, tmp_path / "whole", *options)
    args = command(idx, tmp_path / "m", *options, "--checkpoint", tmp_path / "c")
    message = jem(*args, preexec_fn=room_for_the_model_only(tmp_path / "whole"), expect=1)
    assert "the model was saved, but no checkpoint of step 60" in message
    assert "/c'" in message
    assert (tmp_path / "m").read_bytes() == whole
    assert sorted(os.listdir(tmp_path)) == ["m", "whole"]


def test_no_room_for_a_checkpoint_after_a_signal(idx, tmp_path):
    straight(idx, tmp_path / "whole")
    log = tmp_path / "log"
    args = command(idx, tmp_path / "m", "--sgld-steps", 400, "--checkpoint", tmp_path / "c",
                   "--checkpoint-every", 1000, "--log", log)
    with subprocess.Popen([JEM, *map(str, args)], stderr=subprocess.PIPE, text=True,
                          preexec_fn=room_for_the_model_only(tmp_path / "whole")) as process:
        returned, message = stop(process, signal.SIGTERM, log)
    assert returned == 143 and "was saved to" in message and "there is no checkpoint" in message
    jem("info", "--model", tmp_path / "m")


def test_full_disk_costs_only_the_checkpoint(idx, tmp_path):
    args = command(idx, tmp_path / "m", "--checkpoint", tmp_path / "c", "--checkpoint-every", 5)
    jem(*args, "--stop-after", 5)
    old = (tmp_path / "c").read_bytes()
    limit = lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))
    result = subprocess.run([JEM, *map(str, args), "--resume"], capture_output=True, text=True,
                            preexec_fn=limit, check=False)
    assert result.returncode == 1 and "training goes on" in result.stderr, result.stderr
    assert (tmp_path / "c").read_bytes() == old
    assert not [name for name in os.listdir(tmp_path) if name.endswith(".tmp")]


def run_and_kill(args, rng):
    """Returns whether the run came to its end before the kill."""
    with subprocess.Popen([JEM, *map(str, args)], stdout=subprocess.DEVNULL,
                          stderr=subprocess.PIPE, text=True) as process:
        try:
            message = process.communicate(timeout=rng.uniform(0.01, 0.15))[1]
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            return False
    assert process.returncode == 0, message
    return True


def kill_loop(directory, n_kills, seed):
    """Runs that are killed again and again until they end; each must end in the same file."""
    rng = random.Random(seed)
    data = write_idx(directory / "data")
    whole = straight(data, directory / "whole", "--threads", 1, steps=3000)
    checkpoint = directory / "c"
    args = command(data, directory / "m", "--threads", 1, "--checkpoint", checkpoint,
                   "--checkpoint-every", 1, "--log", directory / "log", steps=3000)
    kills, ends = 0, 0
    while kills < n_kills or ends == 0:
        resumes = ["--resume"] if checkpoint.exists() else []
        if not run_and_kill(args + resumes, rng):
            kills += 1
            continue
        ends += 1
        assert (directory / "m").read_bytes() == whole, f"seed {seed}, after {kills} kills"
        steps = [json.loads(line)["step"] for line in (directory / "log").open()]
        assert steps == list(range(1, 3001)), f"seed {seed}, after {kills} kills"
        for name in directory.iterdir():
            if name.name.startswith((".", "c", "m")):
                name.unlink()
    return kills, ends


def memory_directory():
    """Where fsync costs nothing, so that many kills take little time."""
    return tempfile.TemporaryDirectory(dir="/dev/shm" if os.path.isdir("/dev/shm") else None)


def test_kills_at_random_moments():
    with memory_directory() as directory:
        kills, ends = kill_loop(pathlib.Path(directory), 150, random.randrange(2**32))
    assert kills >= 150 and ends >= 1


if __name__ == "__main__":
    with memory_directory() as where:
        print("%d kills, %d runs came to their end" % kill_loop(
            pathlib.Path(where), int(sys.argv[1]), random.randrange(2**32)))
