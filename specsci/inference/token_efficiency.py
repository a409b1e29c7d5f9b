"""Token efficiency of a study's declared pairs: tokens until a level is reached, in three token accountings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from specsci.core.findings import Flag
from specsci.core.kinds import KINDS
from specsci.core.record import Record
from specsci.database.manifest import Manifest
from specsci.inference.rates import Rates
from specsci.provenance.lineage import ancestors
from specsci.stats.efficiency import EXACT, Bound, TokenRatio, fall_at_crossing, token_ratios
from specsci.store.artifact import Store

TokenAccountings = dict[str, dict[str, float]]
"""Name of a token accounting, to the tokens of every arm that it adds to those of alignment."""
AFT_TOKENS = "AFT tokens"
NOTHING: dict[str, Any] = {
    **dict.fromkeys(
        ("level", "arm_tokens", "reference_tokens", "ratio", "ratio_value", "ratio_relation", "ci_low", "ci_high")
    ),
    "undefined_share": None,
    "n": 0,
    "method": "none",
}
"""The numbers of a pair that no replicate has whole."""
STEEP = 0.4
"""A curve that falls by more than this share of the base's rate between two budgets rests on the interpolation: the ratio may be
off by 6 % and more, and more replicates do not help."""
NO_INTERVAL = {
    "one_replicate": "one replicate: no interval, and nothing is said of other replicates",
    "no_spread": "no spread between replicates: no interval",
    "undetermined": "a curve lies beyond the grid where one replicate is left out: no interval",
}


def efficiency_rows(store: Store, manifest: Manifest, rates: Rates, invalidated: dict[str, list[str]]) -> list[dict[str, Any]]:
    """Ratios of every declared pair at every level; `invalidated` is what of a pair's arms was invalidated, by `arm`.

    A pair that no replicate has whole keeps its row, without numbers.
    """
    declared = manifest.token_efficiency
    if not declared:
        return []
    arms = {arm for pair in declared.pairs for arm in (pair.arm, pair.reference)}
    made = {arm: _made_from(store, manifest, arm) for arm in arms}
    accountings, usd = _token_accountings(manifest, made), {arm: _paid(found) for arm, found in made.items()}
    rows = []
    for pair in declared.pairs:
        arm, reference = pair.arm, pair.reference
        paid = {"arm_usd": usd[arm], "reference_usd": usd[reference]}
        shared = [sorted({c.aft_tokens for c in manifest.cells if c.arm == a and c.eval == declared.eval}) for a in (arm, reference)]
        budgets = [b for b in shared[0] if b in shared[1] and b > 0]
        if not budgets:
            continue
        cells = [(declared.base, 0), *((a, b) for a in (reference, arm) for b in budgets)]
        table, pairs = rates.paired(declared.eval, [[cell] for cell in cells])
        gone = dict.fromkeys(reason for a in (declared.base, reference, arm) for reason in invalidated.get(a, []))
        flags = [Flag("withdrawn", "invalid", f"withdrawn: {reason}") for reason in gone]
        if len(pairs) < len(manifest.replicates):
            flags.append(Flag("incomplete", "invalid", f"incomplete: {len(pairs)} of {len(manifest.replicates)} replicates"))
        for share in (declared.level_share, *declared.exploratory_level_shares):
            said = {
                "study": manifest.study,
                **pair.plain(),
                **paid,
                "level_share": share,
                "exploratory": share != declared.level_share,
            }
            if not len(table):
                rows.append({**said, **NOTHING, "counting": AFT_TOKENS, "flags": [f.as_dict() for f in flags]})
                continue
            base, curves = 1 - table[:, 0], 1 - table[:, 1:].reshape(len(table), 2, len(budgets))
            levels = share * base
            said["level"] = float(levels.mean())
            extras = [(added[reference], added[arm]) for added in accountings.values()]
            ratios = token_ratios(np.array(budgets), curves[:, 0], curves[:, 1], levels, extras)
            steep = _steep({reference: curves[:, 0], arm: curves[:, 1]}, base, said["level"])
            rows += [
                {**_row(r), **said, "counting": counting, "flags": [f.as_dict() for f in (*flags, *steep, *_open(r))]}
                for counting, r in zip(accountings, ratios, strict=True)
            ]
    return rows


def _steep(curves: dict[str, np.ndarray], base: np.ndarray, level: float) -> list[Flag]:
    """A flag for each arm whose mean curve falls far between the two budgets around its crossing."""
    flags = []
    for arm, rates in curves.items():
        share = fall_at_crossing(rates.mean(axis=0), level) / base.mean() if base.mean() else 0.0
        if share > STEEP:
            said = f"the curve of {arm} falls by {share:.0%} of the base's rate between the budgets around its crossing"
            flags.append(Flag("steep_curve", "warning", f"{said}: the tokens rest on the interpolation"))
    return flags


def _open(result: TokenRatio) -> list[Flag]:
    """Why there is no interval; of EXACT and more replicates the bounds themselves say it."""
    because = result.open_because
    if because not in NO_INTERVAL or (because == "undetermined" and (result.n >= EXACT or result.ratio is None)):
        return []
    code = {"undetermined": "interval_undetermined"}.get(because, because)
    return [Flag(code, "note" if because == "undetermined" else "warning", NO_INTERVAL[because])]


def _token_accountings(manifest: Manifest, made: Mapping[str, list[list[Record]]]) -> TokenAccountings:
    """AFT tokens alone; with those midtrained on; with those written for it as well, where the corpora are in the store."""
    midtrain = {cell.arm: float(cell.midtrain_tokens) for cell in manifest.cells}
    found: TokenAccountings = {AFT_TOKENS: dict.fromkeys(made, 0.0), "AFT and midtraining tokens": midtrain}
    generated = {arm: _generated(records) if midtrain.get(arm) else 0.0 for arm, records in made.items()}
    if any(generated.values()):
        found["AFT, midtraining and generated tokens"] = {arm: midtrain.get(arm, 0.0) + generated[arm] for arm in made}
    return found


def _generated(made: list[list[Record]]) -> float:
    """Tokens that were written for an arm's texts, mean over its replicates; a corpus that several models share counts in each.

    Where a language model wrote, these are all tokens of its replies, those that were not used among them.
    """
    return _mean([sum(map(_tokens_of, records)) for records in made])


def _tokens_of(record: Record) -> float:
    if "usage" in record.facts and KINDS[record.kind].asks:
        return float(record.facts["usage"]["output_tokens"])
    return float(record.facts.get("tokens", 0)) if record.kind == "corpus" and "written" not in record.identity.inputs else 0.0


def _paid(made: list[list[Record]]) -> float | None:
    """Dollars of requests to language models behind an arm's texts, mean over its replicates; None where nothing was asked."""
    spent = [
        [record.facts["usage"]["usd"] for record in records if "usage" in record.facts and KINDS[record.kind].asks] for records in made
    ]
    return _mean([float(sum(usd)) for usd in spent]) if any(spent) else None


def _made_from(store: Store, manifest: Manifest, arm: str) -> list[list[Record]]:
    """Of every replicate of an arm: the records of all that its model was made from."""
    cells = sorted((c for c in manifest.cells if c.arm == arm), key=lambda c: -c.aft_tokens)
    models = {cell.seed: cell.model_digest for cell in cells}  # of each the one that was aligned least
    return [ancestors(store, model) for model in models.values() if model]


def _mean(values: list[float]) -> float:
    return float(np.mean(values)) if values else 0.0


def _row(result: TokenRatio) -> dict[str, Any]:
    def shown(bound: Bound | None) -> str | None:
        return None if bound is None else str(bound)

    return {
        "arm_tokens": shown(result.arm_tokens),
        "reference_tokens": shown(result.reference_tokens),
        "ratio": shown(result.ratio),
        "ratio_value": result.ratio.value if result.ratio else None,
        "ratio_relation": result.ratio.relation if result.ratio else None,
        "ci_low": result.ci_low,
        "ci_high": result.ci_high,
        "undefined_share": result.undefined_share,
        "n": result.n,
        "method": result.method,
    }
