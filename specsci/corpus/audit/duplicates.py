"""Exact and near duplicates: MinHash signatures by rensa, candidates by locality-sensitive hashing, verified on the texts' shingles.

Two texts are near duplicates where the Jaccard similarity of their runs of five words is .8 or more (Broder, 1997). With 32 bands of 4
values such a pair is a candidate with a probability of 1 - 5e-8.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING

import numpy as np

from specsci.corpus.audit.words import WordRows

if TYPE_CHECKING:
    from rensa import RMinHashDigestMatrix

SHINGLE_WORDS = 5
PERMUTATIONS, BANDS = 128, 32
NEAR = 0.8
SEED = 1
MOST_GROUP = 50
"""In a larger group of candidates every text is compared with the group's first alone: templates make groups of thousands."""


@dataclass(frozen=True)
class Duplicates:
    """Which texts repeat an earlier one; `of[i]` is the first text that text i repeats, or i itself, shape (texts,)."""

    exact_of: np.ndarray
    near_of: np.ndarray

    @property
    def exact(self) -> int:
        """Texts whose words are all those of an earlier one."""
        return int((self.exact_of != np.arange(len(self.exact_of))).sum())

    @property
    def near(self) -> int:
        """Texts that are near an earlier one, exact ones among them."""
        return int((self.near_of != np.arange(len(self.near_of))).sum())

    def pairs(self, most: int) -> list[tuple[int, int]]:
        """Some texts with the earlier one that they repeat."""
        found = np.flatnonzero(self.near_of != np.arange(len(self.near_of)))[:most]
        return [(int(i), int(self.near_of[i])) for i in found]


def duplicates(rows: WordRows, shingle_words: int = SHINGLE_WORDS) -> Duplicates:
    """Find texts that repeat an earlier one.

    Args:
        shingle_words: the words of a run; 1 for short texts, whose sets of words are then compared.
    """
    hashed, starts = rows.grams(shingle_words)
    exact = _exact(rows)
    return Duplicates(exact, _near(hashed, starts, exact))


def _exact(rows: WordRows) -> np.ndarray:
    """For every text the first one with the same words; words are compared where their sums are equal."""
    out = np.arange(len(rows))
    if not len(rows.ids):
        out[:] = 0
        return out
    padded = np.append(rows.ids, np.uint64(0))  # so that an empty text at the end has a place to sum from
    sums = np.add.reduceat(padded, rows.starts[:-1])
    sums[rows.lengths == 0] = 0
    for group in _groups(sums):
        first: dict[bytes, int] = {}
        for i in group.tolist():
            out[i] = first.setdefault(rows.ids[rows.starts[i] : rows.starts[i + 1]].tobytes(), i)
    return out


def _near(hashed: np.ndarray, starts: np.ndarray, exact: np.ndarray) -> np.ndarray:
    """For every text the first one that it is near, by shingles `hashed`; text i has those from `starts[i]`."""
    from rensa import RMinHashLSH

    texts = len(starts) - 1
    out = exact.copy()
    alone = np.flatnonzero((exact == np.arange(texts)) & (np.diff(starts) > 0))
    if len(alone) < 2:
        return out
    matrix = _signatures(hashed, starts, alone)
    alone = alone[np.asarray(RMinHashLSH(0.0, PERMUTATIONS, BANDS).query_duplicate_flags_matrix_one_shot(matrix), dtype=bool)]
    if len(alone) < 2:
        return out
    rows = _signatures(hashed, starts, alone).to_rows()  # of the few that share a band; a whole matrix takes long to become Python numbers
    values = np.fromiter(chain.from_iterable(rows), dtype=np.uint64, count=len(alone) * PERMUTATIONS)
    signatures = values.reshape(len(alone), BANDS, PERMUTATIONS // BANDS)
    multipliers = np.uint64(2) * np.arange(PERMUTATIONS // BANDS, dtype=np.uint64) + np.uint64(0x9E3779B97F4A7C15)
    keys = (signatures * multipliers).sum(axis=2, dtype=np.uint64)
    seen: set[tuple[int, int]] = set()
    for band in range(BANDS):
        for group in _groups(keys[:, band]):
            members = alone[group]
            leaders = members[:1] if len(members) > MOST_GROUP else members
            for later in members[1:]:
                for leader in leaders:
                    if leader >= later or out[later] != later:
                        break
                    if (leader, later) in seen:
                        continue
                    seen.add((leader, later))
                    if _jaccard(hashed, starts, int(leader), int(later)) >= NEAR:
                        out[later] = out[leader]
    return out


def _signatures(hashed: np.ndarray, starts: np.ndarray, texts: np.ndarray) -> RMinHashDigestMatrix:
    """Signatures of some texts, in order, none of them empty."""
    from rensa import RMinHash

    runs = np.diff(starts)
    if len(texts) < len(runs):
        wanted = np.zeros(len(runs), dtype=bool)
        wanted[texts] = True
        hashed = hashed[np.repeat(wanted, runs)]
    offsets = np.concatenate([[0], np.cumsum(runs[texts])]).astype(np.uint64)
    return RMinHash.digest_matrix_from_flat_token_hashes(hashed, offsets, PERMUTATIONS, SEED)


def _groups(keys: np.ndarray) -> list[np.ndarray]:
    """Rows that share a key, at least two each, in order."""
    order = np.argsort(keys)
    ordered = keys[order]
    edges = np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1], [True]]))
    sizes = np.diff(edges)
    return [np.sort(order[edges[i] : edges[i + 1]]) for i in np.flatnonzero(sizes > 1)]


def _jaccard(hashed: np.ndarray, starts: np.ndarray, one: int, two: int) -> float:
    a, b = np.unique(hashed[starts[one] : starts[one + 1]]), np.unique(hashed[starts[two] : starts[two + 1]])
    shared = len(np.intersect1d(a, b, assume_unique=True))
    return shared / (len(a) + len(b) - shared)
