"""Tables as LaTeX."""

from __future__ import annotations

from specsci.report.table import Table


def latex(tables: list[Table]) -> str:
    """Tables for LaTeX with booktabs: text columns to the left, the rest to the right, every special character escaped."""
    return "\n".join(_latex(table) for table in tables)


_SPECIAL = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "–": "--", "≤": r"$\leq$", "≥": r"$\geq$", "→": r"$\to$", "−": "--",
    "|": r"\textbar{}", "<": r"$<$", ">": r"$>$", "[": "{[}", "]": "{]}",
}  # fmt: skip


def escaped(text: str) -> str:
    """A text with every character that LaTeX reads as a command written out."""
    return "".join(_SPECIAL.get(letter, letter) for letter in " ".join(text.split()))


def _latex(table: Table) -> str:
    columns = "l" + "r" * (len(table.header) - 1)
    lines = [" & ".join(escaped(cell) for cell in row) + r" \\" for row in (table.header, *table.rows)]
    note = [r"\par\medskip", rf"{{\footnotesize {escaped(table.note)}\par}}"] if table.note else []
    return "\n".join(
        [
            r"\begin{table}", r"\centering", rf"\caption{{{escaped(table.title)}}}", rf"\begin{{tabular}}{{{columns}}}", r"\toprule",
            lines[0], r"\midrule", *lines[1:], r"\bottomrule", r"\end{tabular}", *note, r"\end{table}", "",
        ]
    )  # fmt: skip
