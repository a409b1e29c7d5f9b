"""Values set beside the study file, and smoke runs: what `--set` and `--limit` do to a study before it is checked."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from copy import deepcopy
from typing import Any

from specsci.core.errors import UserError
from specsci.core.ids import digest
from specsci.core.yaml_nodes import Refused, compose, construct

SMOKE_REPLICATES = 2
SMOKE_PROBE_TOKENS = 200
SMOKE_REASON = "a smoke run (--limit)"


def parse_overrides(given: Iterable[str]) -> dict[str, Any]:
    """`KEY=VALUE` texts as values by dotted key; a value is read as YAML.

    Raises:
        UserError: a text without `=`, a key that is set twice, or a value that is not valid YAML.
    """
    found: dict[str, Any] = {}
    for text in given:
        key, sign, value = text.partition("=")
        key = key.strip()
        if not sign or not key or not all(part.strip() for part in key.split(".")):
            raise UserError(f"--set {text}: is not KEY=VALUE", hint="write --set midtrain.tokens=20000")
        if key in found:
            raise UserError(f"--set {key} is given twice", hint="give it once")
        found[key] = _value(text, value)
    return found


def _value(text: str, value: str) -> Any:
    """A value as a study file would have it after `key:`."""
    try:
        root = compose(f"value: {value}\n")
        data = construct(root)[0] if root is not None else None
    except Refused as error:
        raise UserError(f"--set {text}: {error.what}", hint=error.hint) from error
    except Exception as error:  # the YAML library's own errors have no common base
        raise UserError(
            f"--set {text}: the value is not valid YAML", hint="quote it as you would in the study file"
        ) from error
    if not isinstance(data, dict) or set(data) != {"value"}:
        raise UserError(f"--set {text}: the value goes on in further lines", hint="write it in one line, {...} or [...]")
    return data["value"]


def left_out(data: dict[str, Any]) -> tuple[dict[str, Any], tuple[int, ...]]:
    """A study's data without the evals that `without` names, and without their contrasts; what is no mapping is left for the schema.

    Returns:
        The data, and the places that the contrasts which are left have in the file.
    """
    named, evals, contrasts = data.get("without"), data.get("evals"), data.get("contrasts")
    places = tuple(range(len(contrasts))) if isinstance(contrasts, list) else ()
    if not isinstance(named, dict) or not isinstance(evals, dict):
        return data, places
    gone = named.keys() & evals.keys()
    kept = {**data, "evals": {name: spec for name, spec in evals.items() if name not in gone}}
    if isinstance(contrasts, list):
        places = tuple(n for n, c in enumerate(contrasts) if not (isinstance(c, dict) and c.get("eval") in gone))
        kept["contrasts"] = [contrasts[n] for n in places]
    return kept, places


def apply_overrides(data: dict[str, Any], overrides: Mapping[str, Any]) -> dict[str, Any]:
    """A study's data with values set by dotted keys; a number in a key is a place in a list.

    Raises:
        UserError: a key leads through something that has no keys, or to a place that a list has not.
    """
    out = deepcopy(data)
    for key, value in overrides.items():
        *before, last = key.split(".")
        node: Any = out
        for part in before:
            place = _place_in(node, part, key)
            if isinstance(node, dict):
                node.setdefault(place, {})
            node = node[place]
        node[_place_in(node, last, key)] = value
    return out


def _place_in(node: Any, part: str, key: str) -> str | int:
    """A part of a dotted key as a mapping's key or a list's place."""
    if isinstance(node, dict):
        return part
    if not isinstance(node, list):
        raise UserError(f"--set {key}: '{part}' would be a key of a value that has none", hint="set a mapping or a list")
    if not part.isdigit() or int(part) >= len(node):
        raise UserError(f"--set {key}: there is no place '{part}' in a list of {len(node)}", hint="count from 0")
    return int(part)


def label_of(overrides: Mapping[str, Any], limit: int | None) -> str:
    """What a study's name is followed by, so that other values never take the place of its own results."""
    changed = {k: v for k, v in overrides.items() if k != "study"}
    named = "study" in overrides
    said = f"+limit-{limit}" if limit else ""
    return said if named or not changed else f"+set-{digest(changed)[:6]}{said}"


def limited(data: dict[str, Any], limit: int) -> dict[str, Any]:
    """A study cut down to a smoke run of every kind of step.

    Two replicates; `limit` updates of midtraining, and 1, 2, ... updates for the AFT budgets in their order; small probes. Items
    are cut where they are written out. What cannot be cut is left as it is, for the schema to judge.
    """
    out = deepcopy(data)
    if isinstance(out.get("replicates"), list):
        out["replicates"] = out["replicates"][:SMOKE_REPLICATES]
    midtrain, align = out.get("midtrain"), out.get("align")
    if isinstance(midtrain, dict) and (one := _update_tokens(midtrain)):
        midtrain["tokens"] = limit * one
    if isinstance(align, dict) and isinstance(align.get("budgets_tokens"), list) and (one := _update_tokens(align)):
        budgets = {b: (n + 1) * one for n, b in enumerate(align["budgets_tokens"]) if isinstance(b, int)}
        align["budgets_tokens"] = [budgets.get(b, b) for b in align["budgets_tokens"]]
        for spec in out["evals"].values() if isinstance(out.get("evals"), dict) else ():
            if isinstance(spec, dict) and isinstance(spec.get("budgets_tokens"), list):
                spec["budgets_tokens"] = [budgets.get(b, b) if isinstance(b, int) else b for b in spec["budgets_tokens"]]
        for contrast in out.get("contrasts") or []:
            if isinstance(contrast, dict) and (asked := contrast.get("budget_tokens")):
                several = isinstance(asked, list)
                contrast["budget_tokens"] = [budgets.get(b, b) for b in asked] if several else budgets.get(asked, asked)
    if isinstance(out.get("probe") or {}, dict):
        out["probe"] = {**(out.get("probe") or {}), "tokens": SMOKE_PROBE_TOKENS}
    if isinstance(out.get("gates") or {}, dict):
        out["gates"] = {"accept_few_updates": SMOKE_REASON, **(out.get("gates") or {})}
    return out


def _update_tokens(stage: dict[str, Any]) -> int:
    """Tokens of one update of a stage; 0 where its recipe does not tell."""
    recipe = stage.get("recipe")
    sizes = [recipe.get(k) for k in ("sequences_per_update", "max_length_tokens")] if isinstance(recipe, dict) else [None]
    if not all(isinstance(n, int) and n > 0 for n in sizes):
        return 0
    return int(sizes[0]) * int(sizes[1])  # type: ignore[arg-type]
