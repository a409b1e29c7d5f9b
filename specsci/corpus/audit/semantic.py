"""Texts that mean the same, by sentence embeddings: near copies in other words, and passages close to eval items.

A text is cut into passages of some words, each of which has a unit vector; the text's own vector is the unit vector of their mean.
What two vectors say of two texts depends on the model: thresholds are the study's, and the distribution is reported beside the counts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from specsci.core.errors import StepFailed
from specsci.core.extras import need
from specsci.corpus.audit.findings import SHOWN, Found
from specsci.specs.items import Item
from specsci.study.audit import Embeddings

BLOCK = 2048
PLANTED = 5
"""Eval items that are planted, to see that they are found."""


class Embedder:
    """A sentence embedding model of a directory, without code of its own."""

    def __init__(self, folder: Path, device: str = "cpu") -> None:
        need("sentence_transformers", "the semantic audit")
        from sentence_transformers import SentenceTransformer

        try:
            self._model = SentenceTransformer(str(folder), device=device, trust_remote_code=False, local_files_only=True)
        except Exception as error:  # a model is foreign: it may fail in any way
            raise _failed(error) from error

    def of(self, texts: Sequence[str]) -> np.ndarray:
        """Unit vectors, shape (texts, dimensions)."""
        try:
            found = self._model.encode(list(texts), batch_size=64, normalize_embeddings=True, show_progress_bar=False)
        except Exception as error:  # as above
            raise _failed(error) from error
        return np.asarray(found, dtype=np.float32)


def _failed(error: Exception) -> StepFailed:
    said = " ".join(str(error).split())[:300] or type(error).__name__
    return StepFailed(f"the embedding model fails: {said}", hint="take another model (audit.embeddings.model)")


@dataclass(frozen=True)
class Semantic:
    """An embedding model with a study's thresholds, and the vectors of the eval items."""

    embedder: Embedder
    settings: Embeddings
    item_ids: tuple[str, ...]
    item_vectors: np.ndarray

    @classmethod
    def of(cls, folder: Path, settings: Embeddings, items: Sequence[Item]) -> Semantic:
        """Load a model, and see that it finds what is planted.

        Raises:
            StepFailed: an item that lost a word is not close to itself, or all items are the same to the model.
        """
        embedder = Embedder(folder)
        questions = [(item.item_id, question) for item in items for _, question in item.questions()]
        vectors = embedder.of([q for _, q in questions]) if questions else np.zeros((0, 1), dtype=np.float32)
        planted = list(range(len(questions)))[:: max(1, len(questions) // PLANTED)][:PLANTED]
        changed = embedder.of([" ".join(questions[n][1].split()[:-1]) or questions[n][1] for n in planted]) if planted else vectors
        missed = [questions[n][0] for n, v in zip(planted, changed, strict=True) if float(vectors[n] @ v) < settings.item_similarity]
        if missed:
            raise StepFailed(
                f"the embedding model does not find planted items ({', '.join(missed)}) at similarity {settings.item_similarity:g}",
                hint="lower audit.embeddings.item_similarity, or take another model",
            )
        return cls(embedder, settings, tuple(i for i, _ in questions), vectors)


def passages_of(text: str, words: int) -> list[str]:
    """A text in passages of some words; a short rest goes with the one before it."""
    said = text.split()
    starts = list(range(0, max(1, len(said) - words // 2), words))
    return [" ".join(said[a:b]) for a, b in zip(starts, [*starts[1:], len(said)], strict=True)]


def examine_meaning(role: str, texts: Sequence[str], semantic: Semantic) -> tuple[dict[str, Any], list[Found]]:
    """What of a text set means the same as an earlier text, or lies close to an eval item."""
    settings = semantic.settings
    cut = [passages_of(text, settings.passage_words) for text in texts]
    owner = np.repeat(np.arange(len(texts)), [len(p) for p in cut])
    vectors = semantic.embedder.of([p for passages in cut for p in passages])
    means = np.zeros((len(texts), vectors.shape[1] if len(vectors) else 1), dtype=np.float32)
    np.add.at(means, owner, vectors)
    means /= np.maximum(np.linalg.norm(means, axis=1, keepdims=True), 1e-12)
    nearest = nearest_earlier(means)
    repeated = np.flatnonzero(nearest >= settings.duplicate_similarity)
    close = _close(vectors, owner, semantic)
    found = []
    total = max(1, len(texts))
    if len(repeated) / total > settings.max_duplicates:
        text = f"{len(repeated):,} of {len(texts):,} texts mean what an earlier one means (similarity {settings.duplicate_similarity:g} or more)"
        found.append(Found("semantic_duplicates", "block", role, text, tuple(int(n) for n in repeated[:SHOWN])))
    if close:
        ids = sorted(set(close.values()))
        text = f"{len(close):,} texts have a passage close to an eval item (similarity {settings.item_similarity:g} or more): {', '.join(ids[:SHOWN])}"
        found.append(Found("semantic_leaks", "block", role, text, tuple(sorted(close)[:SHOWN])))
    later = nearest[1:]
    spread = {f"p{q}": round(float(np.percentile(later, q)), 4) for q in (50, 90, 99)} if len(later) else {}
    facts = {
        "semantic_duplicates": len(repeated),
        "nearest_similarity": spread,
        "semantic_diversity": diversity(means),
        "close_to_items": len(close),
    }
    return facts, found


def nearest_earlier(vectors: np.ndarray) -> np.ndarray:
    """Of every unit vector the largest similarity with an earlier one, shape (texts,); -1 of the first."""
    out = np.full(len(vectors), -1.0, dtype=np.float32)
    for start in range(0, len(vectors), BLOCK):
        block = vectors[start : start + BLOCK]
        similar = block @ vectors[: start + len(block)].T
        similar[np.arange(len(block))[:, None] + start <= np.arange(similar.shape[1])[None, :]] = -1.0
        out[start : start + len(block)] = similar.max(axis=1)
    return out


def diversity(vectors: np.ndarray) -> float | None:
    """1 less the mean similarity of two different texts; None of fewer than two."""
    n = len(vectors)
    if n < 2:
        return None
    whole = float(np.square(vectors.astype(np.float64).sum(axis=0)).sum())
    own = float(np.square(vectors.astype(np.float64)).sum())
    return round(1 - (whole - own) / (n * (n - 1)), 4)


def _close(vectors: np.ndarray, owner: np.ndarray, semantic: Semantic) -> dict[int, str]:
    """Texts with a passage close to an item, with the item that is closest."""
    best: dict[int, tuple[float, str]] = {}
    if not len(semantic.item_ids) or not len(vectors):
        return {}
    for start in range(0, len(vectors), BLOCK):
        similar = vectors[start : start + BLOCK] @ semantic.item_vectors.T
        for place in np.flatnonzero(similar.max(axis=1) >= semantic.settings.item_similarity):
            item, text = int(similar[place].argmax()), int(owner[start + place])
            value = float(similar[place, item])
            if value > best.get(text, (-1.0, ""))[0]:
                best[text] = (value, semantic.item_ids[item])
    return {text: item for text, (_, item) in best.items()}
