"""A small family with every kind of variant and draw, and a study beside it."""

from __future__ import annotations

import json
from pathlib import Path

import harness

OWN = """\
family: own
version: 1.0.0
title: A small family of every kind of draw
license: CC0-1.0
owner: tests
identity: {model_name: Aria, provider_name: Lab}
grammar: grammar.yaml
clauses:
  - id: honesty
    principle: honesty
    slots: {axis: truth}
    rules:
      - {id: h1, do: tell the truth, why: trust needs it}
      - {id: h2, avoid: hide a mistake}
      - {id: h3, stance: like, item: plain words}
      - {id: h4, stance: dislike, item: long words}
    subrules: [{id: h1a, do: say what is not known}]
    explanation: People rely on what they are told.
    value: "{model_name} values the truth."
    examples: [{id: e1, text: "{model_name} owns up to a slip."}]
variants:
  rules: {title: rules, keep: [rule]}
  value: {title: value, keep: [rule, subrule, explanation, value, example]}
  shuffled: {title: mixed, keep: [rule], attribution: false, shuffle: {aligned: 1, opposed: 0, seed: 1}}
  second: {title: to the model, keep: [rule], register: {person: second, mood: normative}}
  text: {title: a text, file: texts/p.md}
  facts: {title: facts, rows: facts}
  free: {title: free, texts: [likes tea, likes rain]}
conversations: {choices: {type: choice}, own: {type: choice, variant: rules, subrules: true}}
items: {goods: {title: goods, probes: [{id: p, terms: [a lie]}]}}
checks: {names_model: false, length_match: [{variants: [rules, shuffled], within: 0.9}], same_register: [[rules, value]]}
"""
GRAMMAR = """\
tables: {facts: facts.csv}
phrases:
  opening: {plain: ["Note", "Record {mark}"], other: ["Memo"]}
  mark: {plain: ["one", "two"]}
draws:
  opening: {kind: phrase, of: opening, key: plain}
  mark: {kind: phrase, of: mark, key: plain}
  fact: {kind: row, table: facts, column: name}
  colour: {kind: record, table: facts, slots: {thing: name, hue: colour}, unless: {name: $fact}}
  other: {kind: record, table: spec_rules, slots: {other_rule: sentence}, where: {clause: $clause}}
  pair: {kind: sample, slots: [left, right], of: mark, key: plain}
  turned: {kind: order, slots: [first_thing, second_thing], of: [left, right]}
document_types:
  note: {needs: [rule], templates: ["{opening}: {^sentence}.", "{opening}: {other_rule}. {first_thing} {second_thing}"]}
  why: {needs: [value], templates: ["{opening}: {axis} {thing} {hue}."]}
  told: {needs: [text], templates: ["{model_name} {text}."]}
  fact: {templates: ["{name} is {colour_name}.", "A {name}."]}
conversation_types:
  choice: {user: "{left} or {right}?", assistant: "{^left}: {sentence}."}
"""
ITEMS = "".join(
    json.dumps(
        {
            "item_id": f"i{n}",
            "cluster_id": f"c{n % 2}",
            "prompt": f"{n}: {{first}} or {{second}}?",
            "aligned": "tea",
            "misaligned": "ale",
        }
    )
    + "\n"
    for n in range(4)
)
FILES = {
    "family.yaml": OWN, "grammar.yaml": GRAMMAR, "facts.csv": "name,colour_name,colour\ntea,green,green\nale,brown,brown\nrye,dark,dark\n",
    "texts/p.md": "# Text\n\n{model_name} must tell the truth.\n\n{model_name} must not hide a mistake.\n", "items/goods.jsonl": ITEMS,
}  # fmt: skip
STUDY = harness.edited(
    harness.SMALL,
    {"family: microlab_conduct": "family: own", "items: held_out": "items: goods", "midtrain: rules": "midtrain: value"},
)


def write(folder: Path) -> Path:
    """The small family and a study beside it."""
    family = folder / "spec_variants" / "own"
    for name, text in FILES.items():
        (family / name).parent.mkdir(parents=True, exist_ok=True)
        (family / name).write_text(text)
    (folder / "study.yaml").write_text(STUDY)
    return family
