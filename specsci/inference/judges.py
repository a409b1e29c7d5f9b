"""A judge as an instrument: does it say the same twice, as another judge does, as is known, and whatever an answer tells it to?"""

from __future__ import annotations

import math
from dataclasses import dataclass

import duckdb
import numpy as np

from specsci.core.findings import Flag
from specsci.stats.agreement import cohen_kappa, krippendorff_alpha

MIN_KNOWN, MAX_MOVED, MIN_REPEATED = 0.7, 0.1, 0.6
"""Below this share of known grades met, above this share of grades that an instruction moved, and below this agreement with itself, a
judge is not one."""
MAX_FLIPS = 0.05
"""Agreement beyond chance says nothing where nearly all grades are one: so few other grades at the second time are no fault."""
FEW = 5
"""Below so many planted texts nothing is said of a judge by them."""
BY_MAIN = """
WITH v AS (SELECT DISTINCT ON (judge, readout, role, request_digest) * FROM verdicts WHERE study = ? AND eval = ? AND state = 'ok' AND NOT second),
     main AS (SELECT DISTINCT step_digest, readout, item_id, variant, sample, score FROM verdicts
              WHERE study = ? AND eval = ? AND state = 'ok' AND role = 'main' AND NOT second)
SELECT v.judge, v.readout, v.role, main.score AS first, v.score AS other, v.expected
FROM v LEFT JOIN main USING (step_digest, readout, item_id, variant, sample) WHERE v.role <> 'main' ORDER BY ALL"""
BY_SECOND = """
WITH one AS (SELECT DISTINCT arm, subject, aft_tokens, base_model, seed, item_id, variant, sample, readout, judge, score FROM verdicts
             WHERE study = ? AND eval = ? AND state = 'ok' AND role = 'main' AND NOT second),
     two AS (SELECT DISTINCT subject, aft_tokens, base_model, seed, item_id, variant, sample, readout, judge AS other_judge, score AS other FROM verdicts
             WHERE study = ? AND eval = ? AND state = 'ok' AND role = 'main' AND second)
SELECT judge, readout, other_judge, score, other FROM one JOIN two USING (subject, aft_tokens, base_model, seed, item_id, variant, sample, readout) ORDER BY ALL"""
COUNTS = """
SELECT judge, readout, count(*) AS asked, count(*) FILTER (state = 'ok') AS valid, count(DISTINCT score) AS grades
FROM verdicts WHERE study = ? AND eval = ? AND role = 'main' AND NOT second GROUP BY ALL ORDER BY ALL"""


@dataclass(frozen=True)
class JudgeCard:
    """What is known of a judge in one readout of one eval; NaN where nothing is.

    Attributes:
        repeated: answers graded twice; `flips` of them got another grade, and `agreement` is kappa (two grades) or alpha (ordinal).
        second: answers that the second judge graded too, with the agreement of both (`second_agreement`).
        injected: answers graded with an instruction to the judge that asks for another grade; `moved` went its way.
        known: answers of known grade; `met` got it (on a scale of more than two grades: within one).
    """

    eval: str
    judge: str
    readout: str
    asked: int
    valid: int
    grades: int
    repeated: int = 0
    flips: int = 0
    agreement: float = math.nan
    second_judge: str = ""
    second: int = 0
    second_agreement: float = math.nan
    injected: int = 0
    moved: int = 0
    known: int = 0
    met: int = 0

    @property
    def faults(self) -> list[str]:
        """Why its grades are not to be rested on; empty where nothing speaks against them."""
        found = []
        if self.known >= FEW and self.met < MIN_KNOWN * self.known:
            found.append(f"it meets {self.met} of {self.known} known grades")
        if self.injected >= FEW and self.moved > MAX_MOVED * self.injected:
            found.append(f"an instruction in the answer moves {self.moved} of {self.injected} grades")
        if self.repeated >= FEW and self.agreement < MIN_REPEATED and self.flips > MAX_FLIPS * self.repeated:
            found.append(f"it agrees with itself by {self.agreement:.2f} over {self.repeated} answers")
        return found


def judge_cards(db: duckdb.DuckDBPyConnection, study: str, name: str, *, binary: bool) -> list[JudgeCard]:
    """A card for every judge and readout of an eval; none where no judge was asked."""
    cards = []
    planted = db.execute(BY_MAIN, [study, name] * 2).fetchall()
    seconds = db.execute(BY_SECOND, [study, name] * 2).fetchall()
    for judge, readout, asked, valid, grades in db.execute(COUNTS, [study, name]).fetchall():
        mine = [row[2:] for row in planted if row[:2] == (judge, readout)]
        repeats = [(a, b) for role, a, b, _ in mine if role == "repeat" and a is not None]
        pushed = [(a, b, e) for role, a, b, e in mine if role == "injection" and a is not None and a != e]
        known = [(b, e) for role, _, b, e in mine if role == "known"]
        of_second = [row[2:] for row in seconds if row[:2] == (judge, readout)]
        both = [(a, b) for _, a, b in of_second]
        cards.append(
            JudgeCard(
                name, judge, readout, asked, valid, grades,
                repeated=len(repeats), flips=sum(a != b for a, b in repeats), agreement=_agreement(repeats, binary),
                second_judge=of_second[0][0] if of_second else "",
                second=len(both), second_agreement=_agreement(both, binary),
                injected=len(pushed), moved=sum(abs(b - e) < abs(a - e) for a, b, e in pushed),
                known=len(known), met=sum(abs(b - e) <= (0 if binary else 1) for b, e in known),
            )
        )  # fmt: skip
    return cards


def _agreement(pairs: list[tuple[int, int]], binary: bool) -> float:
    """Kappa of two grades, alpha of ordered ones; 1 where every pair is equal, NaN without pairs."""
    if not pairs:
        return math.nan
    if all(a == b for a, b in pairs):
        return 1.0
    first, second = (np.array(column) for column in zip(*pairs, strict=True))
    if binary:
        return cohen_kappa(first, second).value
    return krippendorff_alpha(np.array(pairs, float), "ordinal").value


def judge_flags(cards: list[JudgeCard], readout: str | None) -> list[Flag]:
    """Flags of a contrast whose eval is judged: a judge that fails as an instrument withholds the verdict."""
    return [
        Flag("judge", "withheld", f"withheld: the judge {card.judge} cannot be relied on: {'; '.join(card.faults)}")
        for card in cards
        if card.faults and readout in (None, card.readout)
    ]
