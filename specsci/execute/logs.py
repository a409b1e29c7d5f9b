"""What a step and its libraries write: one log beside its files, and that of a failed step kept in the store.

A log is not part of an artefact's identity and has no digest: two runs of one step may differ in it.
"""

from __future__ import annotations

import logging
import os
import re
import shutil
import sys
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import TextIO

from specsci.store.artifact import LOG

FAILED = "failed"
"""Folder of a store with the logs of failed steps, by digest."""
LEAST_SECRET = 6
HIDDEN = "***"
_SECRET_NAME = re.compile(r"key|token|secret|passw|credential|auth", re.IGNORECASE)
_SECRET = re.compile(rb"\b(?:hf_|sk-|sk_|ghp_|gho_|github_pat_|xox[a-z]-|AKIA)[A-Za-z0-9_-]{8,}|(?<=://)[^/\s@]+(?=@)")


NO_PROGRESS_BARS = {
    "TOKENIZERS_PARALLELISM": "false",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "BITSANDBYTES_NOWELCOME": "1",
    "TQDM_DISABLE": "1",
}


def log_libraries() -> None:
    """Let libraries say their warnings, which a step's log takes; no progress bars."""
    _set(TRANSFORMERS_VERBOSITY="warning")
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    logging.captureWarnings(True)


def quiet_libraries() -> None:
    """Keep libraries from writing progress bars and advice into what a command prints."""
    _set(TRANSFORMERS_VERBOSITY="error", TRANSFORMERS_NO_ADVISORY_WARNINGS="1")
    warnings.filterwarnings("ignore")
    logging.disable(logging.WARNING)


def _set(**more: str) -> None:
    """Set what libraries read from the environment at their import, where the user has not."""
    for name, value in {**NO_PROGRESS_BARS, **more}.items():
        os.environ.setdefault(name, value)


@contextmanager
def logged(path: Path, title: str) -> Iterator[None]:
    """Everything that this process writes to its standard streams goes to a file meanwhile, from C code and children too.

    Args:
        path: the log; it is begun anew.
        title: its first line. It holds no time: a step that reads its inputs whole reads their logs too.
    """
    _flush()
    saved = os.dup(1), os.dup(2)
    with path.open("wb", buffering=0):
        pass
    with path.open("ab", buffering=0) as log:  # both ways of writing add at the end
        log.write(f"{title}\n".encode(errors="replace"))
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
    try:
        with _stream(path) as text, redirect_stdout(text), redirect_stderr(text), warnings.catch_warnings():
            warnings.simplefilter("default")
            yield
    finally:
        _flush()
        for number, stream in enumerate(saved, start=1):
            os.dup2(stream, number)
            os.close(stream)
        hide_secrets(path)


def _stream(path: Path) -> TextIO:
    """The log for this process's own words, which may go elsewhere than to its standard streams."""
    return path.open("a", encoding="utf-8", errors="backslashreplace", buffering=1)


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            stream.flush()


def add(path: Path, text: str) -> None:
    """Add lines to a log, such as the traceback that a step ended with."""
    with path.open("a", encoding="utf-8", errors="backslashreplace") as log:
        log.write(text.rstrip("\n") + "\n")
    hide_secrets(path)


def hide_secrets(path: Path, environment: Mapping[str, str] | None = None) -> None:
    """Take the values of secret variables of the environment, and what looks like an access token, out of a log."""
    given = os.environ if environment is None else environment
    values = {
        v.encode(errors="surrogateescape") for k, v in given.items() if _SECRET_NAME.search(k) and len(v) >= LEAST_SECRET
    }
    try:
        text = path.read_bytes()
    except FileNotFoundError:  # the step removed its whole folder
        return
    clean = _SECRET.sub(HIDDEN.encode(), text)
    for value in sorted(values, key=len, reverse=True):
        clean = clean.replace(value, HIDDEN.encode())
    if clean != text:
        path.write_bytes(clean)


def keep_failed(root: Path, digest: str, stage: Path) -> Path | None:
    """Keep the log of a step that failed, in place of an earlier one; None where it wrote none."""
    source, target = stage / LOG, failed_log(root, digest)
    if not source.is_file():
        return None
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f"{target.name}.{os.getpid()}.tmp")
    shutil.copyfile(source, part)
    part.replace(target)
    return target


def failed_log(root: Path, digest: str) -> Path:
    """Where the log of a failed step lies."""
    return root / FAILED / digest / LOG


def drop_failed(root: Path, digest: str) -> None:
    """Remove the log of an earlier failure of a step that is done now."""
    shutil.rmtree(root / FAILED / digest, ignore_errors=True)
