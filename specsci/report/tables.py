"""Tables: rows of text, rendered for a terminal, as Markdown, CSV or JSON."""

from __future__ import annotations

import csv
import io
import json
import math
import re
import unicodedata
from typing import Any

from specsci.core.findings import sentence
from specsci.core.terminal_text import visible
from specsci.inference.controls import MAX_TRUNCATED
from specsci.report.ablation import Ablation, Control
from specsci.report.harness_table import harness_tables
from specsci.report.table import NOTHING, STAR, Table, rate, shown_mean, shown_rate, tokens
from specsci.stats.efficiency import EXACT

FEW_REPLICATES = 4
"""Up to so many, a table says what its t intervals assume."""
UNSHOWN = ("near_normal", "one_readout")
"""Flags that hold for nearly every row: they are in the database and in JSON, and no table repeats them."""


def tables_of(content: Ablation, *, per_replicate: bool = True) -> list[Table]:
    """All tables of a study, in reading order; the replicates' own rates come last."""
    tables = [_rates(content, name) for name in content.cells]
    tables += [_means(content, name) for name in content.means]
    tables += harness_tables(content)
    if content.contrasts:
        tables.append(_contrasts(content))
    if content.efficiency:
        tables += [_efficiency(content, share) for share in dict.fromkeys(r["level_share"] for r in content.efficiency)]
    if content.controls:
        tables += [
            _controls(content, name, role) for name, role in dict.fromkeys((c.eval, c.role) for c in content.controls)
        ]
    if content.absorption:
        tables.append(_absorption(content))
    if per_replicate:
        tables += [_replicates(content, name) for name in content.cells]
    return tables


def _rates(content: Ablation, name: str) -> Table:
    """One row per aligned arm; its `no AFT` column shows the arm with the same midtraining and no alignment."""
    cells = content.cells[name]
    header = ["arm", *(f"{tokens(b)} AFT tokens" if b else "no AFT" for b in content.budgets)]
    table = Table(f"Misaligned rate on {name}, mean over replicates [95 % interval]", header)
    for key, sources in _rows_of(content):
        row = [cells.get((sources[bool(b)], b)) for b in content.budgets]
        if any(row):
            table.rows.append([key, *(shown_rate(c) for c in row)])
    if cells:
        missing = sum(c.attempted - c.valid for c in cells.values())
        counts = [c.interval.n for c in cells.values() if c.interval.n] or [0]
        table.note = (
            f"{_range(counts)} replicate{'' if max(counts) == 1 else 's'}; a cell is {_range([c.attempted for c in cells.values()])} answers, "
            f"{_range([c.valid for c in cells.values()])} valid "
            f"({missing:,} not valid in all cells); intervals: t over replicates ({content.unit}). "
            "No AFT: midtrained alone, and the base model (no treatment) where nothing is midtrained."
        )
        if any(1 < n <= FEW_REPLICATES for n in counts):
            table.note += (
                f" With {FEW_REPLICATES} replicates or fewer an interval assumes near-normal rates and may be too short."
            )
        if any(c.interval.n > 1 and (c.interval.low <= 0 or c.interval.high >= 1) for c in cells.values()):
            table.note += " Intervals that reach 0 or 1 are cut there and may be too short."
        if cut := sorted({a for (a, _), c in cells.items() if c.truncated > MAX_TRUNCATED * c.attempted}):
            table.note += f" More than {MAX_TRUNCATED:.0%} of the answers were cut off at their token limit: {', '.join(cut)}."
        if any(STAR in cell for row in table.rows for cell in row):
            table.note += f" {STAR} No spread between replicates: Wilson interval of one replicate's items."
    return table


def _means(content: Ablation, name: str) -> Table:
    """One row per arm: the mean of its answers' values at every budget."""
    cells = content.means[name]
    budgets = [b for b in content.budgets if any(k[1] == b for k in cells)]
    header = ["arm", *(f"{tokens(b)} AFT tokens" if b else "no AFT" for b in budgets)]
    table = Table(f"Mean value of answers on {name} (higher: more aligned), mean over replicates [95 % interval]", header)
    for arm in content.arms:
        if any((arm, b) in cells for b in budgets):
            table.rows.append([arm, *(shown_mean(cells.get((arm, b))) for b in budgets)])
    valid, attempted = sum(c.valid for c in cells.values()), sum(c.attempted for c in cells.values())
    table.note = f"{valid:,} of {attempted:,} answers have a value; intervals: t over replicates ({content.unit})."
    return table


