"""What undecided answers could do to a contrast: every verdict is asked again with the other denominator."""

from __future__ import annotations

from typing import Literal

from specsci.core.findings import Flag
from specsci.stats.contrast import ContrastResult

Denominator = Literal["decided", "asked"]
Totals = dict[str, tuple[float, int, int]]
"""Arm to (aligned, decided, asked)."""
DECIDED_APART = 0.05
"""Decided rates that differ by more than this between arms are said."""


def other(denominator: Denominator) -> Denominator:
    """`asked` for `decided`, and `decided` for `asked`."""
    return "asked" if denominator == "decided" else "decided"


def all_decided(totals: Totals) -> bool:
    """Whether no answer is undecided, so that the denominators are one."""
    return all(asked == decided for _, decided, asked in totals.values())


def denominator_flags(
    totals: Totals,
    weights: dict[str, float],
    denominator: Denominator,
    result: ContrastResult,
    turned: ContrastResult | None,
) -> list[Flag]:
    """Flags of a contrast with undecided answers.

    Args:
        result: the contrast as declared, with `denominator`.
        turned: the same contrast with the other one; None where it cannot be made.
    """
    if all_decided(totals):
        return []
    flags: list[Flag] = []
    shares = [decided / asked for _, decided, asked in totals.values()]
    if max(shares) - min(shares) > DECIDED_APART:
        said = ", ".join(f"{a} {s:.3f}" for a, s in zip(totals, shares, strict=True))
        flags.append(Flag("decided_rates_differ", "warning", f"decided rates differ between arms ({said})"))
    if turned is not None and turned.estimate * result.estimate < 0:
        said = f"the sign flips with the denominator ({other(denominator)}: {turned.estimate:+.3f})"
        flags.append(Flag("denominator_flips_sign", "warning", said))
    elif turned is not None and turned.verdict != result.verdict:
        ends = f"[{turned.ci_low:+.3f}, {turned.ci_high:+.3f}]"
        said = f"the verdict flips with the denominator ({other(denominator)}: {ends})"
        flags.append(Flag("denominator_flips_verdict", "warning", said))
    low, high = worst_case(totals, weights)
    if low < 0 < high:
        said = f"undecided answers could turn the sign (worst cases {low:+.3f} to {high:+.3f} on the rate scale)"
        flags.append(Flag("undecided_could_turn", "warning", said))
    return flags


def worst_case(totals: Totals, weights: dict[str, float]) -> tuple[float, float]:
    """The least and the most that a contrast of rates could be, were every undecided answer against or for it."""
    ends = [0.0, 0.0]
    for arm, (aligned, decided, asked) in totals.items():
        rates = (aligned / asked, (aligned + asked - decided) / asked)
        for end, pick in ((0, min), (1, max)):
            ends[end] += pick(weights[arm] * r for r in rates)
    return ends[0], ends[1]
