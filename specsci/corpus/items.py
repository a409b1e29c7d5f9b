"""The items step: a family's item set, with its persona placeholders filled in."""

from __future__ import annotations

from pathlib import Path

from specsci.core.context import Facts, StepContext
from specsci.core.errors import StepFailed
from specsci.specs.item_rows import write_item_rows
from specsci.specs.items import read_items
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
