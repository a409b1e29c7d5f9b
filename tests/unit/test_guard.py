"""The outermost guard: exit codes and sentences for what commands and environments do, and what a terminal is shown."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path

import click
import duckdb
import pytest

from specsci.cli.guard import guarded, without_secrets
from specsci.core.errors import GateRefused, UserError
from specsci.core.terminal_text import ERRORS, Visible, plain_streams, raw, visible


def command(*args: str, **options: object) -> subprocess.CompletedProcess[bytes]:
    env = {k: v for k, v in os.environ.items() if k != "SPECSCI_RAISE"} | options.pop("env", {})  # type: ignore[operator]
    return subprocess.run([sys.executable, "-m", "specsci", *args], env=env, timeout=120, **options)  # type: ignore[call-overload]


def raising(error: BaseException):
    def act() -> None:
        raise error

    return act


@pytest.fixture
def plain(monkeypatch, tmp_path: Path) -> Path:
    """No test mode, and a state folder of its own."""
    monkeypatch.delenv("SPECSCI_RAISE", raising=False)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setattr(sys, "argv", ["specsci", "study", "run", "x", "--api-key", "abc-secret-value"])
    return tmp_path / "state" / "specsci"


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (UserError("wrong", hint="right"), 2, "wrong\n  hint: right"),
        (GateRefused("no"), 3, "no"),
        (KeyboardInterrupt(), 4, "finished steps are kept"),
        (click.UsageError("what"), 2, "what"),
        (SystemExit(3), 3, ""),
        (duckdb.CatalogException("no table x"), 2, "`specsci results rebuild`"),
        (OSError(36, "File name too long", "x" * 300), 2, "File name too long"),
        (OSError(28, "No space left on device"), 2, "free space"),
        (BrokenPipeError(), 0, ""),
    ],
    ids=lambda v: type(v).__name__ if isinstance(v, BaseException) else "",
)
def test_every_end_has_its_exit_code_and_sentence(plain, capsys, error, code, said) -> None:
    assert guarded(raising(error)) == code
    err = capsys.readouterr().err
    assert said in err and "Traceback" not in err and not plain.exists()


def test_the_unforeseen_is_one_sentence_and_a_file_to_send(plain, capsys, monkeypatch) -> None:
    monkeypatch.setenv("MY_TOKEN", "topsecret99")
    assert guarded(raising(RuntimeError("odd topsecret99 at https://me:pw@host/x sk-abcdefghijkl"))) == 1
    err = capsys.readouterr().err
    (file,) = plain.iterdir()
    assert str(file) in err and err.count("\n") == 1 and "RuntimeError" in err and "Traceback" not in err
    text = file.read_text()
    assert "Traceback" in text and "test_guard.py" in text and "Python 3." in text and "duckdb" in text and "'run'" in text
    for secret in ("topsecret99", "abc-secret-value", "me:pw", "sk-abcdefghijkl"):
        assert secret not in text + err
    assert oct(file.stat().st_mode & 0o777) == "0o600"


def test_tests_see_what_nobody_foresaw(plain, monkeypatch) -> None:
    monkeypatch.setenv("SPECSCI_RAISE", "1")
    with pytest.raises(ZeroDivisionError):
        guarded(raising(ZeroDivisionError()))


def test_the_suite_itself_runs_in_test_mode() -> None:
    assert os.environ["SPECSCI_RAISE"] == "1"


@pytest.mark.parametrize("argument", ["a\0b", "\udc80", "\ud800.yaml"])
def test_arguments_that_no_name_can_be_are_refused(plain, capsys, monkeypatch, argument) -> None:
    from specsci.cli.main import main

    monkeypatch.setattr(sys, "argv", ["specsci", "study", "check", argument])
    with pytest.raises(SystemExit) as end:
        main()
    assert end.value.code == 2 and "argument 3 holds" in capsys.readouterr().err


@pytest.mark.parametrize(
    "args",
    [
        ("study", "check", "y" * 300),
        ("study", "plan", "value_vs_rules.yaml", "--store", "y" * 300),
        ("spec", "show", "y" * 300, "x"),
        ("spec", "check", "conduct", "--tokenizer", "y" * 300),
        ("results", "sql", "SELECT 1", "--store", "y" * 300),
        ("study", "check", "/".join(["y" * 200] * 30)),
    ],
    ids=lambda a: " ".join(a)[:20],
)
def test_names_that_are_too_long_for_a_file_are_refused(plain, capsys, monkeypatch, args) -> None:
    from specsci.cli.main import main

    monkeypatch.setattr(sys, "argv", ["specsci", *args])
    with pytest.raises(SystemExit) as end:
        main()
    assert end.value.code == 2, capsys.readouterr().err


def test_a_full_or_closed_output_is_no_traceback(tmp_path: Path) -> None:
    with open("/dev/full", "wb") as full:
        done = command("spec", "show", "microlab_conduct", "rules", stdout=full, stderr=subprocess.PIPE)
    assert done.returncode == 2 and b"standard output cannot be written" in done.stderr and b"Traceback" not in done.stderr
    reader, writer = os.pipe()
    os.close(reader)
    done = command("spec", "show", "microlab_conduct", "rules", stdout=writer, stderr=subprocess.PIPE)
    os.close(writer)
    assert done.returncode == 0 and done.stderr == b""
    shell = f"exec {sys.executable} -m specsci spec list microlab_conduct >&-"
    done = subprocess.run(["bash", "-c", shell], capture_output=True, timeout=120)
    assert (done.returncode, done.stderr) == (0, b"")


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252"])
def test_small_encodings_get_plain_characters(encoding) -> None:
    code = (
        "from specsci.cli.guard import guarded\nfrom specsci.report.table import Table\nfrom specsci.report.terminal import show\n"
        "import click, sys\nsys.argv = ['specsci']\n"
        "def go():\n    show(['a – b'], [Table('t → u', ['é'], [['x \U0001f600']])])\n    click.echo('c – d')\n"
        "raise SystemExit(guarded(go))"
    )
    env = {**os.environ, "PYTHONIOENCODING": encoding, "PYTHONUTF8": "0"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=60, env=env)
    out = done.stdout.decode(encoding)
    assert done.returncode == 0, done.stderr
    assert ("a – b" if encoding == "cp1252" else "a - b") in out
    assert ("c – d" if encoding == "cp1252" else "c - d") in out and "\\U0001f600" in out


def test_a_working_directory_that_is_gone_is_a_message(tmp_path: Path) -> None:
    folder = tmp_path / "gone"
    folder.mkdir()
    shell = f"cd {folder} && rmdir {folder} && exec {sys.executable} -m specsci spec show microlab_conduct rules"
    done = subprocess.run(["bash", "-c", shell], capture_output=True, text=True, timeout=120)
    assert done.returncode in (0, 2) and "Traceback" not in done.stderr


def test_an_account_without_a_home_has_a_cache(monkeypatch, tmp_path: Path) -> None:
    from specsci.core.shipped import cache_folder

    for name in ("SPECSCI_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(os.path, "expanduser", lambda text: text)
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(tmp_path))
    assert cache_folder("families").is_relative_to(tmp_path)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b]0;pwn\x07", "\\x1b]0;pwn\\x07"),
        ("a\x9b31mb\x7f", "a\\x9b31mb\\x7f"),
        ("over\rwritten", "over\\x0dwritten"),
        ("tab\tline\nend\r\n", "tab\tline\nend\r\n"),
        ("\u202eturned", "\\u202eturned"),
        ("half \ud83d", "half \\ud83d"),
        ("[b]no markup[/b] é – 😀", "[b]no markup[/b] é – 😀"),
    ],
)
def test_control_characters_are_shown(text, shown) -> None:
    assert visible(text) == shown


def test_click_and_rich_obey_no_users_text(capsys) -> None:
    from specsci.report.table import Table
    from specsci.report.terminal import show

    def act() -> None:
        click.echo("\x1b[31mred \x1b]0;pwn\x07")
        click.echo("\x1b]0;pwn\x07", err=True)
        show(["\x1b]8;;x\x07[link=http://x]y[/link]"], [Table("[/b]", ["\x1b[2J"], [["\x07[red]"]])])

    assert guarded(act) == 0
    out, err = capsys.readouterr()
    assert not {"\x1b", "\x07"} & set(out + err)
    assert "\\x1b]0;pwn\\x07" in out and "[link=http://x]y[/link]" in out and "[/b]" in out and "[red]" in out


def test_streams_are_put_back_and_raw_is_the_stream() -> None:
    before = sys.stdout
    with plain_streams():
        assert isinstance(sys.stdout, Visible) and raw(sys.stdout) is before
    assert sys.stdout is before
    assert "–".encode("ascii", ERRORS) == b"-"
    with pytest.raises(TypeError):
        Visible(io.StringIO()).write(b"x")  # type: ignore[arg-type]


def test_what_is_no_secret_stays() -> None:
    assert without_secrets("study run value_vs_rules.yaml --store x") == "study run value_vs_rules.yaml --store x"
    assert "v1" not in without_secrets("--hf-token=v1234567")


def test_json_has_no_word_for_infinity_and_none_that_is_unprintable(capsys) -> None:
    import json

    from specsci.cli.common import emit

    guarded(lambda: emit({"a": [float("nan"), float("-inf"), 1.5], "b": "x\x7f\x1b\u2028"}))
    assert json.loads(capsys.readouterr().out) == {"a": [None, None, 1.5], "b": "x\x7f\x1b\u2028"}
