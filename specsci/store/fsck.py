"""Checking a whole store against its records."""

from __future__ import annotations

from collections.abc import Iterator

from specsci.errors import CorruptArtifact
from specsci.store.artifact import Store


def check(store: Store, *, repair: bool = False) -> Iterator[CorruptArtifact]:
    """Every artefact whose files are not what was written; `repair` sets them aside."""
    for folder in sorted((store.root / "steps").glob("*/*")):
        try:
            store.verify(folder.parent.name, folder.name)
        except CorruptArtifact as error:
            if repair:
                store.set_aside(folder.parent.name, folder.name)
            yield error
