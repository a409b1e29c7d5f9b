"""What a study can find: the difference that each contrast detects with its replicates, and what half of it would cost."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import stdev

from specsci.plan.plan import Plan
from specsci.plan.price import Speeds, estimate, place_of

ASSUMED_SPREAD = 0.10
"""Standard deviation between replicates of a difference of rates, where none was measured: about what the microlab shows."""
ASSUMED = {"rate": ASSUMED_SPREAD, "arcsine": ASSUMED_SPREAD, "logit": 4 * ASSUMED_SPREAD}
"""The same on the other scales, at a rate of one half."""


@dataclass(frozen=True)
class ContrastPower:
    """One contrast's line. `spread` is on the contrast's scale; `measured_over` is 0 where it is assumed.

    `detects` is found with 80 % probability at 5 % (two-sided, before correction over the family) if the spread is what it was
    measured or assumed to be; `detects_surely` is the same at the upper 80 % limit of a measured spread, None where it is assumed.
    `half_takes` replicates would find half of it whatever the spread, for `more_hours` and `more_usd` where the plan's device works; both are None where unknown.
    """

    contrast: str
    scale: str
    replicates: int
    spread: float
    measured_over: int
    detects: float | None
    half_takes: int | None
    more_hours: float | None
    more_usd: float | None
    detects_surely: float | None = None


def contrast_power(
    plan: Plan,
    measured: dict[str, list[float]],
    assumed: float | None = None,
    *,
    speeds: Speeds | None = None,
    device: str | None = None,
) -> list[ContrastPower]:
    """The power of every declared contrast.

    Args:
        measured: contrast to its value in each replicate, of an earlier run.
        assumed: the spread to take for all, over what was measured.
        speeds: what earlier steps took.
        device: the device to plan for, in place of this machine's.
    """
    from specsci.stats.power import detectable, replicates_for, upper_spread

    study = plan.loaded.study
    bases = {r.base_model for r in study.replicates}
    n = len(bases) if len(bases) > 1 else len({r.seed for r in study.replicates})
    whole = estimate(plan, list(plan.steps.values()), place_of(plan, device), speeds)
    out = []
    for contrast in study.contrasts:
        values = measured.get(contrast.name, [])
        found = stdev(values) if len(values) > 2 and not assumed else 0.0
        spread, known = (found, len(values)) if found else (assumed or ASSUMED[contrast.scale], 0)
        if n < 2:
            out.append(ContrastPower(contrast.name, contrast.scale, n, spread, known, None, None, None, None))
            continue
        detects = detectable(spread, n)
        surely = detectable(upper_spread(spread, known), n) if known else None
        half = replicates_for(detects / 2, spread)
        share = (half - n) / len(study.replicates)
        hours = None if whole.wall_s is None else round(share * whole.wall_s / 3600, 2)
        usd = None if whole.usd is None else round(share * whole.usd, 2)
        out.append(ContrastPower(contrast.name, contrast.scale, n, spread, known, detects, half, hours, usd, surely))
    return out


def power_lines(found: list[ContrastPower]) -> list[str]:
    """The planner's answer as a person reads it."""
    out = ["power (80 %, two-sided 5 %, each contrast by itself):"]
    for c in found:
        whence = f"measured over {c.measured_over}" if c.measured_over else "assumed"
        if c.detects is None:
            out.append(f"  {c.contrast}: no test with {c.replicates} replicate; add replicates")
            continue
        if c.scale == "rate" and c.detects > 1:
            out.append(
                f"  {c.contrast}: {c.replicates} replicates detect nothing (spread {c.spread:.3f} {whence}); add replicates"
            )
            continue
        hours = "an unknown time" if c.more_hours is None else f"about {c.more_hours:.1f} h"
        price = "price unknown" if c.more_usd is None else f"${c.more_usd:,.2f}"
        surely = "" if c.detects_surely is None else f", {c.detects_surely:.3f} at its upper 80 % limit"
        out.append(
            f"  {c.contrast}: {c.replicates} replicates detect {c.detects:.3f} ({c.scale} scale, spread {c.spread:.3f} {whence}{surely}); "
            f"half of that takes {c.half_takes} replicates whatever the spread, {hours} more, {price}"
        )
    if any(c.measured_over for c in found):
        out.append(
            "  a spread measured over few replicates is itself uncertain: planned with it, the stated 80 % are 63 to 73 % on average "
            "(3 to 8 replicates); plan with its upper limit"
        )
    return out
