"""Asked to stop: a worker ends at once, except inside a stretch of work that first saves what it has."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

STOP_FILE = "SPECSCI_STOP_FILE"
"""Variable of processes that share a step: the file that tells them to stop."""
STOPPED = 128 + signal.SIGTERM
"""The exit code of a worker that was asked to stop."""


class _State:
    wanted = False
    saving = 0


def heed_sigterm() -> None:
    """Let SIGTERM end this process: at once, or inside `saving_first` when the work there looks at `wanted`."""
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, _asked)


def _asked(*_: object) -> None:
    _State.wanted = True
    if not _State.saving:
        os._exit(STOPPED)


@contextmanager
def saving_first() -> Iterator[None]:
    """Inside, being asked to stop is only noted: the work looks at `wanted`, saves what it has and calls `stop`.

    Where the work ends meanwhile, its step is published, and the process ends after that.
    """
    _State.saving += 1
    try:
        yield
    finally:
        _State.saving -= 1


def wanted() -> bool:
    """Whether this process was asked to stop, or the one that started it, which says so by a file (`STOP_FILE`)."""
    return _State.wanted or bool(os.environ.get(STOP_FILE) and Path(os.environ[STOP_FILE]).exists())


def stop() -> None:
    """End now: what was worth saving is saved."""
    os._exit(STOPPED)
