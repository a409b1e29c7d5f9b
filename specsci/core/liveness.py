"""Names of processes that no other process ever has, and whether the process of a name is surely gone.

Host name and process id are shared by containers of one name, and process ids come again. A name here holds the boot of the
kernel, the pid namespace and the process's start as well: only a process that can see the other one may call it dead.
"""

from __future__ import annotations

import os
import re
import socket
import uuid
from functools import lru_cache
from pathlib import Path

_NAME = re.compile(
    r"(?P<host>.+)-(?P<pid>\d+)-(?P<random>[0-9a-f]{6})(_(?P<boot>[0-9a-z]+)_(?P<space>[0-9a-z]+)_(?P<start>\d+))?"
)


def process_name() -> str:
    """A new name for this process: `HOST-PID-RANDOM_BOOT_NAMESPACE_START`, fit for file names."""
    host = re.sub(r"[^\w.-]", "_", socket.gethostname()) or "host"
    boot, space = _here()
    return f"{host}-{os.getpid()}-{uuid.uuid4().hex[:6]}_{boot}_{space}_{_started(os.getpid()) or 0}"


def is_dead(name: str) -> bool:
    """Whether a name is that of a process which this one could see, and which is gone.

    False wherever that cannot be known: another machine, another container, another boot.
    """
    found = _NAME.fullmatch(name)
    if not found or found["host"] != (re.sub(r"[^\w.-]", "_", socket.gethostname()) or "host"):
        return False
    pid = int(found["pid"])
    if found["boot"] is None:  # as versions before this one named themselves
        return not _alive(pid)
    boot, space = _here()
    if (found["boot"], found["space"]) != (boot, space):
        return False
    started = _started(pid)
    return not _alive(pid) or (started is not None and int(found["start"]) not in (0, started))


@lru_cache(maxsize=1)
def _boot() -> str:
    """The kernel's boot, 12 hex digits; where there is no `/proc`, the second of the boot."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip().replace("-", "")[:12]
    except OSError:
        import psutil

        return str(int(psutil.boot_time()))


def _here() -> tuple[str, str]:
    """Boot and pid namespace of this process."""
    try:
        space = "".join(c for c in str(Path("/proc/self/ns/pid").readlink()) if c.isdigit()) or "0"
    except OSError:
        space = "0"
    return _boot(), space


def _started(pid: int) -> int | None:
    """When a process began, in a unit of the system's; None where this process cannot see it."""
    try:
        if str(Path("/proc/self").readlink()) != str(os.getpid()):
            return None  # /proc is of another namespace than our process ids
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
        return int(stat.rpartition(")")[2].split()[19])
    except (OSError, IndexError, ValueError):
        if Path("/proc/self").exists():
            return None
    import psutil

    try:
        return int(psutil.Process(pid).create_time())
    except psutil.Error:
        return None


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True
