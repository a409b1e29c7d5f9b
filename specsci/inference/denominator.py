"""What answers that are not valid could do to a contrast: every contrast is estimated again with the other denominator."""

from __future__ import annotations

from typing import Literal

from specsci.core.findings import Flag
from specsci.stats.contrast import ContrastResult

Denominator = Literal["valid", "attempted"]
Totals = dict[str, tuple[float, int, int]]
"""Arm to (aligned, valid, attempted)."""
VALID_APART = 0.05
"""Shares of valid answers that differ between arms by more than this are reported."""


def other(denominator: Denominator) -> Denominator:
    """`attempted` for `valid`, and `valid` for `attempted`."""
    return "attempted" if denominator == "valid" else "valid"


def all_valid(totals: Totals) -> bool:
    """Whether every answer is valid, so that both denominators give the same rate."""
    return all(attempted == valid for _, valid, attempted in totals.values())


def denominator_flags(
    totals: Totals,
    weights: dict[str, float],
    denominator: Denominator,
    result: ContrastResult,
    turned: ContrastResult | None,
) -> list[Flag]:
    """Flags of a contrast some of whose answers are not valid.

    Args:
        result: the contrast as declared, with `denominator`.
        turned: the same contrast with the other one; None where it cannot be made.
    """
    if all_valid(totals):
        return []
    flags = shares_differ(totals)
    if turned is not None and turned.estimate * result.estimate < 0:
        said = f"the sign flips with the denominator ({other(denominator)}: {turned.estimate:+.3f})"
        flags.append(Flag("denominator_flips_sign", "warning", said))
    elif turned is not None and turned.verdict != result.verdict:
        ends = f"[{turned.ci_low:+.3f}, {turned.ci_high:+.3f}]"
        said = f"the verdict flips with the denominator ({other(denominator)}: {ends})"
        flags.append(Flag("denominator_flips_verdict", "warning", said))
    low, high = worst_case(totals, weights)
    if low < 0 < high:
        said = f"answers that are not valid could turn the sign (worst cases {low:+.3f} to {high:+.3f} on the rate scale)"
        flags.append(Flag("invalid_could_turn", "warning", said))
    return flags


def shares_differ(totals: Totals) -> list[Flag]:
    """A flag where the arms' shares of valid answers are further apart than VALID_APART."""
    shares = {arm: valid / attempted for arm, (_, valid, attempted) in totals.items() if attempted}
    if not shares or max(shares.values()) - min(shares.values()) <= VALID_APART:
        return []
    said = ", ".join(f"{arm} {share:.3f}" for arm, share in shares.items())
    return [Flag("valid_shares_differ", "warning", f"the share of valid answers differs between arms ({said})")]


def worst_case(totals: Totals, weights: dict[str, float]) -> tuple[float, float]:
    """The least and the most that a contrast of rates could be, were every answer that is not valid against or for it."""
    ends = [0.0, 0.0]
    for arm, (aligned, valid, attempted) in totals.items():
        rates = (aligned / attempted, (aligned + attempted - valid) / attempted)
        for end, pick in ((0, min), (1, max)):
            ends[end] += pick(weights[arm] * r for r in rates)
    return ends[0], ends[1]
