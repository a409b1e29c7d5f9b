"""Compute the sentences of the README that carry a study's number, and compare them with what it says.

python analysis/readme_numbers.py --store .specsci            # exit 1 where a sentence says another number
python analysis/readme_numbers.py --store .specsci --write    # put the computed sentences there
"""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass
from pathlib import Path
from statistics import stdev
from typing import Any

import click
import duckdb
from ruamel.yaml import YAML

from specsci.stats.power import detectable

HERE = Path(__file__).resolve().parent
SENTENCES, README = HERE / "readme_sentences.yaml", HERE.parent / "README.md"


def _share(value: float, digits: int = 3) -> str:
    return f"{value:.{digits}f}".replace("0.", ".", 1) if abs(value) < 1 else f"{value:.{digits}f}"


WRITE = {
    "share": _share,
    "hundredths": lambda v: _share(v, 2),
    "signed": lambda v: ("+" if v >= 0 else "-") + _share(abs(v)),
    "percent": lambda v: f"{100 * v:.0f}",
    "tokens": lambda v: f"{float(f'{v:.3g}'):,.0f}",
    "ratio": lambda v: f"{v:.2g}",
    "digits": lambda v: f"{v:.3g}",
    "detects": lambda values: _share(detectable(stdev(values), len(values)), 2),
}
"""How a number is written, by its name in the file of sentences."""


@dataclass(frozen=True)
class Sentence:
    """A sentence with places for numbers, and for each place the query and how its number is written."""

    text: str
    values: dict[str, dict[str, str]]

    def computed(self, db: duckdb.DuckDBPyConnection) -> str:
        """The sentence with the numbers of a database; raises ValueError where a query gives none."""
        found: dict[str, str] = {}
        for place, how in self.values.items():
            rows = db.execute(how["sql"]).fetchall()
            if len(rows) != 1 or rows[0][0] is None:
                raise ValueError(f"'{place}' of \"{self.text}\": {len(rows)} rows, and one number is wanted")
            found[place] = WRITE[how["write"]](rows[0][0])
        return self.text.format(**found)

    @property
    def pattern(self) -> re.Pattern[str]:
        """The sentence with any numbers, over line breaks."""
        parts = re.split(r"\{\w+\}", self.text)
        return re.compile(r"([-+.,\d]+)".join(r"\s+".join(map(re.escape, re.split(r"\s+", p))) for p in parts))


def sentences(path: Path = SENTENCES) -> list[Sentence]:
    """The sentences of the file."""
    listed: list[dict[str, Any]] = YAML(typ="safe").load(path.read_text(encoding="utf-8"))
    return [Sentence(entry["text"], entry["values"]) for entry in listed]


def compared(db: duckdb.DuckDBPyConnection, readme: str, listed: list[Sentence]) -> tuple[str, list[tuple[str, str]]]:
    """The README with every sentence as computed, and those that say otherwise now: what stands there, what was computed.

    Raises:
        ValueError: a sentence that the README does not have exactly once, or a query without a number.
    """
    differ = []
    for sentence in listed:
        found = list(sentence.pattern.finditer(readme))
        if len(found) != 1:
            raise ValueError(f'the README has "{sentence.text}" {len(found)} times, and once is wanted')
        wanted, (start, end) = sentence.computed(db), found[0].span()
        if " ".join(readme[start:end].split()) != wanted:
            differ.append((" ".join(readme[start:end].split()), wanted))
            readme = readme[:start] + _broken_as(readme[start:end], wanted) + readme[end:]
    return readme, differ


def _broken_as(before: str, wanted: str) -> str:
    """The wanted words with the line breaks of the text before."""
    gaps = re.findall(r"\s+", before)
    words = wanted.split(" ")
    return "".join(word + gap for word, gap in zip(words, [*gaps, ""], strict=True))


@click.command(help=__doc__)
@click.option("--store", type=click.Path(path_type=Path), default=Path(".specsci"), show_default=True)
@click.option("--write", is_flag=True, help="Put the computed sentences into the README.")
def main(store: Path, write: bool) -> None:
    database = store / "results.duckdb"
    if not database.is_file():
        sys.exit(f"no results in {store}\n  hint: run the study first, or `specsci results rebuild`")
    text, listed = README.read_text(encoding="utf-8"), sentences()
    with duckdb.connect(str(database), read_only=True) as db:
        after, differ = compared(db, text, listed)
    for before, wanted in differ:
        click.echo(f"README: {before}\nstore:  {wanted}")
    if write and differ:
        README.write_text(after, encoding="utf-8")
    click.echo(f"{len(listed) - len(differ)} of {len(listed)} sentences say what the store holds")
    sys.exit(1 if differ and not write else 0)


if __name__ == "__main__":
    main()