def _rows_of(content: Ablation) -> list[tuple[str, tuple[str, str]]]:
    """Rows of a table by budget: the arm that names the row, and the arms of its column without AFT and of the others."""
    untrained = {(arm.midtrain, arm.prompt): key for key, arm in content.arms.items() if not arm.align}
    aligned = {(arm.midtrain, arm.prompt) for arm in content.arms.values() if arm.align}
    out = []
    for key, arm in content.arms.items():
        if arm.align:
            out.append((key, (untrained.get((arm.midtrain, arm.prompt), key), key)))
        elif (arm.midtrain, arm.prompt) not in aligned:
            out.append((key, (key, key)))
    return out


def _range(values: list[int]) -> str:
    """One number, or the least and the most of several."""
    return f"{min(values):,}" if min(values) == max(values) else f"{min(values):,} to {max(values):,}"


def _contrasts(content: Ablation) -> Table:
    header = ["contrast", "eval", "at AFT tokens", "difference", "95 % interval", "p", f"p ({content.correction})", "flags"]
    table = Table("Contrasts: difference in aligned rate (positive: the first side is more aligned)", header)
    for row in content.contrasts:
        name = f"{row['contrast']}{' (primary)' if row['primary'] else ''}"
        name += f" ({row['scale']} scale)" if row["scale"] != "rate" else ""
        name += f" [{row['family']}]" if row["family"] != "main" else ""
        flags = [f"confounded: {row['confounds']}"] if row["confounds"] else []
        shown = [f for f in row["flags"] if f["code"] not in UNSHOWN]
        flags += [sentence(shown)] if shown else []
        budget = ", ".join(tokens(int(b)) for b in row["budget_tokens"].split(","))
        if row["estimate"] is None:
            table.rows.append([name, row["eval"], budget, NOTHING, NOTHING, NOTHING, NOTHING, "; ".join(flags)])
            continue
        table.rows.append(
            [
                name,
                row["eval"],
                budget,
                f"{row['estimate']:+.3f}",
                NOTHING if row["ci_low"] is None else f"[{row['ci_low']:+.3f}, {row['ci_high']:+.3f}]",
                _p(row["p"]),
                _p(row["p_adj"]),
                "; ".join(flags) or NOTHING,
            ]
        )
    methods = sorted({r["method"] for r in content.contrasts if r["estimate"] is not None})
    table.note = f"Method: {'; '.join(methods) or 'none'}. p-values corrected over their family ({content.correction})."
    taken = {r["eval"]: f["text"] for r in content.contrasts for f in r["flags"] if f["code"] == "one_readout"}
    if taken:
        table.note += f" Of several readouts one is taken: {'; '.join(f'{name}: {said}' for name, said in taken.items())}."
    if any(r["family"] != "main" for r in content.contrasts):
        table.note += " In [brackets]: a family beside the main one."
    return table


def _p(value: float | None) -> str:
    if value is None:
        return NOTHING
    return "<.0001" if value < 1e-4 else f"{value:.4f}".removeprefix("0")


def _efficiency(content: Ablation, share: float) -> Table:
    """The ratios at one level; the declared one comes first, exploratory ones say what they are."""
    header = ["arm", "against", "token accounting", "arm needs", "reference needs", "ratio", "95 % interval"]
    rows = [row for row in content.efficiency if row["level_share"] == share]
    what = "Token efficiency (exploratory level)" if rows[0]["exploratory"] else "Token efficiency"
    levels = [rate(r["level"]) for r in rows if r["level"] is not None]
    known = f"{levels[0]} ({share:.0%} of the base's)" if levels else f"{share:.0%} of the base's"
    table = Table(f"{what}: tokens until the misaligned rate falls to {known}", header)
    for row in rows:
        ends = ["open" if row[k] is None else f"{row[k]:.3g}" for k in ("ci_low", "ci_high")]
        interval = "undetermined" if ends == ["open", "open"] else " to ".join(ends)
        ratio = row["ratio"] or "undetermined"
        needs = [row[k] or NOTHING for k in ("arm_tokens", "reference_tokens")]
        table.rows.append([row["arm"], row["reference"], row["counting"], *needs, ratio, interval])
    flags = sorted({sentence(row["flags"]) for row in rows if row.get("flags")})
    table.note = (
        (f"{'; '.join(flags)}. " if flags else "")
        + "Ratio = tokens that the reference needs / tokens that the arm needs. ≤, ≥ and open: beyond the ends of the grid, censored, never extrapolated."
    )
    usd = {row[arm]: row.get(f"{side}_usd") for row in rows for side, arm in (("arm", "arm"), ("reference", "reference"))}
    if any(value is not None for value in usd.values()):
        said = ", ".join(f"{arm} {'none' if value is None else f'${value:,.2f}'}" for arm, value in usd.items())
        table.note += f" Dollars of requests to language models behind the texts, mean over replicates: {said}."
    few = sorted({n for n in (row.get("n") or 0 for row in rows) if 1 < n < EXACT})
    if few:
        table.note += f" Intervals: jackknife and t over {few[0]} replicates, on the log ratio."
    return table


