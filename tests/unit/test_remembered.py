"""Hashes of large files are read once, and never of a file that may have changed since."""

from __future__ import annotations

import hashlib
import os
import time

import pytest

from specsci.core import remembered
from specsci.core.remembered import LARGE_BYTES, remembered_sha256


@pytest.fixture
def reads(monkeypatch, tmp_path) -> list[str]:
    """The files that were really read."""
    monkeypatch.setenv("SPECSCI_CACHE", str(tmp_path / "cache"))
    seen: list[str] = []
    real = remembered.file_sha256
    monkeypatch.setattr(remembered, "file_sha256", lambda path: (seen.append(path.name), real(path))[1])
    monkeypatch.setattr(remembered, "SETTLED_NS", 5 * 10**6)
    return seen


def large(path, fill: bytes):
    path.write_bytes(fill * LARGE_BYTES)
    time.sleep(0.05)
    return path


def test_a_large_file_is_read_once_and_a_small_one_each_time(tmp_path, reads) -> None:
    big, small = large(tmp_path / "big", b"x"), tmp_path / "small"
    small.write_bytes(b"x")
    want = hashlib.sha256(b"x" * LARGE_BYTES).hexdigest()
    assert [remembered_sha256(big) for _ in range(3)] == [want] * 3 and [remembered_sha256(small) for _ in range(2)]
    assert reads == ["big", "small", "small"]


def test_a_file_that_changed_is_read_again_even_where_size_and_time_are_put_back(tmp_path, reads) -> None:
    big = large(tmp_path / "big", b"x")
    before = big.stat()
    remembered_sha256(big)
    big.write_bytes(b"y" * LARGE_BYTES)
    os.utime(big, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert big.stat().st_mtime_ns == before.st_mtime_ns and big.stat().st_size == before.st_size
    assert remembered_sha256(big) == hashlib.sha256(b"y" * LARGE_BYTES).hexdigest() and reads == ["big", "big"]


def test_a_file_that_is_being_written_is_not_remembered(tmp_path, reads, monkeypatch) -> None:
    monkeypatch.setattr(remembered, "SETTLED_NS", 10**12)
    big = large(tmp_path / "big", b"x")
    remembered_sha256(big)
    remembered_sha256(big)
    assert reads == ["big", "big"]


def test_without_a_cache_it_is_read(tmp_path, reads, monkeypatch) -> None:
    (tmp_path / "file").write_text("x")
    monkeypatch.setenv("SPECSCI_CACHE", str(tmp_path / "file" / "below"))
    big = large(tmp_path / "big", b"x")
    assert remembered_sha256(big) == remembered_sha256(big) and reads == ["big", "big"]
