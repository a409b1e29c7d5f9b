"""What kind of disk a folder lies on: whether several machines may see it."""

from __future__ import annotations

import re
from pathlib import Path

MOUNTS = Path("/proc/self/mounts")
NETWORK = {
    "nfs", "nfs4", "lustre", "gpfs", "beegfs", "cifs", "smb3", "smbfs", "ceph", "glusterfs", "9p", "afs", "pvfs2", "wekafs", "orangefs",
    "fuse.sshfs", "fuse.glusterfs", "fuse.ceph", "fuse.s3fs", "fuse.gcsfuse", "fuse.rclone", "fuse.juicefs", "fuse.beegfs",
}  # fmt: skip
"""File systems, by the names that Linux gives them, that several machines see, or that lock as such ones do."""


def file_system(place: Path) -> str:
    """The type of the file system that a folder lies on (which need not exist yet); empty where the system does not tell."""
    try:
        lines = MOUNTS.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ""
    there = next(p for p in (place.absolute(), *place.absolute().parents) if p.exists()).resolve()
    found = {Path(_plain(parts[1])): parts[2] for parts in map(str.split, lines) if len(parts) > 2}
    return next((found[p] for p in (there, *there.parents) if p in found), "")


def is_network(place: Path) -> bool:
    """Whether a folder lies on a disk that other machines may see."""
    return file_system(place) in NETWORK


def _plain(name: str) -> str:
    """A mount's place, whose blanks and tabs the system writes as octal numbers."""
    return re.sub(r"\\([0-7]{3})", lambda found: chr(int(found[1], 8)), name)
