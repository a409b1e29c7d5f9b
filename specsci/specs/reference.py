"""Naming a family, a version and a variant on the command line: `FAMILY[@VERSION][:VARIANT]`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from specsci.core.errors import UserError
from specsci.core.ids import is_safe_name
from specsci.core.shipped import find_family
from specsci.specs.family import Family
from specsci.specs.versions import load_version


@dataclass(frozen=True)
class Reference:
    """A family at a version, and one of its variants if one is named."""

    text: str
    home: Path
    """The family's own folder; the version's files may lie in the cache."""
    family: Family
    variant: str | None


def resolve(text: str, beside: Path | None = None) -> Reference:
    """What a reference names; families beside the given folder (the working directory) come first.

    Raises:
        UserError: no such family, version or variant.
    """
    name, _, variant = text.partition(":")
    family_name, _, version = name.partition("@")
    if not is_safe_name(family_name) or name.endswith("@") or text.endswith(":"):
        raise UserError(f"'{text[:80]}' names no family", hint="write FAMILY, FAMILY:VARIANT or FAMILY@1.0.0:VARIANT")
    home = find_family(family_name, beside or Path.cwd())
    family = load_version(home, version or None)
    if variant:
        family.variant(variant)
    return Reference(text, home, family, variant or None)


def resolve_variant(text: str) -> tuple[Reference, str]:
    """A reference that must name a variant."""
    found = resolve(text)
    if found.variant is None:
        shown = ", ".join(found.family.data.variants)
        raise UserError(f"'{text}' names no variant", hint=f"write {text}:VARIANT, one of {shown}")
    return found, found.variant
