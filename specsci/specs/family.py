"""A spec family: its folder, clauses, variants, grammar and eval items."""

from __future__ import annotations

from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

from specsci.core.errors import UserError, nearest
from specsci.core.ids import digest, is_safe_name, text_digest
from specsci.core.shipped import find_family
from specsci.specs.grammar import Grammar, GrammarFile, read_text
from specsci.specs.items import Item, items_text, parsed
from specsci.specs.resolve import kept_fields, resolved_clauses
from specsci.specs.schema import Clause, FamilyFile, Register, Variant

PREAMBLE = "preamble"
"""The id of the text that stands above the clauses."""


class Family:
    """A family with its folder, grammar and eval items. Read one with `specsci.specs.load.load_family`."""

    def __init__(
        self, data: FamilyFile, grammar: GrammarFile, tables: dict[str, list[dict[str, str]]], folder: Path
    ) -> None:
        self.data, self.folder = data, folder
        self.beside = folder.parent
        """Where other families lie: for a snapshot in the cache, beside the family that it is of."""
        self.grammar_data = grammar
        self.grammar = Grammar(grammar, tables)

    @property
    def name(self) -> str:
        """The family's name, as `family.yaml` gives it."""
        return self.data.family

    def variant(self, name: str) -> Variant:
        """A variant by name; raises UserError with the nearest one."""
        if name not in self.data.variants:
            raise UserError(f"family '{self.name}' has no variant '{name}'", hint=nearest(name, self.data.variants))
        return self.data.variants[name]

    def register(self, name: str) -> Register:
        """The register that a variant is said in."""
        return self.variant(name).register_ or self.data.register_

    def variant_identity(self, name: str) -> dict[str, Any]:
        """What decides a variant's text: its declaration and the clauses and fields it keeps."""
        variant = self.variant(name)
        identity: dict[str, Any] = {
            "family": self.name,
            "variant": name,
            "declaration": variant.declaration(),
            "identity": self.data.identity,
            "rule_text": self.data.rule_text if variant.keep else "",
            "clauses": [kept_fields(c, variant) for c in self.clauses_of(name)],
        }
        if variant.keep and self.grammar.says("principle"):
            identity["principles"] = {c.id: c.principle for c in self.clauses_of(name)}
        if variant.keep and self.data.preamble:
            identity["preamble"] = self.data.preamble
        if variant.keep and self.register(name) != Register():
            identity["register"] = self.register(name).model_dump()
        if variant.file:
            identity["text"] = self.file_text(variant.file)
        return identity

    def clauses_of(self, name: str) -> list[Clause]:
        """What a variant keeps of its clauses, in file order, its transforms applied."""
        self.variant(name)
        return resolved_clauses(self.data, name)

    def clause_digests(self, name: str) -> list[dict[str, str]]:
        """`id` and `digest` of what a variant keeps of each clause."""
        variant = self.variant(name)
        return [{"id": c.id, "digest": digest(kept_fields(c, variant))} for c in self.clauses_of(name)]

    def file_text(self, file: str) -> str:
        """A text file of the family."""
        return read_text(self.folder / file)

    def paragraphs(self, name: str) -> list[str]:
        """The paragraphs of a text-file variant, headings left out."""
        variant = self.variant(name)
        blocks = self.file_text(variant.file).split("\n\n") if variant.file else []
        return [" ".join(b.split()) for b in blocks if b.strip() and not b.lstrip().startswith("#")]

    @cached_property
    def grammar_digest(self) -> str:
        """Digest of the templates and every table."""
        return digest({"grammar": self.grammar_data.identity(), "tables": self.grammar.tables})

    def item_sets(self) -> list[str]:
        """Names of the item sets that are there; a file whose name is not a safe name is none."""
        return sorted(p.stem for p in (self.folder / "items").glob("*.jsonl") if is_safe_name(p.stem))

    def _elsewhere(self, name: str) -> tuple[Family, str] | None:
        """The family and the set of a name FAMILY/SET or FAMILY@1.0.0/SET; None for a name of this family."""
        from specsci.specs.versions import load_version

        place, slash, own = name.partition("/")
        if not slash:
            return None
        other, _, version = place.partition("@")
        if not is_safe_name(other) or "/" in own:
            raise UserError(f"'{name}' is no item set", hint="write SET, or FAMILY/SET for one of another family")
        return load_version(find_family(other, self.beside), version or None), own

    def home_of(self, items: str) -> tuple[Path, str]:
        """The folder of the family that an item set is of, and the set's own name."""
        found = self._elsewhere(items)
        return (self.folder, items) if found is None else (found[0].folder, found[1])

    def names_of(self, items: str) -> dict[str, str]:
        """The names that an item set's braces hold, this family's own values before those of the set's family."""
        found = self._elsewhere(items)
        return self.data.identity if found is None else {**found[0].data.identity, **self.data.identity}

    def items_file(self, name: str) -> Path:
        """The JSON Lines file of an eval item set; FAMILY/SET is one of another family."""
        if (found := self._elsewhere(name)) is not None:
            return found[0].items_file(found[1])
        path = self.folder / "items" / f"{name}.jsonl"
        if not is_safe_name(name) or not path.is_file():
            raise UserError(f"family '{self.name}' has no item set '{name}'", hint=nearest(name, self.item_sets()))
        return path

    def items_text(self, name: str) -> str:
        """An item set's text, as its digest is taken; raises InputFileError where it is not UTF-8."""
        return items_text(self.items_file(name))

    @lru_cache(maxsize=64)  # noqa: B019 - families are kept for as long as they serve
    def items(self, name: str) -> tuple[Item, ...]:
        """The items of a set as they are written; raises InputFileError with every line that is none."""
        if (found := self._elsewhere(name)) is not None:
            return found[0].items(found[1])
        return tuple(parsed(self.items_text(name), str(self.items_file(name)), self.data.identity))

    def items_digest(self, name: str) -> str:
        """Digest of an item set's text."""
        return text_digest(self.items_text(name))
