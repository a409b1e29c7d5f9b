"""Running foreign code for a limited time in a process that may be killed: a template can loop for ever, also inside C."""

from __future__ import annotations

import os
import pickle
import resource
import select
import signal
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

MORE_BYTES = 2 * 2**30
"""Memory that the process may take beyond what it began with."""


class OutOfTime(Exception):
    """It did not end in time, or took too much memory; its process was killed."""


def bounded(work: Callable[[], Any], limit_s: float) -> Any:
    """What `work` returns, run in a copy of this process.

    Args:
        work: raises nothing but for too little memory; what it returns can be pickled.

    Raises:
        OutOfTime: it took longer than `limit_s` seconds, or its process died.
    """
    reader, writer = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # threads: the copy runs templates alone, no thread's locks
        child = os.fork()
    if child == 0:
        _work(work, reader, writer)
    os.close(writer)
    try:
        data = _read(reader, time.monotonic() + limit_s)
    finally:
        os.close(reader)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    if not data:
        raise OutOfTime("it did not end")
    return pickle.loads(data)  # noqa: S301 - this process's own fork wrote it


def _work(work: Callable[[], Any], reader: int, writer: int) -> None:
    """The copy's life: nothing of its parent's ends is run."""
    try:
        os.close(reader)
        _limit_memory()
        data = pickle.dumps(work())
        with os.fdopen(writer, "wb") as handle_out:
            handle_out.write(data)
    finally:
        os._exit(0)


def _limit_memory() -> None:
    """Where the system tells what the process holds (Linux), it may not take much more."""
    sizes = Path("/proc/self/statm")
    if sizes.is_file():
        resident = int(sizes.read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (resident + MORE_BYTES, resident + MORE_BYTES))


def _read(reader: int, until: float) -> bytes:
    """All that is written; empty where the end is not reached in time."""
    data = b""
    while (left := until - time.monotonic()) > 0:
        if select.select([reader], [], [], left)[0]:
            part = os.read(reader, 65_536)
            if not part:
                return data
            data += part
    return b""
