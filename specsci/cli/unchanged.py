"""The answer of a run that had nothing to do, again, where nothing that it rested on has changed since.

`specsci study run STUDY --json` on a finished study reads the study, plans it and looks at every artefact, to say that there is nothing to
do. What it read is noted by an audit hook; when it had nothing to do, its answer is kept with size and times of every file that it read,
every folder that it listed or read from, and every file of every artefact. The same command in the same place and environment gives
that answer again as long as all of them are as they were. The standard library alone: this is imported before anything else.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections.abc import Iterable
from typing import Any

FORMAT = 1
VARIABLES = ("SPECSCI_", "HF_", "CUDA_VISIBLE_DEVICES", "XDG_CACHE_HOME", "HOME")
"""Variables that a plan may depend on, by how they begin."""
BESIDE = ("", "steps", "stage", "checkpoints", "studies", "studies/superseded", "locks", "claims", "retired", "grades", "imports")
"""Folders of a store whose lists of names count."""
Facts = list[int] | None
PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))  # noqa: PTH100, PTH120 - no pathlib: its import takes longer than all else here
_LIBRARIES = tuple({os.path.realpath(p) + os.sep for p in (sys.prefix, sys.base_prefix)} | {"/proc/", "/dev/", "/sys/"})


class Recorder:
    """Notes what is read from now on."""

    def __init__(self, place: str) -> None:
        self.place = place  # of the environment as it is now: libraries set variables of their own
        self.seen: dict[str, Facts] = {}
        self.active = True
        sys.addaudithook(self._hear)

    def _hear(self, event: str, args: tuple[Any, ...]) -> None:
        if not self.active or event not in ("open", "os.listdir", "os.scandir", "specsci.read"):
            return
        path = args[0]
        if event == "open" and ((args[1] is not None and set(str(args[1])) & set("wax+")) or (args[1] is None and args[2] & (os.O_WRONLY | os.O_RDWR))):
            return
        if path is None:
            path = "."
        if isinstance(path, bytes):
            path = os.fsdecode(path)
        if isinstance(path, (str, os.PathLike)):
            place = os.path.abspath(path)  # noqa: PTH100
            if place not in self.seen:
                self.seen[place] = facts_of(place)


_RECORDER: list[Recorder] = []


def facts_of(path: str) -> Facts:
    """What tells a file from one that was changed: size, times of content and inode, inode; of a folder its times; None where there is none."""
    try:
        found = os.stat(path)  # noqa: PTH116
    except OSError:
        return None
    return [found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino]


def is_asked(arguments: list[str]) -> bool:
    """Whether a command is one whose answer may be kept."""
    return arguments[:2] == ["study", "run"] and "--json" in arguments


def record(arguments: list[str]) -> None:
    """Note from now on what this process reads, for the answer to a command."""
    _RECORDER.append(Recorder(_place(arguments)))


def recorded() -> None:
    """Note no more: what a plan rests on is read."""
    for recorder in _RECORDER:
        recorder.active = False


def answer(arguments: list[str]) -> str | None:
    """What the same command said when it had nothing to do, if nothing has changed since."""
    try:
        with open(_place(arguments), encoding="utf-8") as file:  # noqa: PTH123
            kept = json.load(file)
        if kept["format"] != FORMAT:
            return None
        stat = os.stat
        for folder, names in kept["files"].items():
            head = folder + "/"
            for name, facts in names.items():
                try:
                    found = stat(head + name)
                except OSError:
                    if facts is None:
                        continue
                    return None
                if facts is None or facts != [found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino]:
                    return None
        return str(kept["said"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def keep(said: str, root: str, artefacts: Iterable[str]) -> None:
    """Keep the answer of a command that had nothing to do; where nothing was noted, or it cannot be written, nothing is kept.

    Args:
        root: the store's directory.
        artefacts: the directories of all artefacts that it looked at.
    """
    if not _RECORDER:
        return
    recorded()
    recorder = _RECORDER[0]
    root = os.path.abspath(root)  # noqa: PTH100
    cache = os.path.dirname(recorder.place)  # noqa: PTH120
    seen = {
        path: facts
        for path, facts in recorder.seen.items()
        if not _below(path, root) and not _below(path, os.path.dirname(cache)) and (_below(path, PACKAGE) or not path.startswith(_LIBRARIES))  # noqa: PTH120
    }
    for path in list(seen):
        folder = os.path.dirname(path)  # noqa: PTH120
        if folder not in seen:  # a file that comes there may be taken in place of another
            seen[folder] = facts_of(folder)
    for module in list(sys.modules.values()):
        file = getattr(module, "__file__", None)
        if file and _below(os.path.abspath(file), PACKAGE):  # noqa: PTH100
            seen[file] = facts_of(file)
    for name in BESIDE:
        seen[os.path.join(root, name).rstrip("/")] = facts_of(os.path.join(root, name))  # noqa: PTH118
    seen.pop(root, None)  # its ledger and logs come and go
    seen[f"{root}/results.duckdb"] = facts_of(f"{root}/results.duckdb")
    for name in ("studies", "studies/superseded", "locks", "claims", "retired", "grades"):
        seen.update(_files(f"{root}/{name}"))
    for kind in _names(f"{root}/steps"):
        seen[f"{root}/steps/{kind}"] = facts_of(f"{root}/steps/{kind}")
    for folder in artefacts:
        for place, _, names in os.walk(folder):
            seen.update({f"{place}/{name}": facts_of(f"{place}/{name}") for name in names})
    _write(recorder.place, said, seen)


def _write(place: str, said: str, seen: dict[str, Facts]) -> None:
    by_folder: dict[str, dict[str, Facts]] = {}
    for path, facts in seen.items():
        folder, _, name = path.rpartition("/")
        by_folder.setdefault(folder, {})[name] = facts
    part = f"{place}.{os.getpid()}"
    try:
        os.makedirs(os.path.dirname(place), exist_ok=True)  # noqa: PTH103, PTH120
        with open(part, "w", encoding="utf-8") as file:  # noqa: PTH123
            json.dump({"format": FORMAT, "said": said, "files": by_folder}, file)
        os.replace(part, place)  # noqa: PTH105
    except OSError:
        return


def _files(folder: str) -> dict[str, Facts]:
    return {f"{folder}/{name}": facts_of(f"{folder}/{name}") for name in _names(folder)}


def _names(folder: str) -> list[str]:
    try:
        return os.listdir(folder)  # noqa: PTH208
    except OSError:
        return []


def _below(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder.rstrip("/") + "/")


def _place(arguments: list[str]) -> str:
    """Where an answer is kept: by the command, where it was given, with which Python and in which environment."""
    given = {k: v for k, v in sorted(os.environ.items()) if k.startswith(VARIABLES)}
    said = json.dumps([FORMAT, arguments, os.getcwd(), sys.version, PACKAGE, given])  # noqa: PTH109
    users = os.environ.get("SPECSCI_CACHE") or os.path.join(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "specsci")  # noqa: PTH111, PTH118
    return os.path.join(users, "unchanged", hashlib.sha256(said.encode()).hexdigest()[:32] + ".json")  # noqa: PTH118
