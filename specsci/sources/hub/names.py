"""Base models by their name on a model hub: `hub:ORG/NAME@REVISION`, pinned to a commit of 40 hex digits."""

from __future__ import annotations

import re
from dataclasses import dataclass

from specsci.core.errors import UserError

PREFIX = "hub:"
MODEL_FILES = ("*.safetensors", "*.json", "*.jinja", "*.model", "merges.txt", "vocab.txt")
"""What is fetched of a model: weights in safetensors only (no pickle), configuration, tokenizer."""
_SOURCE = re.compile(r"^hub:(?P<name>[\w.-]+/[\w.-]+)(@(?P<revision>[\w./-]+))?$")
_COMMIT = re.compile(r"^[0-9a-f]{40}$")
_SIZE = re.compile(r"(?<![\w.])(\d+(?:\.\d+)?)([BM])(?![a-zA-Z])", re.IGNORECASE)


@dataclass(frozen=True)
class HubModel:
    """A model on the hub. `revision` is a branch, a tag or a commit; empty for what the hub serves by default."""

    name: str
    revision: str

    @property
    def pinned(self) -> bool:
        """Whether the revision is a commit: a branch may be another model tomorrow."""
        return bool(_COMMIT.match(self.revision))

    @property
    def parameters(self) -> int | None:
        """The parameters that its name tells (`8B`, `135M`), for estimates before it is fetched; None where it tells none."""
        found = _SIZE.search(self.name.replace("-", " ").replace("_", " "))
        if not found:
            return None
        return round(float(found[1]) * (1e9 if found[2].upper() == "B" else 1e6))


def hub_model(source: str) -> HubModel:
    """The model of a source.

    Raises:
        UserError: it is not of the form `hub:ORG/NAME` or `hub:ORG/NAME@REVISION`.
    """
    found = _SOURCE.match(source)
    if not found:
        raise UserError(f"'{source}' names no model on the hub", hint="write hub:ORG/NAME@REVISION")
    return HubModel(found["name"], found["revision"] or "")
