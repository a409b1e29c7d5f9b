"""Texts as numbered words: what duplicates and runs of words are counted on, a few million words a second."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

_PRIME = np.uint64(1_099_511_628_211)
_MIX = np.uint64(0x9E3779B97F4A7C15)
_BASE = 0xD1342543DE82EF95
_SPACE = 32
_TABLE = bytes(b if b >= 128 or chr(b).isalnum() or b in b"'_" else _SPACE for b in range(256))
_LOWER = bytes(_TABLE[b + 32 if 65 <= b <= 90 else b] for b in range(256))
"""The same, capitals of ASCII made small."""
_QUOTES = str.maketrans({"\u2019": "'", "\u2018": "'", "\u201c": " ", "\u201d": " ", "\u2013": " ", "\u2014": " ", "\u2026": " ", "\u00a0": " "})
CHUNK_BYTES = 120_000
"""Of texts that are numbered at once: so few that what is worked on stays in the cache."""

BLOCK_WORDS = 32_768


def plain(text: str) -> bytes:
    """A text in lower case, every character that is no part of a word a space."""
    if text.isascii():
        return text.encode("ascii").translate(_LOWER)
    return text.translate(_QUOTES).lower().encode("utf-8", "replace").translate(_TABLE)


@dataclass(frozen=True)
class WordRows:
    """Texts one behind the other: `ids` are 64-bit numbers of words, shape (words of all texts,); text i begins at `starts[i]`."""

    ids: np.ndarray
    starts: np.ndarray

    @classmethod
    def of(cls, texts: Sequence[str]) -> WordRows:
        """Number the words of texts."""
        done = [_numbered(part) for part in _parts(texts)]
        ids, counts = [found for found, _ in done], [each for _, each in done]
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
        mixed = np.empty_like(self.ids)
        hashed = np.empty_like(self.ids)
        for begin in range(0, words, BLOCK_WORDS):  # from one block to the next, the runs over its end take its first words too
            part = slice(begin, begin + BLOCK_WORDS + size - 1)
            fresh = (self.ids[part] + np.uint64(1)) * _MIX
            fresh ^= fresh >> np.uint64(29)
            mixed[part] = fresh
            block = fresh[:BLOCK_WORDS].copy()
            for step in range(1, min(size, words - begin)):
                more = fresh[step : step + len(block)]
                block[: len(more)] *= _PRIME
                block[: len(more)] += more
            hashed[begin : begin + BLOCK_WORDS] = block
        runs = np.where(lengths >= size, lengths - size + 1, np.minimum(lengths, 1))
        starts = np.concatenate([[0], np.cumsum(runs)]).astype(np.int64)
        begins = np.ones(words, dtype=bool)
        for step in range(1, size):  # a run does not begin where its text has fewer words left; short texts keep their first word
            ends = self.starts[1:][lengths > step] - step
            begins[ends] = False
        out = hashed[begins]
        for text in np.flatnonzero((lengths < size) & (lengths > 0)):
            value = 0
            for word in mixed[self.starts[text] : self.starts[text + 1]].tolist():
                value = (value * int(_PRIME) + word) % 2**64
            out[starts[text]] = np.uint64(value)
        return out, starts


def _parts(texts: Sequence[str]) -> Iterator[list[bytes]]:
    """Texts as plain bytes, in parts of about CHUNK_BYTES."""
    part: list[bytes] = []
    size = 0
    for text in texts:
        part.append(plain(text))
        size += len(part[-1]) + 1
        if size >= CHUNK_BYTES:
            yield part
            part, size = [], 0
    if part:
        yield part


@lru_cache(maxsize=8)
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
    inside = data > _SPACE  # what is no part of a word is a space, and a line feed between two texts
    turns = np.flatnonzero(inside[1:] != inside[:-1]) + 1
    begins, ends = turns[::2], turns[1::2]
    if not len(begins):
        return np.zeros(0, dtype=np.uint64), np.zeros(len(part), dtype=np.int64)
    powers, inverses = _powers(1 << (len(data) - 1).bit_length())
    sums = np.cumsum(data * powers[: len(data)])
    ids = (sums[ends - 1] - sums[begins - 1]) * inverses[begins]
    ids ^= ids >> np.uint64(31)
    edges = np.cumsum([1, *(len(text) + 1 for text in part)])
    return ids, np.diff(np.searchsorted(begins, edges))