def noise_table(content: Ablation) -> Table:
    """Half-widths of the contrasts now and with twice as many of one kind, and where the noise comes from."""
    header = ["contrast", "replicates", "items", "half-width", "twice the replicates", "twice the items", "from replicates"]
    table = Table("Variance components of the contrasts, on the rate scale", header)
    for r in content.noise:
        shown = [f"±{r[k]:.3f}" for k in ("half_width", "half_width_twice_replicates", "half_width_twice_items")]
        share = sum(r[k] or 0.0 for k in ("base_share", "replicate_share"))
        table.rows.append([r["contrast"], str(r["replicates"]), str(r["items"]), *shown, f"{share:.0%}"])
    table.note = (
        "Half of a 95 % interval over replicates and items to come (ANOVA components of replicates by items in their clusters; option orders are "
        "a fixed factor). On the rate scale also where the contrast is on another. "
        "From replicates: share of the squared standard error that more items would not lessen."
    )
    return table


def _controls(content: Ablation, name: str, role: str) -> Table:
    """A control eval at every budget; the rows are those of the rates' table, so that what training cost is read beside it."""
    cells = {(c.arm, c.aft_tokens): c for c in content.controls if c.eval == name}
    budgets = [b for b in content.budgets if any(key[1] == b for key in cells)]
    header = ["arm", *(f"{tokens(b)} AFT tokens" if b else "no AFT" for b in budgets)]
    table = Table(f"Controls: {name} ({role}), rate of right (aligned) answers, mean over models (worst model)", header)
    for arm, sources in _rows_of(content):
        row = [cells.get((sources[bool(b)], b)) for b in budgets]
        if any(row):
            table.rows.append([arm, *(_control(c) for c in row)])
    return table


def _control(cell: Control | None) -> str:
    if cell is None:
        return NOTHING
    unread = f"; {cell.unread} of {cell.models} unread" if cell.unread else ""
    return NOTHING + unread if math.isnan(cell.mean) else f"{rate(cell.mean)} ({rate(cell.worst)}{unread})"


def _absorption(content: Ablation) -> Table:
    """One row per midtrained spec: mean losses over replicates, and in how many of them the spec was installed."""
    header = ["spec", "held-out documents", "control text", "gain over control", "installed"]
    table = Table("Absorption of midtraining: nats per token before → after, mean over replicates", header)
    for spec in dict.fromkeys(row["msm_spec"] for row in content.absorption):
        rows = [r for r in content.absorption if r["msm_spec"] == spec]
        gains = [r["gain_nats"] for r in rows if r["gain_nats"] is not None]
        shown = f"{_mean(gains):+.3f} ({min(gains):+.3f} to {max(gains):+.3f})" if gains else NOTHING
        installed = f"{sum(bool(r['installed']) for r in rows)} of {len(rows)}"
        table.rows.append([spec, _before_after(rows, "own"), _before_after(rows, "control"), shown, installed])
    table.note = (
        "Held-out: documents from where the corpus comes, by another draw, those that are not in the corpus where there are enough. "
        "Installed: they became easier by more than control text did (Welch interval over texts above 0). In (parentheses): "
        "over replicates. Every loss is per token: the gain is the difference of the columns before it."
    )
    return table


def _before_after(rows: list[dict[str, Any]], text: str) -> str:
    before, after = ([r[f"{text}_{stage}"] for r in rows] for stage in ("before", "after"))
    return NOTHING if None in (*before, *after) else f"{_mean(before):.3f} → {_mean(after):.3f}"


def _mean(values: list[float]) -> float:
    return sum(values) / len(values)


def _replicates(content: Ablation, name: str) -> Table:
    cells = content.cells[name]
    header = ["arm", content.unit, *(tokens(b) if b else "no AFT" for b in content.budgets)]
    table = Table(f"Misaligned rate on {name} in each replicate", header)
    clusters = list(dict.fromkeys(c for cell in cells.values() for c in cell.per_replicate))
    for arm in content.arms:
        for cluster in clusters:
            values = [cells[arm, b].per_replicate.get(cluster) if (arm, b) in cells else None for b in content.budgets]
            if any(v is not None for v in values):
                table.rows.append([arm, cluster, *(NOTHING if v is None else rate(v) for v in values)])
    return table


