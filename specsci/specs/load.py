"""Reading a family's folder, with every problem of its files located."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

from specsci.core.errors import InputFileError, Problem, UserError, nearest
from specsci.core.ids import file_sha256, is_safe_name
from specsci.core.shipped import find_family
from specsci.core.user_files import is_file, lies_below, name_fault, shown_name
from specsci.core.yaml_file import Document, read_yaml, validate
from specsci.specs.family import PREAMBLE, Family
from specsci.specs.grammar import SPEC_TABLES, GrammarFile, RecordDraw, Table, read_table, read_text
from specsci.specs.items import items_text
from specsci.specs.schema import WHY, FamilyFile

OWN_ENDINGS = (WHY, "value", "explanation", "principle")
BASE = "base"
"""Folder of a snapshot that holds the family whose grammar this one extends."""


def load_family(folder: Path) -> Family:
    """Read and check a family's folder.

    Raises:
        InputFileError: with every problem of `family.yaml`, of its grammar, tables, texts or item sets.
    """
    return _load(folder, _stamp(folder))


def _stamp(folder: Path) -> tuple[tuple[str, int, int], ...]:
    files = [p for pattern in ("*", "items/*", "texts/*") for p in folder.glob(pattern) if p.is_file()]
    return tuple(sorted((str(p), p.stat().st_mtime_ns, p.stat().st_size) for p in files))


@lru_cache(maxsize=32)
def _load(folder: Path, _: tuple[tuple[str, int, int], ...]) -> Family:
    document = read_yaml(folder / "family.yaml")
    data = validate(document, FamilyFile)
    problems = list(_file_problems(document, data, folder))
    if problems:
        raise InputFileError(problems)
    grammar, tables = load_grammar(folder, data.grammar)
    problems = list(_reference_problems(document, data, grammar, tables))
    if problems:
        raise InputFileError(problems)
    family = Family(data, grammar, tables, folder)
    problems = list(_item_problems(family))
    if problems:
        raise InputFileError(problems)
    return family


def _item_problems(family: Family) -> Iterator[Problem]:
    """Every line of every item set that is not an item, registered or not: a study may name any of them."""
    for name in family.item_sets():
        if _leaves_folder(f"items/{name}.jsonl", family.folder):
            place = family.folder / "items" / f"{name}.jsonl"
            yield Problem(str(place), 1, 1, "lies outside the family's folder", "put the file itself there")
            continue
        try:
            family.items(name)
        except InputFileError as error:
            yield from error.problems


def _sha256(text: str) -> str:
    """The digest that a set has where its lines end with a line feed: Git writes others on Windows."""
    return hashlib.sha256(text.encode()).hexdigest()


def load_grammar(folder: Path, file: str, within: tuple[Path, ...] = ()) -> tuple[GrammarFile, dict[str, list[Table]]]:
    """A grammar file with its tables, joined to the grammar of the family that it extends."""
    document, own = _grammar_file(folder / file)
    tables = {}
    for name, table in own.tables.items():
        if _leaves_folder(table, folder) or not is_file(folder / table):
            what, hint = f"table file '{shown_name(table)}' is not in the folder", "put it into the family's folder"
            raise InputFileError([document.problem(("tables", name), what, hint)])
        tables[name] = read_table(folder / table)
    if own.extends is None:
        return own, tables
    try:
        base = base_folder(folder, own.extends)
    except UserError as error:
        raise InputFileError([document.problem(("extends",), error.what, error.hint)]) from error
    if base.resolve() in {p.resolve() for p in (folder, *within)}:
        raise InputFileError([document.problem(("extends",), f"'{own.extends}' extends itself", "name another family")])
    base_file = validate(read_yaml(base / "family.yaml"), FamilyFile).grammar
    theirs, their_tables = load_grammar(base, base_file, (folder, *within))
    return theirs.extended(own), {**their_tables, **tables}


def _grammar_file(path: Path) -> tuple[Document, GrammarFile]:
    """A grammar file by itself; several families extend one, which is read once."""
    try:
        found = path.stat()
    except (OSError, ValueError):  # said with its place where it is read
        return _read_grammar.__wrapped__(path, 0, 0)
    return _read_grammar(path, found.st_mtime_ns, found.st_size)


@lru_cache(maxsize=16)
def _read_grammar(path: Path, _mtime: int, _size: int) -> tuple[Document, GrammarFile]:
    document = read_yaml(path)
    return document, validate(document, GrammarFile)


def base_folder(folder: Path, name: str) -> Path:
    """The folder of the family whose grammar is extended: beside a snapshot's files, else found by name."""
    if not is_safe_name(name):
        raise UserError(f"'{name}' is not a valid family name", hint="give the name of a family, no path")
    kept = folder / BASE / name
    return kept if kept.is_dir() else find_family(name, folder.parent)


def _leaves_folder(file: str, folder: Path) -> bool:
    """Whether a name leads out of the folder, by itself or by a link."""
    if Path(file).is_absolute() or ".." in Path(file).parts:
        return True
    return not name_fault(file) and not lies_below(folder / file, folder)


