"""Language models that write: what they may cost and see, where they run, and whether variants are written alike."""

from __future__ import annotations

from specsci.core.errors import UserError
from specsci.generate.backend import BACKENDS
from specsci.generate.money import needed_price
from specsci.generate.settings import ANY, LOCAL, GeneratorSettings
from specsci.plan.gates.finding import Finding
from specsci.plan.plan import Plan
from specsci.plan.written import GeneratorCost, generator_costs


def generators(plan: Plan) -> list[Finding]:
    """Prices and caps, residency, access, and writers that differ between variants."""
    found = [finding for cost in generator_costs(plan, set()) for finding in _of(plan, cost)]
    return found + _study_cap(plan) + _unused(plan) + _writers(plan)


def _of(plan: Plan, cost: GeneratorCost) -> list[Finding]:
    name, settings = cost.name, cost.settings
    found: list[Finding] = []
    try:
        known = needed_price(name, settings)
    except UserError as error:
        return [Finding("refuse", "money", error.what, error.hint)]
    if settings.max_usd is not None and cost.usd is not None and cost.usd > settings.max_usd:
        text = f"{name} is expected to cost ${cost.usd:,.2f}, above its cap of ${settings.max_usd:,.2f}: it would stop in between"
        found.append(Finding("warn", "money", text, f"raise generators.{name}.max_usd, or ask for less"))
    if known.price.input or known.price.output:
        found.append(Finding("note", "money", f"{name}: prices of {settings.model} from {known.source}; look them up before you spend"))
    if (finding := _residency(name, settings)) is not None:
        found.append(finding)
    data = plan.loaded.family.data
    if plan.access == "confidential" and not settings.is_here and settings.backend not in data.allowed_backends:
        text = f"the texts are confidential, and the generator '{name}' sends them to {settings.who}"
        hint = f"take a local generator, or name its backend in the family's allowed_backends: [{settings.backend}]"
        found.append(Finding("refuse", "access", text, hint))
    shown = {**{f"header {k}": v for k, v in settings.headers.items()}, **settings.extra_body}
    if shown:
        listed = ", ".join(f"{k}: {v}" for k, v in shown.items())
        found.append(Finding("note", "generators", f"{name} sends besides: {listed}"))
    return found


def _residency(name: str, settings: GeneratorSettings) -> Finding | None:
    """A generator whose replies could never be shown to come from where they should."""
    if settings.residency == ANY or BACKENDS[settings.backend].reports_residency:
        return None
    where = settings.host_residency or (LOCAL if settings.is_here else "")
    if where == settings.residency:
        return None
    told = f"is declared to compute in {where}" if where else "does not say where it computes"
    text = f"{name}: residency is {settings.residency}, and {settings.who} {told}"
    return Finding("refuse", "residency", text, f"write generators.{name}.host_residency if you know where it computes")


def _study_cap(plan: Plan) -> list[Finding]:
    cap = plan.loaded.study.gates.max_usd
    costs = [c.usd for c in generator_costs(plan, set())]
    known = [usd for usd in costs if usd is not None]
    if cap is None or len(known) < len(costs) or sum(known) <= cap:
        return []
    text = f"the generators are expected to cost ${sum(known):,.2f}, above gates.max_usd of ${cap:,.2f}: they would stop in between"
    return [Finding("warn", "money", text, "raise gates.max_usd, or ask for less")]


def _unused(plan: Plan) -> list[Finding]:
    used = {step.runtime["generator"]["name"] for step in plan.steps.values() if "requests" in step.cost}
    return [
        Finding("warn", "generators", f"nothing of the study asks the generator '{name}'")
        for name in plan.loaded.study.generators
        if name not in used
    ]


def _writers(plan: Plan) -> list[Finding]:
    """Variants whose documents come from different hands: what differs between them is then more than the spec."""
    hands: dict[str, list[str]] = {}
    for step in plan.of_kind("corpus"):
        params = step.params
        if "written" in step.inputs:
            written = plan.steps[step.inputs["written"]].params
            who = f"{written['generator']['model']} ({written['generator']['backend']}, style {written['style']})"
        else:
            who = "files of the study" if "files" in params else f"the backend {params['backend']}"
        if params["variant"] not in hands.setdefault(who, []):
            hands[who].append(params["variant"])
    if len(hands) < 2:
        return []
    said = "; ".join(f"{', '.join(variants)} by {who}" for who, variants in hands.items())
    text = f"documents come from different hands: {said}. A contrast between them compares the hands as well as the specs"
    return [Finding("warn", "writers", text, "let one generator write all variants that are compared")]