def markdown(tables: list[Table]) -> str:
    """GitHub Markdown."""
    out = []
    for table in tables:
        out += [
            f"**{no_html(table.title)}**",
            "",
            "| " + " | ".join(map(_escaped, table.header)) + " |",
            "|" + "---|" * len(table.header),
        ]
        out += ["| " + " | ".join(_escaped(c) for c in row) + " |" for row in table.rows]
        out += ["", no_html(table.note), ""] if table.note else [""]
    return "\n".join(out)


def _escaped(text: str) -> str:
    return no_html(text).replace("|", "\\|").replace("\n", " ")


def no_html(text: str) -> str:
    """Markdown in which no name or text of a user's is a tag: `<` before a letter, `/`, `!` or `?` is written `&lt;`."""
    return re.sub(r"<(?=[A-Za-z/!?])", "&lt;", text)


def as_csv(tables: list[Table]) -> str:
    """CSV blocks, each after a comment line with its title; no cell is a formula (see `csv_cell`)."""
    out = io.StringIO()
    for table in tables:
        out.write(f"# {' '.join(table.title.split())}\n")
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow([csv_cell(name) for name in table.header])
        writer.writerows([csv_cell(cell) for cell in row] for row in table.rows)
    return out.getvalue()


def csv_cell(text: str) -> str:
    """A cell that no spreadsheet computes: an apostrophe stands before `=`, `@`, and a `+` or `-` that begins no number.

    Numbers, and numbers with their interval such as `+.148 [-.031, .327]`, stay as they are. Control characters are spelt out. Source: OWASP, CSV injection.
    """
    begins = unicodedata.normalize("NFKC", text.lstrip(" \t\r\n")[:1])  # the wide forms count in some locales
    if begins in ("=", "@") or (begins in ("+", "-") and not _NUMBERS.fullmatch(text)) or text[:1] in ("\t", "\r", "\n"):
        return f"'{visible(text)}"
    return visible(text)


_NUMBERS = re.compile(r"\s*[+-]?(?:[\d.,%+\-\[\]() –;]|[eE][+-]?\d|inf|nan)*")


def as_json(content: Ablation, parts: tuple[str, ...] = ()) -> str:
    """The numbers themselves, not their rounded texts; with `parts` these keys alone, beside the study's name."""
    cells: list[dict[str, Any]] = [
        {
            "eval": name,
            "arm": arm,
            "aft_tokens": budget,
            "misaligned": _number(cell.interval.estimate),
            "ci_low": _number(cell.interval.low),
            "ci_high": _number(cell.interval.high),
            "method": cell.interval.method,
            "replicates": cell.per_replicate,
            "aligned": cell.aligned,
            "valid": cell.valid,
            "attempted": cell.attempted,
        }
        for name, by_key in content.cells.items()
        for (arm, budget), cell in by_key.items()
    ]
    whole = {
        "study": content.study,
        "access": content.access,
        "title": content.title,
        "hypothesis": content.hypothesis,
        "rates": cells,
        "contrasts": content.contrasts,
        "token_efficiency": content.efficiency,
        "absorption": content.absorption,
        "controls": [{k: _number(v) if isinstance(v, float) else v for k, v in vars(c).items()} for c in content.controls],
        "cells_scored": content.cells_scored,
        "cells_total": content.cells_total,
        "noise_budget": content.noise,
        "claims": content.claims,
    }
    return json.dumps({k: v for k, v in whole.items() if not parts or k in ("study", *parts)}, indent=1, default=str)


def _number(value: float) -> float | None:
    return None if math.isnan(value) else value


def preamble(content: Ablation) -> list[str]:
    """What stands above the tables: title, hypothesis, the state of the study, and what its world is."""
    lines = [content.title]
    if content.hypothesis.strip():  # imported results have neither
        lines.append(f"Hypothesis: {' '.join(content.hypothesis.split())}")
    if content.family.strip():
        lines.append(f"Spec family: {content.family}.")
    if content.access != "public":
        lines.append(f"Access: {content.access}.")
    if content.cells_scored < content.cells_total:
        lines.append(f"INCOMPLETE: {content.cells_scored:,} of {content.cells_total:,} cells are scored.")
    lines += content.disclaimers
    return lines
