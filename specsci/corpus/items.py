"""The items steps: a family's item set with its persona placeholders filled in, and the same with documents before its questions."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from specsci.core.context import Facts, StepContext
from specsci.core.errors import StepFailed
from specsci.core.rows import read_once
from specsci.specs.item_rows import read_item_rows, write_item_rows
from specsci.specs.items import FIRST, SECOND, read_items
from specsci.specs.load import load_family


def run_items(context: StepContext) -> Facts:
    """Write a family's item set as an artefact.

    Raises:
        StepFailed: it changed after the plan was made.
    """
    name = context.runtime["items_name"]
    family = load_family(Path(context.runtime["family_folder"]))
    if family.items_digest(name) != context.params["items"]:
        raise StepFailed(f"item set '{name}' changed after the plan was made", hint="run the study again")
    items = read_items(family.items_file(name), context.params["identity"])[: context.params.get("limit")]
    write_item_rows(context.out, items)
    return {"items": len(items), "clusters": len({i.cluster_id for i in items})}


def run_context_items(context: StepContext) -> Facts:
    """Items with documents of a corpus before every question, as many as its words allow.

    Raises:
        StepFailed: not one document fits.
    """
    shown: list[str] = []
    left = context.params["words"]
    for text in read_once(context.inputs["corpus"]).texts:
        size = len(text.split())
        if size <= left and FIRST not in text and SECOND not in text:
            shown.append(text)
            left -= size
    if not shown:
        raise StepFailed("no document is short enough to stand before a question", hint="raise gates.in_context_oracle.words")
    before = "\n\n".join(shown)
    items = [replace(item, prompt=f"{before}\n\n{item.prompt}") for item in read_item_rows(context.inputs["items"])]
    write_item_rows(context.out, items)
    return {"items": len(items), "documents": len(shown), "words": context.params["words"] - left}
