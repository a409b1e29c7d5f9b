"""Judges as instruments: a row for each judge and readout of every judged eval."""

from __future__ import annotations

import math

import duckdb

from specsci.database.connection import rows
from specsci.database.manifest import Manifest
from specsci.inference.judges import JudgeCard, judge_cards
from specsci.report.table import NOTHING, Table, rate, tokens
from specsci.stats.judge_error import FEW_LABELS

HEADER = ["eval", "judge", "readout", "valid of asked", "graded twice", "agrees with itself", "second judge", "injections that moved a grade", "known grades met", "verdicts"]

MANY_READOUTS = 3


def judge_table(db: duckdb.DuckDBPyConnection, study: str, manifest: Manifest) -> Table | None:
    """What is known of the judges; None where none was asked."""
    cards = [
        card
        for name in manifest.evals
        for card in judge_cards(db, study, name, binary=manifest.readout_of(name).outcome == "binary")
    ]
    if not cards:
        return None
    shown = [card for card in cards if not _says_nothing(card, cards)]
    note = _note(shown)
    if left := len(cards) - len(shown):
        note += f" Not shown: {left} readouts in which every answer has one grade, of evals with more than {MANY_READOUTS} readouts."
    return Table("Judges", HEADER, [_row(card) for card in shown], note)


def _says_nothing(card: JudgeCard, cards: list[JudgeCard]) -> bool:
    """Whether a readout among many of one eval has one grade for every answer, and no fault."""
    return card.grades <= 1 and not card.faults and sum(other.eval == card.eval for other in cards) > MANY_READOUTS


def corrected_table(db: duckdb.DuckDBPyConnection, study: str) -> Table | None:
    """Contrasts of judged evals with what people's grades change of them; None where nobody graded."""
    found = rows(db, "SELECT * FROM corrected_contrasts WHERE study = ? ORDER BY contrast", [study])
    if not found:
        return None
    table = Table("Contrasts corrected for the judge's error", ["contrast", "eval", "by the judge", "corrected", "95 % interval", "answers that people graded"])
    for r in found:
        interval = NOTHING if r["ci_low"] is None else f"[{r['ci_low']:+.3f}, {r['ci_high']:+.3f}]"
        shown = NOTHING if r["estimate"] is None else f"{r['estimate']:+.3f}"
        table.rows.append([r["contrast"], r["eval"], f"{r['judged']:+.3f}", shown, interval, f"{tokens(r['labels'])} (at least {tokens(r['least_labels'])} an arm)"])
    table.note = f"Prediction-powered inference: the judged difference, and what people and judge differ by. No interval with fewer than {FEW_LABELS} graded answers of an arm."
    return table


def ordinal_table(db: duckdb.DuckDBPyConnection, study: str) -> Table | None:
    """Contrasts of ordered grades by rank; None where there are none."""
    found = rows(db, "SELECT * FROM ordinal_contrasts WHERE study = ? ORDER BY contrast", [study])
    if not found:
        return None
    table = Table("Contrasts of grades by rank", ["contrast", "eval", "superiority", "95 % interval", "p", "replicates"])
    for r in found:
        interval = NOTHING if r["ci_low"] is None else f"[{rate(r['ci_low'])}, {rate(r['ci_high'])}]"
        table.rows.append([r["contrast"], r["eval"], rate(r["superiority"]), interval, NOTHING if r["p"] is None else f"{r['p']:.4f}".lstrip("0"), str(r["n"])])
    table.note = "Superiority: how often an answer of the first side has the higher grade, ties counted half; .5 is neither. It takes the order of grades alone. p is not corrected."
    return table


def _row(card: JudgeCard) -> list[str]:
    second = f"{card.second_judge}: {_number(card.second_agreement)} over {tokens(card.second)}" if card.second else NOTHING
    return [
        card.eval,
        card.judge,
        card.readout,
        f"{tokens(card.valid)} of {tokens(card.asked)}",
        f"{tokens(card.flips)} of {tokens(card.repeated)} otherwise" if card.repeated else NOTHING,
        _number(card.agreement),
        second,
        f"{tokens(card.moved)} of {tokens(card.injected)}" if card.injected else NOTHING,
        f"{tokens(card.met)} of {tokens(card.known)}" if card.known else NOTHING,
        f"withheld: {'; '.join(card.faults)}" if card.faults else "may be given",
    ]


def _number(value: float) -> str:
    return NOTHING if math.isnan(value) else rate(value) if value >= 0 else f"{value:.3f}"


def _note(cards: list[JudgeCard]) -> str:
    said = "Agreement: Krippendorff's alpha of ordered grades, Cohen's kappa of two. Injections: answers with an instruction to the judge that asks for another grade."
    flat = sorted({card.eval for card in cards if card.grades == 1})
    return f"{said} One grade for every answer: {', '.join(flat)} tells no models apart." if flat else said
