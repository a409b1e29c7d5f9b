"""The outline of a written corpus: spec -> domains -> subdomains -> assertions, every clause in at least one domain."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from specsci.core.errors import StepFailed
from specsci.corpus.written.parse import Unparsed, list_of
from specsci.corpus.written.writer import Writer, again
from specsci.generate.request import Reply

MOST_WORDS = 20
"""The longest name of a domain or subdomain."""


@dataclass(frozen=True)
class Subdomain:
    """A place in the outline: a field in which a clause matters, with what holds there."""

    clause_id: str
    domain: str
    subdomain: str
    assertions: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


def from_clauses(clauses: Mapping[str, str]) -> list[Subdomain]:
    """The outline that the spec's clauses are by themselves."""
    return [Subdomain(clause_id, clause_id, "", ()) for clause_id in clauses]


def write_outline(writer: Writer, clauses: Mapping[str, str], domains: int, subdomains: int, assertions: int) -> list[Subdomain]:
    """An outline by the generator.

    Args:
        clauses: clause ids and texts.
        domains, subdomains, assertions: the most of each.

    Raises:
        StepFailed: clauses, domains or subdomains are left out after every attempt; they are named.
    """
    pairs = _domains(writer, clauses, domains)
    slots = {
        (domain, clause): {"domain": domain, "clause_id": clause, "clause": clauses[clause], "count": subdomains, "again": ""}
        for domain, clause in pairs
    }
    about = {key: {"clause_id": key[1]} for key in slots}
    names = writer.texts("subdomains", slots, lambda r: _names(list_of(r, str))[:subdomains], about=about)
    _all_there("subdomains", slots, names)
    places = [(domain, clause, name) for (domain, clause), found in names.items() for name in found]
    slots_ = {
        place: {"domain": place[0], "clause_id": place[1], "clause": clauses[place[1]], "subdomain": place[2], "count": assertions, "again": ""}
        for place in places
    }
    about_ = {place: {"clause_id": place[1]} for place in places}
    said = writer.texts("assertions", slots_, lambda r: list_of(r, str)[:assertions], about=about_)
    _all_there("assertions", slots_, said)
    return [Subdomain(clause, domain, name, tuple(said[domain, clause, name])) for domain, clause, name in places]


def _domains(writer: Writer, clauses: Mapping[str, str], most: int) -> list[tuple[str, str]]:
    """Pairs of a domain and a clause that belongs to it; clauses that were left out are asked for again."""
    pairs: dict[tuple[str, str], None] = {}
    listed = "\n".join(f"- {clause_id}: {text}" for clause_id, text in clauses.items())
    for turn in range(writer.attempts):
        left = [c for c in clauses if c not in {clause for _, clause in pairs}]
        if not left:
            return list(pairs)
        more = f" This time, cover these clauses: {', '.join(left)}.{again(d for d, _ in pairs)}" if pairs else ""
        slots = {turn: {"clauses": listed, "count": most, "again": more}}
        for found in writer.texts("domains", slots, lambda r: _domain_rows(r, clauses)).values():
            pairs |= dict.fromkeys(found)
    left = [c for c in clauses if c not in {clause for _, clause in pairs}]
    if left:
        raise StepFailed(
            f"the outline leaves out {len(left)} of {len(clauses)} clauses: {', '.join(left[:8])}",
            hint="raise `attempts`, take a stronger generator, or write outline: clauses",
        )
    return list(pairs)


def _domain_rows(reply: Reply, clauses: Mapping[str, str]) -> list[tuple[str, str]]:
    rows: list[tuple[str, str]] = []
    for row in list_of(reply, dict):
        name, ids = row.get("domain"), row.get("clauses")
        if not isinstance(name, str) or not isinstance(ids, list):
            raise Unparsed("a domain without its name or clauses")
        rows += [(_names([name])[0], clause) for clause in ids if clause in clauses]
    if not rows:
        raise Unparsed("no clause of the spec is named")
    return rows


def _names(found: list[str]) -> list[str]:
    short = list(dict.fromkeys(" ".join(name.split()[:MOST_WORDS]) for name in found))
    if not short:
        raise Unparsed("too few elements")
    return short


def _all_there(what: str, wanted: Mapping[Any, Any], found: Mapping[Any, Any]) -> None:
    missing = [key for key in wanted if key not in found]
    if missing:
        raise StepFailed(
            f"{len(missing)} of {len(wanted)} lists of {what} could not be had; the first is for {missing[0]}",
            hint="raise `attempts`, take a stronger generator, or write outline: clauses",
        )
