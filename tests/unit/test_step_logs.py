"""What a step and its libraries write is kept, in no digest and without secrets; a failure's cause is what is shown."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from specsci.core.kinds import StepKind
from specsci.core.step import Step
from specsci.execute.logs import HIDDEN, add, failed_log, hide_secrets, logged
from specsci.execute.status import cause_of, status_lines
from specsci.execute.worker import Job, run_job
from specsci.store.artifact import LOG, Store, read_record

STEP = Step("spec", {"family": "x"}, label="spec x")


@pytest.fixture
def ran(tmp_path, monkeypatch):
    """Run one step whose action is a function of its context."""
    store = Store(tmp_path / "store").open()

    def go(action):
        monkeypatch.setattr(StepKind, "load_action", lambda self: action)
        return store, run_job(store, Job(STEP, {}, "me-1-x"), None, set())

    return go


def noisy(context):
    os.write(1, b"from C on stdout\n")
    print("from Python on stderr", file=sys.stderr)
    subprocess.run([sys.executable, "-c", "print('from a child')"], check=True)
    (context.out / "spec.json").write_text("{}")
    return {}


def test_a_steps_log_holds_all_that_was_written_and_has_no_digest(ran, capfd) -> None:
    store, outcome = ran(noisy)
    assert outcome.state == "done", outcome.error
    folder = store.path("spec", STEP.digest)
    text = (folder / LOG).read_text()
    for part in ("spec x [spec ", "from C on stdout", "from Python on stderr", "from a child"):
        assert part in text, part
    assert list(read_record(folder).files) == ["spec.json"], "two runs differ in their logs, not in their files"
    assert store.verify("spec", STEP.digest) and store.has(STEP)
    (folder / LOG).unlink()
    assert store.verify("spec", STEP.digest) and store.has(STEP), "a log that somebody removes breaks nothing"
    assert "from" not in "".join(capfd.readouterr()), "nothing reaches the terminal"


def test_warnings_and_what_libraries_log_go_to_each_steps_log_and_not_to_the_terminal(tmp_path) -> None:
    code = (
        "import sys, warnings, logging; from pathlib import Path\n"
        "from specsci.execute.logs import log_libraries, logged\n"
        "log_libraries()\n"
        "for n in (1, 2):\n"
        "    with logged(Path(sys.argv[1]) / str(n), 'title'):\n"
        "        warnings.warn('look out', UserWarning)\n"
        "        logging.getLogger('some.library').warning('its word')\n"
        "        logging.getLogger('transformers').warning('another')\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True)
    assert done.stdout + done.stderr == ""
    for n in "12":
        text = (tmp_path / n).read_text()
        assert "UserWarning: look out" in text and "WARNING some.library: its word" in text and "another" in text


def test_the_log_of_a_failed_step_is_kept_until_the_step_is_done(ran) -> None:
    def fails(context):
        print("what came before")
        raise ValueError("the cause")

    store, outcome = ran(fails)
    kept = failed_log(store.root, STEP.digest)
    assert (
        outcome.state == "failed" and "what came before" in kept.read_text() and "ValueError: the cause" in kept.read_text()
    )
    assert list((store.root / "stage").iterdir()) == []
    assert cause_of(outcome.error) == "ValueError: the cause"
    ran(noisy)
    assert not kept.exists() and not kept.parent.exists()


def test_no_secret_of_the_environment_is_in_a_log(ran, monkeypatch, tmp_path) -> None:
    monkeypatch.setenv("HF_TOKEN", "abcdefgh-the-token")
    monkeypatch.setenv("MY_API_KEY", "s3cr3t-k3y")
    monkeypatch.setenv("DB_PASSWORD", "correct horse")

    def tells(context):
        print(dict(os.environ))
        print("https://me:pw@host/x hf_ABCDEFGHIJKLMNOP")
        (context.out / "spec.json").write_text("{}")
        raise RuntimeError(f"401 for {os.environ['MY_API_KEY']}")

    store, _ = ran(tells)
    text = failed_log(store.root, STEP.digest).read_text()
    for secret in ("abcdefgh-the-token", "s3cr3t-k3y", "correct horse", "me:pw", "hf_ABCDEFGHIJKLMNOP"):
        assert secret not in text
    assert text.count(HIDDEN) >= 5 and "401 for ***" in text
    hide_secrets(tmp_path / "not there")


def test_a_log_can_be_added_to_and_what_is_no_text_stays(tmp_path) -> None:
    with logged(tmp_path / LOG, "title \ud800"):
        os.write(2, b"\xff\xfe\n")
    add(tmp_path / LOG, "end \ud800")
    assert b"\xff\xfe\n" in (tmp_path / LOG).read_bytes() and b"end" in (tmp_path / LOG).read_bytes()


ERRORS = [
    ("the loss became nan at update 4\n  hint: lower the learning rate", "the loss became nan at update 4"),
    ("a.py:1:1: bad\n  hint: x", "a.py:1:1: bad"),
    ('Traceback (most recent call last):\n  File "x", line 1\n    f()\nValueError: no\n', "ValueError: no"),
    (
        "Traceback (most recent call last):\n  File\nKeyError: 1\n\nDuring handling, another:\n\n"
        "Traceback (most recent call last):\n  File\ntorch.OutOfMemoryError: CUDA\nTip: buy more\n  more\n",
        "torch.OutOfMemoryError: CUDA",
    ),
    ("Traceback (most recent call last):\n  File\nAssertionError\n", "AssertionError"),
    ("\n\n", "no cause was written down"),
    ("", "no cause was written down"),
]


@pytest.mark.parametrize(("error", "cause"), ERRORS)
def test_the_cause_of_a_failure_is_told_and_its_hint_beside_it(error, cause) -> None:
    assert cause_of(error) == cause
    failure = {"label": "midtrain x", "digest": "d" * 24, "error": error, "log": "/s/failed/d/log.txt"}
    found = {"study": "s", "done": 1, "total": 2, "kinds": {}, "running": [], "failures": [failure]}
    lines = status_lines(found)
    assert lines[1] == f"failed: midtrain x [{'d' * 24}]: {cause}"
    assert ("hint: " in lines[2]) == ("hint: " in error)
    assert "  log: /s/failed/d/log.txt" in lines


def test_a_refusal_of_the_device_is_a_steps_failure_with_its_log(ran, monkeypatch, tmp_path) -> None:
    from specsci.core.errors import UserError

    def refuse(step):
        raise UserError("there is an NVIDIA GPU, and this torch cannot use it", hint="install a CUDA build")

    store = Store(tmp_path / "store").open()
    outcome = run_job(store, Job(STEP, {}, "me-1-x"), None, set(), refuse)
    assert outcome.state == "failed" and cause_of(outcome.error) == "there is an NVIDIA GPU, and this torch cannot use it"
    assert failed_log(store.root, STEP.digest).is_file()


def test_a_failed_run_tells_its_cause_last_and_where_the_log_is_and_prints_no_tables(tmp_path) -> None:
    import harness

    study, toy = tmp_path / "s.yaml", (sys.executable, str(Path(harness.__file__).parent / "crash" / "toy_cli.py"))
    study.write_text(harness.SMALL)
    run = ("study", "run", study, "--store", tmp_path / "store", "--plain")
    code, out, err = harness.run(*run, command=toy, env={"TOY_FAILS": "1"})
    assert code == 1 and out == ""
    end = err[err.index("not finished:") :]
    assert "Misaligned rate" not in err and "what another took away" in end.split("failed: ")[-1]
    log = end.rpartition("log: ")[2].strip()
    assert "what another took away" in open(log).read()
    code, out, _ = harness.run("study", "status", study, "--store", tmp_path / "store")
    assert "what another took away" in out and f"log: {log}" in out and code == 0
    code, out, _ = harness.run("study", "status", study, "--store", tmp_path / "store", "--json")
    failures = json.loads(out)["failures"]
    assert failures[0]["cause"].endswith("what another took away") and log in {f["log"] for f in failures}