def _file_problems(document: Document, data: FamilyFile, folder: Path) -> Iterator[Problem]:
    """Names that are not safe, files that are not inside, item sets that are not the registered ones."""
    if not is_safe_name(data.family):
        yield document.problem(("family",), f"'{data.family}' is not a safe name")
    for index, clause in enumerate(data.clauses):
        if not is_safe_name(clause.id.lower()):
            yield document.problem(("clauses", index, "id"), f"'{clause.id}' is not a safe name")
        if clause.id in ("text", PREAMBLE):
            yield document.problem(
                ("clauses", index, "id"), f"'{clause.id}' is a name of specsci's own", "choose another id"
            )
        for field in ("rules", "subrules", "examples"):
            for number, rule in enumerate(getattr(clause, field)):
                if rule["id"].rpartition(".")[2] in OWN_ENDINGS:
                    what = f"the id '{rule['id']}' ends in a name of specsci's own ({', '.join(OWN_ENDINGS)})"
                    yield document.problem(("clauses", index, field, number), what, "choose another id")
    for name in data.variants:
        if not is_safe_name(name):
            yield document.problem(("variants", name), f"'{name}' is not a safe name", key=True)
    inside = "put the file itself into the family's folder"
    if _leaves_folder(data.grammar, folder):
        yield document.problem(("grammar",), f"'{shown_name(data.grammar)}' lies outside the family's folder", inside)
    elif not is_file(folder / data.grammar):
        yield document.problem(("grammar",), f"grammar file '{shown_name(data.grammar)}' is not in the folder", inside)
    for name, variant in data.variants.items():
        if variant.file is None:
            continue
        at = ("variants", name, "file")
        if _leaves_folder(variant.file, folder):
            yield document.problem(at, f"'{shown_name(variant.file)}' lies outside the family's folder", inside)
        elif not is_file(folder / variant.file):
            yield document.problem(at, f"text file '{shown_name(variant.file)}' is not in the folder", inside)
        else:
            read_text(folder / variant.file)
    for name, items in data.items.items():
        if items.external:
            continue
        path = folder / "items" / f"{name}.jsonl"
        if not is_safe_name(name) or not path.is_file():
            what, hint = f"item set '{name}' has no file items/{name}.jsonl", "write the file, or name the set's `external`"
            yield document.problem(("items", name), what, hint, key=True)
        elif _leaves_folder(f"items/{name}.jsonl", folder):
            yield document.problem(("items", name), f"items/{name}.jsonl lies outside the family's folder", inside, key=True)
        elif items.sha256 and items.sha256 not in (file_sha256(path), _sha256(items_text(path))):
            what = f"item set '{name}' is not the registered one (sha256 {file_sha256(path)[:12]}..., not {items.sha256[:12]}...)"
            yield document.problem(
                ("items", name, "sha256"), what, "restore the items, or register the new ones in a new version"
            )


def _reference_problems(
    document: Document, data: FamilyFile, grammar: GrammarFile, tables: dict[str, list[Table]]
) -> Iterator[Problem]:
    """Clauses, variants, tables and conversation types that the family names and that are nowhere."""
    clauses = {c.id for c in data.clauses}
    for name, variant in data.variants.items():
        for key, wanted in (("clauses", variant.clauses or []), ("core", variant.core)):
            for index, clause in enumerate(wanted):
                if clause not in clauses:
                    yield document.problem(
                        ("variants", name, key, index), f"unknown clause '{clause}'", nearest(clause, clauses)
                    )
        explained = {k.removeprefix(f"{WHY}.") for c in data.clauses for r in c.rules for k in r if k.startswith(f"{WHY}.")}
        named = {variant.explain} - explained if variant.explain and explained else set()
        for explain in named:
            what = f"no rule has an explanation '{explain}' (`{WHY}.{explain}`)"
            yield document.problem(("variants", name, "explain"), what, nearest(str(explain), explained))
        if variant.rows and variant.rows not in grammar.tables:
            what, hint = f"unknown table '{variant.rows}'", nearest(variant.rows, grammar.tables)
            yield document.problem(("variants", name, "rows"), what, hint)
    for name, conversations in data.conversations.items():
        if conversations.type not in grammar.conversation_types:
            what = f"unknown conversation type '{conversations.type}'"
            hint = nearest(conversations.type, grammar.conversation_types)
            yield document.problem(("conversations", name, "type"), what, hint)
        if conversations.variant and conversations.variant not in data.variants:
            what, hint = f"unknown variant '{conversations.variant}'", nearest(conversations.variant, data.variants)
            yield document.problem(("conversations", name, "variant"), what, hint)
    for index, kind in enumerate(data.in_prompt):
        if kind not in grammar.document_types:
            what, hint = f"unknown document type '{kind}'", nearest(kind, grammar.document_types)
            yield document.problem(("in_prompt", index), what, hint)
    groups = [("length_match", i, m.variants) for i, m in enumerate(data.checks.length_match)]
    groups += [("same_register", i, g) for i, g in enumerate(data.checks.same_register)]
    for check, number, group in groups:
        for member in group:
            if member not in data.variants:
                where = ("checks", check, number)
                yield document.problem(where, f"unknown variant '{member}'", nearest(member, data.variants))
    for name, draw in grammar.draws.items():
        table, of = getattr(draw, "table", None), getattr(draw, "of", None)
        if table and table not in {*grammar.tables, *SPEC_TABLES}:
            what, hint = (
                f"draw '{name}' of the grammar names table '{table}'",
                nearest(table, {*grammar.tables, *SPEC_TABLES}),
            )
            yield document.problem(("grammar",), what, hint)
        columns = [getattr(draw, "column", None), *getattr(draw, "where", {}), *getattr(draw, "unless", {})]
        columns += draw.slots.values() if isinstance(draw, RecordDraw) else []
        rows = tables.get(table or "", [])
        for column in sorted({c for c in columns if c and rows and c not in rows[0]}):
            yield document.problem(
                ("grammar",), f"draw '{name}' names column '{column}' of '{table}'", nearest(column, rows[0])
            )
        if isinstance(of, str) and of not in grammar.phrases:
            what, hint = f"draw '{name}' of the grammar names phrases '{of}'", nearest(of, grammar.phrases)
            yield document.problem(("grammar",), what, hint)
