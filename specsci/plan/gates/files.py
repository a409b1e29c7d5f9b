"""Documents that the study brings: how much of them a replicate reads, and how often it reads one."""

from __future__ import annotations

from specsci.plan.gates.finding import Finding
from specsci.plan.plan import Plan

CHARACTERS_PER_TOKEN = 4.5
"""A guess before the tokenizer has read the files; the corpus step records what it took."""


def files(plan: Plan) -> list[Finding]:
    """The share of each variant's files that a replicate reads, and repeated documents."""
    found: list[Finding] = []
    study = plan.loaded.study
    used = {name for arm in study.arms.values() for name in (*arm.variants, *arm.sets)}
    for section, brought in (("corpora", study.corpus_files), ("conversations", study.conversation_files)):
        unread = sorted(brought.keys() - used)
        found += [Finding("warn", "files", f"no arm is trained on {section}.{n}: its files are not read") for n in unread]
    named = {study.midtrain.replay if study.midtrain else "", study.align.it_mix if study.align else "", study.probe.control}
    found += [
        Finding("warn", "files", f"nothing of the study takes mixes.{n}: its files are not read", f"write it_mix: {n}, or remove it")
        for n in sorted(study.mixes.keys() - named)
    ]
    wanted = {s.params["variant"]: s.params["tokens"] for s in plan.of_kind("corpus") if "files" in s.params}
    for variant, tokens in sorted(wanted.items()):
        facts = plan.files[variant]
        rows, characters = sum(f.rows for f in facts.values()), sum(f.characters for f in facts.values())
        passes = tokens * CHARACTERS_PER_TOKEN / characters
        said = f"corpus of {variant}: {rows:,} documents of {characters:,} characters in {', '.join(facts)}; a replicate reads about"
        if passes <= 1:
            found.append(Finding("note", "files", f"{said} {passes:.0%} of them"))
        else:
            hint = "add documents, or lower midtrain.tokens"
            found.append(Finding("warn", "files", f"{said} each document {passes:.1f} times", hint))
        if (tokens + study.probe.tokens) * CHARACTERS_PER_TOKEN > characters:
            text = f"corpus of {variant}: held-out documents of the probe may be in the corpus; absorption then measures memorisation"
            found.append(Finding("warn", "files", text, "add documents, or lower midtrain.tokens"))
        repeated = rows - sum(f.distinct for f in facts.values())
        if repeated > 0:
            text = f"corpus of {variant}: {repeated:,} of {rows:,} documents repeat the text of an earlier one of their file"
            found.append(Finding("warn", "files", text, "remove the copies"))
    return found
