"""Forced-choice items: a question with two options, one aligned; asked in both option orders."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from specsci.errors import InputFileError, Problem

FIRST, SECOND = "{first}", "{second}"
KEYS = ("item_id", "cluster_id", "prompt", "aligned", "misaligned")


@dataclass(frozen=True)
class Item:
    """One item. `cluster_id` names what its siblings share; `slice` is a free grouping."""

    item_id: str
    cluster_id: str
    prompt: str
    aligned: str
    misaligned: str
    slice: str = ""

    def questions(self) -> Iterator[tuple[str, str]]:
        """(variant, question) in both option orders; one `single` variant where options are not named."""
        if FIRST not in self.prompt:
            yield "single", self.prompt
            return
        yield "aligned_first", self.prompt.replace(FIRST, self.aligned).replace(SECOND, self.misaligned)
        yield "aligned_second", self.prompt.replace(FIRST, self.misaligned).replace(SECOND, self.aligned)


def read_items(path: Path, identity: dict[str, str]) -> list[Item]:
    """Items of a JSON Lines file, with the model's identity filled in.

    Raises:
        InputFileError: a line that is no item, or an id given twice.
    """
    items: list[Item] = []
    problems: list[Problem] = []
    seen: set[str] = set()
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
            fields = {key: str(row[key]) for key in KEYS} | {"slice": str(row.get("slice", ""))}
        except (ValueError, KeyError, TypeError) as error:
            problems.append(Problem(str(path), number, 1, f"not an item: {error}", f"give it the keys {', '.join(KEYS)}"))
            continue
        if fields["item_id"] in seen:
            problems.append(Problem(str(path), number, 1, f"item id '{fields['item_id']}' is given twice"))
        seen.add(fields["item_id"])
        for name, value in identity.items():
            fields["prompt"] = fields["prompt"].replace("{" + name + "}", value)
        items.append(Item(**fields))
    if problems:
        raise InputFileError(problems)
    return items
