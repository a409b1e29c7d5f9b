"""Texts as numbered words: what duplicates and runs of words are counted on, a few million words a second."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

_PRIME = np.uint64(1_099_511_628_211)
_MIX = np.uint64(0x9E3779B97F4A7C15)
_BASE = 0xD1342543DE82EF95
_SPACE = 32
_TABLE = bytes(b if b >= 128 or chr(b).isalnum() or b in b"'_" else _SPACE for b in range(256))
_QUOTES = str.maketrans({"\u2019": "'", "\u2018": "'", "\u201c": " ", "\u201d": " ", "\u2013": " ", "\u2014": " ", "\u2026": " ", "\u00a0": " "})
CHUNK_BYTES = 2_000_000


def plain(text: str) -> bytes:
    """A text in lower case, every character that is no part of a word a space."""
    if not text.isascii():
        text = text.translate(_QUOTES)
    return text.lower().encode("utf-8", "replace").translate(_TABLE)


@dataclass(frozen=True)
class WordRows:
    """Texts one behind the other: `ids` are 64-bit numbers of words, shape (words of all texts,); text i begins at `starts[i]`."""

    ids: np.ndarray
    starts: np.ndarray

    @classmethod
    def of(cls, texts: Sequence[str]) -> WordRows:
        """Number the words of texts."""
        ids: list[np.ndarray] = []
        counts: list[np.ndarray] = []
        part: list[bytes] = []
        size = 0
        for number, text in enumerate(texts):
            part.append(plain(text))
            size += len(part[-1]) + 1
            if size >= CHUNK_BYTES or number == len(texts) - 1:
                found, each = _numbered(part)
                ids.append(found)
                counts.append(each)
                part, size = [], 0
        none = np.zeros(0, dtype=np.uint64)
        starts = np.concatenate([[0], np.cumsum(np.concatenate(counts) if counts else np.zeros(0, dtype=np.int64))])
        return cls(np.concatenate(ids) if ids else none, starts.astype(np.int64))

    def __len__(self) -> int:
        return len(self.starts) - 1

    @property
    def lengths(self) -> np.ndarray:
        """Words of every text, shape (texts,)."""
        return np.diff(self.starts)

    def grams(self, size: int) -> tuple[np.ndarray, np.ndarray]:
        """A number for every run of `size` words within one text, and where the runs of each text begin, shape (texts + 1,).

        A text of fewer words has one run: all its words.
        """
        words, lengths = len(self.ids), self.lengths
        mixed = (self.ids + np.uint64(1)) * _MIX
        mixed ^= mixed >> np.uint64(29)
        hashed = mixed.copy()
        for step in range(1, min(size, words)):
            hashed[: words - step] *= _PRIME
            hashed[: words - step] += mixed[step:]
        runs = np.where(lengths >= size, lengths - size + 1, np.minimum(lengths, 1))
        starts = np.concatenate([[0], np.cumsum(runs)]).astype(np.int64)
        place = np.arange(starts[-1]) - np.repeat(starts[:-1], runs) + np.repeat(self.starts[:-1], runs)
        out = hashed[place]
        for text in np.flatnonzero((lengths < size) & (lengths > 0)):
            value = 0
            for word in mixed[self.starts[text] : self.starts[text + 1]].tolist():
                value = (value * int(_PRIME) + word) % 2**64
            out[starts[text]] = np.uint64(value)
        return out, starts


@lru_cache(maxsize=2)
def _powers(count: int) -> tuple[np.ndarray, np.ndarray]:
    """The first powers of an odd number and of its inverse, modulo 2^64."""
    out = []
    for base in (_BASE, pow(_BASE, -1, 2**64)):
        found = np.full(count, np.uint64(base))
        found[0] = 1
        out.append(np.cumprod(found))
    return out[0], out[1]


def _numbered(part: list[bytes]) -> tuple[np.ndarray, np.ndarray]:
    """The words of some texts as numbers, and how many each text has."""
    data = np.frombuffer(b" " + b"\n".join(part) + b" ", dtype=np.uint8)
    inside = (data != _SPACE) & (data != 10)
    begins = np.flatnonzero(inside[1:] & ~inside[:-1]) + 1
    ends = np.flatnonzero(inside[:-1] & ~inside[1:]) + 1
    if not len(begins):
        return np.zeros(0, dtype=np.uint64), np.zeros(len(part), dtype=np.int64)
    powers, inverses = _powers(1 << (len(data) - 1).bit_length())
    sums = np.cumsum((data.astype(np.uint64) + np.uint64(1)) * powers[: len(data)])
    ids = (sums[ends - 1] - sums[begins - 1]) * inverses[begins]
    ids ^= ids >> np.uint64(31)
    edges = np.cumsum([1, *(len(text) + 1 for text in part)])
    return ids, np.diff(np.searchsorted(begins, edges))

