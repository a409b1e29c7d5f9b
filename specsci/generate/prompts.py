"""Prompts: files of the tree, by style, filled in and hashed.

A style is a folder of `styles/`: `shared` asks for every variant in the same words; `paper` follows the published pipeline, whose
prompts differ between bare rules and variants with reasons; `plain` asks small models for the text alone. A study may bring a
folder of its own, which takes the place of single prompts of a style.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from specsci.core.errors import UserError, nearest
from specsci.core.ids import text_digest
from specsci.core.yaml_file import read_yaml

FOLDER = Path(__file__).with_name("styles")
BASIS = "shared"
"""The style whose prompts the others have where they have none of their own."""
STYLES = (BASIS, "paper", "plain")
RULES = "rules"
"""The ending of prompts that a style keeps for variants of bare rules."""
_SLOT = re.compile(r"\{\{([a-z_]+)\}\}")
NAMES = ("model_name", "provider_name")
"""Slots that every prompt may have."""
TAGGED: Mapping[str, bool] = {"shared": True, "paper": True, "plain": False}
"""Whether a style asks for the text between <content> and </content>."""


@dataclass(frozen=True)
class Prompts:
    """The prompts of a style by name, with those of a variant of bare rules in their place."""

    style: str
    texts: Mapping[str, str]

    def fill(self, name: str, slots: Mapping[str, Any]) -> str:
        """A prompt with its slots filled; what a slot brings is text, and is not filled again.

        Raises:
            UserError: the prompt has a slot of no value.
        """
        def value(found: re.Match[str]) -> str:
            if found[1] not in slots:
                raise UserError(f"the prompt '{name}' has the slot {found[0]}, which has no value", hint=nearest(found[1], slots))
            return str(slots[found[1]])

        return _SLOT.sub(value, self.texts[name]).strip()

    def digest(self, name: str) -> str:
        """The digest of one prompt."""
        return text_digest(self.texts[name])

    def digests(self, names: tuple[str, ...]) -> dict[str, str]:
        """Digests of some prompts: part of the identity of what they are used for."""
        return {name: self.digest(name) for name in names}

    @property
    def tagged(self) -> bool:
        """Whether texts are asked for between tags."""
        return TAGGED[self.style]


@cache
def _shipped(style: str) -> dict[str, str]:
    own = {path.stem: path.read_text(encoding="utf-8") for path in sorted((FOLDER / style).glob("*.md"))}
    return own if style == BASIS else {**_shipped(BASIS), **own}


def prompts_of(style: str, *, bare_rules: bool = False, own: Mapping[str, str] | None = None) -> Prompts:
    """The prompts of a style.

    Args:
        bare_rules: whether they are for a variant that states rules and nothing else.
        own: texts that take the place of the style's, by name.
    """
    texts = dict(_shipped(style))
    special = {name.removesuffix(f".{RULES}"): text for name, text in texts.items() if name.endswith(f".{RULES}")}
    plain = {name: text for name, text in texts.items() if not name.endswith(f".{RULES}")}
    return Prompts(style, {**plain, **(special if bare_rules else {}), **(own or {})})


def own_prompts(folder: Path, style: str) -> dict[str, str]:
    """The prompts of a study's own folder.

    Raises:
        UserError: it is no folder, holds no prompt, or one of a name that the style does not have.
    """
    if not folder.is_dir():
        raise UserError(f"'{folder.name}' is no folder of prompts", hint="make it, with files such as document.md")
    found = {path.stem: path.read_text(encoding="utf-8") for path in sorted(folder.glob("*.md"))}
    known = prompts_of(style).texts
    for name, text in found.items():
        if name not in known:
            raise UserError(f"'{name}.md' is no prompt of the style '{style}'", where=str(folder), hint=nearest(name, known))
        allowed = {*NAMES, *(slot for given in STYLES for slot in _SLOT.findall(_shipped(given)[name]))}
        for slot in _SLOT.findall(text):
            if slot not in allowed:
                what = f"'{name}.md' has the slot {{{{{slot}}}}}, which has no value there"
                raise UserError(what, where=str(folder), hint=nearest(slot, allowed))
    if not found:
        raise UserError(f"the folder '{folder.name}' holds no prompt", hint=f"put files there such as {next(iter(known))}.md")
    return found


@dataclass(frozen=True)
class Catalogue:
    """What documents and questions may be, each with what it means."""

    document_types: dict[str, str]
    framings: dict[str, str]
    hard_kinds: dict[str, str]
    question_types: dict[str, str]


@cache
def catalogue() -> Catalogue:
    """The shipped catalogue."""
    return Catalogue(**read_yaml(Path(__file__).with_name("catalogue.yaml")).data)
