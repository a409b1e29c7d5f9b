"""Documents without a study around them."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from specsci.corpus.grammar import GENERATOR
from specsci.corpus.pipeline import Document, Documents, requests
from specsci.generate.generator import Brief, Generator
from specsci.specs.family import Family
from specsci.specs.text import markdown


def documents_of(
    generator: Generator,
    family: Family,
    variant: str,
    identity: dict[str, str],
    seed: int,
    scratch: Path,
    settings: Mapping[str, Any] | None = None,
) -> Documents:
    """A generator's documents about a variant, without end, as a corpus step would take them."""
    draws = random.Random(seed)
    brief = Brief(family.folder, variant, markdown(family, variant, identity), settings or {}, draws, scratch)
    return Documents(generator, requests(family, variant, identity, draws), brief)


def grammar_documents(family: Family, variant: str, identity: dict[str, str], seed: int) -> Iterator[Document]:
    """The grammar's documents about a variant, without end."""
    return iter(documents_of(GENERATOR, family, variant, identity, seed, Path()))
