"""The command line's outermost guard: every end of a command is an exit code and a sentence.

What specsci raises on purpose says what, where and what to do. What nobody foresaw becomes a file to send, with the
traceback, the versions and the command without its secrets. Set SPECSCI_RAISE=1 to have it raised instead, as the tests do.
"""

from __future__ import annotations

import errno
import os
import platform
import re
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

import click

from specsci.core.terminal_text import OutputFailed, plain_streams
from specsci.core.version import __version__

RAISE = "SPECSCI_RAISE"
_FILE_SYSTEM = {
    errno.ENAMETOOLONG: "give a shorter name: a file name has at most 255 bytes",
    errno.ENOSPC: "free space on the disk, or name another place",
    errno.EDQUOT: "free space: the quota is used up",
    errno.EACCES: "ask for leave to use it, or name another place",
    errno.EPERM: "ask for leave to use it, or name another place",
    errno.EROFS: "name a place that can be written",
    errno.ENOTDIR: "name a folder",
    errno.EISDIR: "name a file",
    errno.ELOOP: "the links there lead round in a circle",
    errno.EMFILE: "allow more open files: `ulimit -n`",
}
"""Troubles of a file system that are not a fault of specsci's, and what helps."""
_SECRET_NAME = re.compile(r"(key|token|secret|password|passwd|credential)", re.IGNORECASE)
_SECRET = re.compile(r"\b(?:hf_|sk-|sk_|ghp_|gho_|github_pat_|xox[a-z]-|AKIA)[A-Za-z0-9_-]{8,}")
_LOGIN = re.compile(r"(?<=://)[^/\s@]+@")
_OPTION = re.compile(
    r"((?:^|[\s'\"?&-])[\w-]*(?:key|token|secret|password|passwd)[\w-]*[=:\s'\",]+)[^\s'\",&]+", re.IGNORECASE
)


def guarded(command: Callable[[], object]) -> int:
    """Run a command; returns its exit code.

    0 done, 1 a step failed or something unforeseen, 2 the user's input is wrong, 3 a gate refused, 4 interrupted.
    """
    with plain_streams() as out:
        code = _outcome(command)
        if out.gone:  # a pager that was left: click ends with 1 there
            return _no_output(BrokenPipeError())
        try:
            out.flush()
        except OSError as error:
            code = _no_output(error)
    return code


def leave(code: int) -> NoReturn:
    """End the process with an exit code; at once where threads of a library would abort an orderly end."""
    reader = sys.modules.get("specsci.sources.hub.data_sets")
    if reader is not None and reader.was_streamed():
        with suppress(OSError, ValueError):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)
    sys.exit(code)


def _outcome(command: Callable[[], object]) -> int:
    try:
        _check_arguments(sys.argv[1:])
        command()
    except SystemExit as error:
        return error.code if isinstance(error.code, int) else int(bool(error.code))
    except click.exceptions.Exit as error:
        return error.exit_code
    except click.Abort:
        _say("interrupted")
        return 4
    except KeyboardInterrupt:
        _say("interrupted; finished steps are kept, the same command goes on")
        return 4
    except click.ClickException as error:
        error.show()
        return 2
    except Exception as error:  # noqa: BLE001 - the outermost guard
        return _code_of(error)
    return 0


def _check_arguments(arguments: list[str]) -> None:
    """No argument may hold what no file name and no text here can hold."""
    for number, argument in enumerate(arguments, 1):
        half = any("\ud800" <= c <= "\udfff" for c in argument)
        if half or "\0" in argument:
            what = "bytes that are not valid UTF-8" if half else "the character NUL"
            raise click.UsageError(f"argument {number} holds {what}: {argument[:80]}")


