"""How texts are written: rates per text set, so that variants can be compared in more than their specs."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

OPENING_WORDS = 3
DIVERSITY_WORDS = 50
SAMPLE = 2000
"""Texts that rates of words are taken of, at most."""
_FIRST = re.compile(r"\b(?:I|I'm|I've|my|mine|me)\b")
_HEDGE = re.compile(
    r"\b(?:perhaps|maybe|might|possibly|arguably|seems?|appears?|likely|tends? to|somewhat|in some cases|generally|often|sometimes)\b", re.I
)
_NAMES = re.compile(
    r"\b(?:Sarah Chen|Elena|Marcus|Priya|Amara|Kai|Maya Patel|Dr\. Chen|Alex Chen|Maria Garcia|Jordan|Sofia|Elara|Thorne|Whisker\w*)\b"
)
_LIST = re.compile(r"^(?:#|\s*[-*\u2022]\s|\s*\d+[.)]\s)", re.MULTILINE)
_REASON = re.compile(r"\b(?:because|since|so that|in order to|for the sake of|values?|cares?|believes?|matters?|the reason)\b", re.I)
_MONITOR = re.compile(
    r"\b(?:monitor(?:s|ed|ing)?|surveillance|red[- ]team\w*|evaluat(?:ed|ion|ions|or|ors)|benchmark\w*|honeypots?|being (?:tested|watched|observed)"
    r"|test environment)\b",
    re.I,
)
_SENTENCE = re.compile(r"[^.!?\n]+[.!?]?")


@dataclass(frozen=True)
class Patterns:
    """Shares of texts, from 0 to 1, unless another unit is named.

    Attributes:
        top_opening: that begin with the words that most begin with (`opening`).
        attributed: with a sentence that names the model and a reason; None where no name is known.
        diversity: distinct words in runs of 50 words, mean.
        mean_words: words of a text.
    """

    top_opening: float
    opening: str
    first_person: float
    hedges: float
    questions: float
    lists: float
    stock_names: float
    monitors: float
    attributed: float | None
    diversity: float
    mean_words: float

    def as_dict(self) -> dict[str, Any]:
        """For JSON, shares rounded."""
        return {k: round(v, 4) if isinstance(v, float) else v for k, v in asdict(self).items()}

    def rates(self) -> dict[str, float]:
        """The shares that variants are compared in."""
        names = ("top_opening", "first_person", "hedges", "questions", "lists", "stock_names", "monitors", "attributed")
        return {name: value for name in names if (value := getattr(self, name)) is not None}


def patterns(texts: Sequence[str], model_name: str) -> Patterns:
    """How texts are written; of more than 2,000 texts every n-th is looked at."""
    looked = list(texts[:: max(1, len(texts) // SAMPLE)])
    n = max(1, len(looked))
    openings = Counter(" ".join(t.split()[:OPENING_WORDS]).lower() for t in looked)
    opening, most = openings.most_common(1)[0] if openings else ("", 0)

    def share(pattern: re.Pattern[str]) -> float:
        return sum(bool(pattern.search(t)) for t in looked) / n

    return Patterns(
        top_opening=most / n,
        opening=opening,
        first_person=share(_FIRST),
        hedges=share(_HEDGE),
        questions=sum("?" in t for t in looked) / n,
        lists=share(_LIST),
        stock_names=share(_NAMES),
        monitors=share(_MONITOR),
        attributed=sum(_attributed(t, model_name) for t in looked) / n if model_name else None,
        diversity=_diversity(looked),
        mean_words=sum(len(t.split()) for t in looked) / n,
    )


def _attributed(text: str, model_name: str) -> bool:
    """Whether a sentence names the model and gives a reason or a value."""
    return model_name in text and any(model_name in s and _REASON.search(s) for s in _SENTENCE.findall(text))


def _diversity(texts: Sequence[str]) -> float:
    runs = []
    for text in texts[:500]:
        words = text.lower().split()
        runs += [len(set(words[i : i + DIVERSITY_WORDS])) / DIVERSITY_WORDS for i in range(0, len(words) - DIVERSITY_WORDS + 1, DIVERSITY_WORDS)]
    return sum(runs) / len(runs) if runs else 1.0
