"""A variant written out: Markdown for people, a record with the digest of every clause for machines."""

from __future__ import annotations

from typing import Any

from specsci.core.ids import digest, text_digest
from specsci.specs.family import Family
from specsci.specs.text import entries, markdown


def materialized(family: Family, variant_name: str, identity: dict[str, str] | None = None) -> tuple[str, dict[str, Any]]:
    """The variant's text, and its record: digests of the whole, of each clause and of each entry."""
    text = markdown(family, variant_name, identity)
    sources = {c.id: c.source for c in family.data.clauses}
    record = {
        "family": family.name,
        "version": family.data.version,
        "access": family.data.access,
        "variant": variant_name,
        "register": family.register(variant_name).model_dump(),
        "identity": {**family.data.identity, **(identity or {})},
        "digest": digest(family.variant_identity(variant_name)),
        "text_digest": text_digest(text),
        "clauses": [{**own, "source": sources[own["id"]]} for own in family.clause_digests(variant_name)],
        "entries": [
            {"id": e.id, "clause_id": e.clause_id, "part": e.part, "digest": text_digest(e.text)}
            for e in entries(family, variant_name, identity)
        ],
    }
    return text, record