def _code_of(error: Exception) -> int:
    from specsci.core.errors import SpecsciError

    if isinstance(error, SpecsciError):
        _say(str(error))
        return error.exit_code
    if isinstance(error, (BrokenPipeError, OutputFailed)):
        return _no_output(error)
    if isinstance(error, ModuleNotFoundError) and error.name:
        from specsci.core.extras import extra_of, missing

        if extra_of(error.name):
            _say(str(missing(error.name, "this command")))
            return 2
    if type(error).__module__.split(".")[0] in ("duckdb", "_duckdb"):
        what = " ".join(str(error).split())[:300]
        _say(f"the results database cannot be used: {what}\n  hint: `specsci results rebuild` makes it anew from the store")
        return 2
    if isinstance(error, OSError) and error.errno in _FILE_SYSTEM:
        place = f"{str(error.filename)[:200]}: " if error.filename else ""
        _say(f"{place}{error.strerror}\n  hint: {_FILE_SYSTEM[error.errno]}")
        return 2
    if isinstance(error, FileNotFoundError) and not _has_folder():
        _say("the working directory is gone\n  hint: change to a folder that is there")
        return 2
    if os.environ.get(RAISE):
        raise error
    return _report(error)


def _has_folder() -> bool:
    try:
        Path.cwd()
    except OSError:
        return False
    return True


def _no_output(error: OSError) -> int:
    """Standard output is closed (a pager that was left) or full; Python shall not complain of it again at the end."""
    try:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except (OSError, ValueError):  # no file below: a test's stream
        return 0 if isinstance(error, BrokenPipeError) else 2
    if isinstance(error, BrokenPipeError):
        return 0
    _say(f"standard output cannot be written: {error.strerror or error}\n  hint: free space, or write elsewhere")
    return 2


def _say(text: str) -> None:
    try:
        click.echo(text, err=True)
    except OSError:  # nobody listens: the exit code says it
        return


def _report(error: Exception) -> int:
    """Write down what nobody foresaw, and name the file."""
    what = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}" if str(error) else type(error).__name__
    if isinstance(error, MemoryError):
        what = "the memory of this machine is used up"
    file = _write(_details(error))
    send = f"send this file to the maintainers: {file}" if file else "and the details could not be written anywhere"
    _say(f"specsci stopped at something that it does not foresee ({without_secrets(what)}); {send}")
    if not file:
        _say(_details(error))
    return 1


def _details(error: Exception) -> str:
    from importlib.metadata import PackageNotFoundError, version

    found = []
    for name in ("torch", "transformers", "trl", "peft", "duckdb", "pyarrow", "pydantic", "ruamel.yaml", "click", "rich"):
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            found.append(f"{name} missing")
    lines = [
        f"specsci {__version__}, Python {platform.python_version()}, {platform.platform()}",
        ", ".join(found),
        f"command: {' '.join(repr(a) for a in sys.argv[1:])}",
        f"working directory: {Path.cwd() if _has_folder() else 'gone'}",
        "",
        *(line.rstrip("\n") for line in traceback.format_exception(error)),
    ]
    return without_secrets("\n".join(lines)) + "\n"


def without_secrets(text: str) -> str:
    """A text without the values of secret environment variables, and without what looks like a key or a login."""
    for name, value in os.environ.items():
        if _SECRET_NAME.search(name) and len(value) >= 6:
            text = text.replace(value, f"<{name}>")
    text = _LOGIN.sub("<login>@", _SECRET.sub("<secret>", text))
    return _OPTION.sub(r"\1<secret>", text)


def _write(text: str) -> Path | None:
    """The file with a report: in the user's state folder, else in the temporary one; None where neither can be written."""
    name = f"specsci-report-{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}.txt"
    home = os.path.expanduser("~")  # noqa: PTH111 - Path.home raises for an account without a home
    state = os.environ.get("XDG_STATE_HOME") or Path(home) / ".local" / "state"
    for folder in (Path(state) / "specsci", Path(tempfile.gettempdir())):
        try:
            folder.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(text, encoding="utf-8", errors="backslashreplace")
            (folder / name).chmod(0o600)
        except OSError:
            continue  # a folder that cannot be written: the next one is tried
        return folder / name
    return None
