"""Tables as people mistreat them, and what is in them: mutated CSV and Parquet files, and strict readers that share no code with
the importer."""

from __future__ import annotations

import codecs
import io
import random
import re
import unicodedata
from fractions import Fraction
from typing import Any

import polars as pl

Totals = dict[tuple[Any, ...], tuple[int, int, int]]
"""(arm, base_model, seed, eval, aft_tokens) to aligned, valid, attempted."""
NEEDED = ("arm", "seed", "eval", "aligned", "valid", "attempted")
NUMBERS = {"seed", "aligned", "valid", "attempted", "aft_tokens", "sample"}
OTHER = {"item_id", "cluster_id", "base_model", "msm_spec", "aft_spec", "aft_tokens", "state", "sample"}
ABSENT = {"", "NA", "N/A", "n/a", "#N/A", "#NA", "<NA>", "NaN", "nan", "-nan", "NaT", "None", "NULL", "Null", "null", "nil", "-", "--", ".", "?"}  # fmt: skip
BASES = [
    [["arm", "seed", "eval", "aligned", "valid", "attempted"], *[[a, str(s), "q", str(10 * s + n), "90", "100"] for n, a in enumerate("abc") for s in (1, 2, 3)]],
    [["arm", "seed", "eval", "aligned", "valid", "attempted", "base_model", "msm_spec", "aft_spec", "aft_tokens"],
     *[[f"{m}_{a}", str(s), "misuse", str(50 + s), "100", "100", "", m, a, str(t)] for m in ("rules", "values") for a in ("x", "y") for s in (1, 2) for t in (0, 4000)]],
    [["arm", "seed", "eval", "aligned", "valid", "attempted", "item_id", "cluster_id", "state"],
     *[[a, str(s), "q", str((i + s) % 2), "1", "1", f"i{i}", f"c{i % 3}", "ok"] for a in "ab" for s in (1, 2) for i in range(6)]],
    [["item_id", "eval", "arm", "seed", "attempted", "valid", "aligned"], *[[f"item {i}", "q", a, "7", "5", "4", str(i % 4)] for a in ("x", "y") for i in range(5)]],
]  # fmt: skip
NASTY = [
    "", " ", "NA", "nan", "None", "-", "0", "1", "-1", "1.0", "1.5", "2.9999999999999999999", "9007199254740992.5", "9007199254740993", "1e3",
    "1e2", "1E+01", "1_000", "1,000", "1.000", "0x10", "inf", "TRUE", "true", "yes", "3000000000", "9223372036854775807",
    "9223372036854775808", "1" * 60, "1e400", "1e-5", "٣", "#x", "x#1", "# c", '"', 'a"b', '"a', 'a"', '""', "a,b", "a;b", "a\tb", "a\nb", "é", "e\u0301",
    "a ", " a", "a\u00a0", "a\u200b", "\u2028", "a\x00b", "\x1b[0m", "=1+1", "'a", "a b", "a  b", "ok", "refused", "OK", "unparsed", "1000000000", "99",
    "100", "100.", "+5", "05", "5%", "imported", "c0", "i1",
]  # fmt: skip


def mutated(seed: int) -> tuple[str, bytes]:
    """A file's name and bytes."""
    rng = random.Random(seed)
    table = [list(row) for row in rng.choice(BASES)]
    if rng.random() < 0.25:
        return "x.parquet", _parquet(rng, table)
    for _ in range(rng.choice((0, 0, 1, 1, 1, 2, 3))):
        _edit(rng, table)
    return "x.csv", _bytes(rng, _text(rng, table))


def _edit(rng: random.Random, table: list[list[str]]) -> None:
    row = rng.randrange(len(table))
    kind = rng.randrange(11)
    if kind <= 4 and table[row]:
        table[max(row, int(kind > 0))][rng.randrange(len(table[max(row, int(kind > 0))]) or 1)] = rng.choice(NASTY)
    elif kind == 5:
        table.insert(rng.randrange(1, len(table) + 1), list(table[max(row, 1)]))
    elif kind == 6 and len(table) > 2:
        del table[row]
    elif kind == 7 and rng.random() < 0.3:
        column = rng.randrange(len(table[0]))
        for line in table:
            del line[column : column + 1]
    elif kind in (7, 8):
        name = rng.choice([*sorted(OTHER), "note", "arm", ""])
        for number, line in enumerate(table):
            line.append(name if number == 0 else rng.choice(["", "0", "x", "NA"]))
    elif kind == 9:
        table.insert(row, [rng.choice(["# a comment", "My results", "", " ", ",", "sep=;"])])
    elif table[row] and rng.random() < 0.3:
        table[row] = table[row][:-1] if rng.random() < 0.5 else [*table[row], rng.choice(["", "1"])]


def _text(rng: random.Random, table: list[list[str]]) -> str:
    delimiter = rng.choice([*",,,,,;;;\t\t\t", "|"])
    quoted = rng.choice(["none", "need", "need", "need", "all"])
    end = rng.choice(["\n", "\n", "\n", "\r\n", "\r"])
    pad = rng.choice(["", "", "", " "])

    def cell(value: str) -> str:
        wanted = quoted == "all" or (quoted == "need" and any(c in value for c in (delimiter, '"', "\n", "\r")))
        return '"' + value.replace('"', '""') + '"' if wanted else pad + value

    text = end.join(delimiter.join(map(cell, row)) for row in table)
    return text + rng.choice([end, end, end, "", "", end * 3, end * 3, delimiter])


def _bytes(rng: random.Random, text: str) -> bytes:
    coding = rng.choice(["utf-8"] * 12 + ["mark", "mark", "utf-16", "utf-16", "utf-16-le", "latin-1"])
    if coding == "mark":
        data = codecs.BOM_UTF8 + text.encode()
    elif coding == "utf-16":
        data = codecs.BOM_UTF16_LE + text.encode("utf-16-le")
    else:
        data = text.encode(coding, "replace")
    for _ in range(rng.choice((0, 0, 0, 0, 0, 1, 1, 2, 4))):
        place = rng.randrange(len(data) or 1)
        change = rng.randrange(5)
        if change == 0:
            data = data[:place] + bytes([rng.randrange(256)]) + data[place + 1 :]
        elif change == 1:
            data = (
                data[:place]
                + rng.choice([b'"', b",", b"\n", b"#", b"\r", b"0", b".", b" ", b"\x00", b"\xff"])
                + data[place:]
            )
        elif change == 2:
            data = data[:place] + data[place + rng.randrange(1, 9) :]
        elif change == 3:
            data = data[:place] + data[place : place + 30] + data[place:]
        else:
            data = data[: max(place, 40)]
    return data


def _parquet(rng: random.Random, table: list[list[str]]) -> bytes:
    header, *rows = table
    columns: dict[str, list[Any]] = {n: [int(r[i]) if n in NUMBERS else r[i] for r in rows] for i, n in enumerate(header)}
    for _ in range(rng.choice((0, 1, 1, 2))):
        name, row = rng.choice(header), rng.randrange(len(rows))
        columns[name] = list(columns[name])
        columns[name][row] = rng.choice(
            [
                None,
                columns[name][0],
                *([0, -1, 10**12, 2**62, 7] if name in NUMBERS else ["", "NA", "a ", "x#1", "\u2028y", "e\u0301"]),
            ]
        )
    frame = pl.DataFrame(columns, strict=False)
    for _ in range(rng.choice((0, 1, 1, 2))):
        name = rng.choice(frame.columns)
        kinds: list[Any] = [
            pl.Float64,
            pl.Float32,
            pl.UInt64,
            pl.Int32,
            pl.Boolean,
            pl.List(pl.Int64),
            pl.Binary,
            pl.Categorical,
            pl.String,
            pl.Int8,
        ]
        try:
            frame = frame.with_columns(pl.col(name).cast(rng.choice(kinds)))
        except pl.exceptions.PolarsError:
            frame = frame.with_columns((pl.col(name).cast(pl.String) + "x").alias(name))
    if rng.random() < 0.2:
        frame = pl.concat([frame, frame.tail(1)])
    if rng.random() < 0.15:
        frame = frame.rename({frame.columns[0]: rng.choice(["Arm", "armm", " arm ", "note"])})
    out = io.BytesIO()
    frame.write_parquet(out, compression=rng.choice(["zstd", "snappy", "uncompressed"]))
    data = out.getvalue()
    if rng.random() < 0.3:
        place = rng.randrange(len(data))
        data = rng.choice(
            [data[:place], data[:place] + bytes([rng.randrange(256)]) + data[place + 1 :], data[:place] + data[place + 3 :]]
        )
    return data


def totals_of(name: str, data: bytes) -> Totals | None:
    """What a strict reader finds in a file; None where it cannot be read in one way."""
    table = _read_parquet(data) if name.endswith(".parquet") else _read_text(data)
    if table is None:
        return None
    header, rows, comma = table
    if (
        any(n not in header for n in NEEDED)
        or any(n not in {*NEEDED, *OTHER} for n in header)
        or len(set(header)) < len(header)
    ):
        return None
    totals: Totals = {}
    for row in rows:
        cells = dict(zip(header, row, strict=True))
        names = {n: _name(cells.get(n)) for n in ("arm", "eval", "base_model", "item_id")}
        numbers = {
            n: _number(cells.get(n), comma) for n in (*NUMBERS - {"sample"}, *(["sample"] if "sample" in cells else []))
        }
        numbers["aft_tokens"] = _number(cells.get("aft_tokens"), comma, 0)
        if (
            None in numbers.values()
            or not names["arm"]
            or not names["eval"]
            or ("item_id" in header and not names["item_id"])
        ):
            return None
        aligned, valid, attempted = (numbers[n] for n in ("aligned", "valid", "attempted"))
        if not 0 <= aligned <= valid <= attempted or attempted < 1 or min(numbers["seed"], numbers["aft_tokens"]) < 0:
            return None
        key = (names["arm"], names["base_model"] or "imported", numbers["seed"], names["eval"], numbers["aft_tokens"])
        if key in totals and "item_id" not in header:
            return None
        old = totals.get(key, (0, 0, 0))
        totals[key] = (old[0] + aligned, old[1] + valid, old[2] + attempted)
    return totals or None


def _name(value: Any) -> str | None:
    text = unicodedata.normalize("NFC", str(value if value is not None else "").strip(" \t\u00a0"))
    return None if text in ABSENT else text


def _number(value: Any, comma: bool, default: int | None = None) -> int | None:
    if isinstance(value, (bool, list, bytes)):
        return None
    if value is None or value != value:
        return default
    if isinstance(value, (int, float)):
        return int(value) if value == int(value) and abs(value) < 2**63 else None
    text = value.strip(" \t\u00a0")
    if text in ABSENT:
        return default
    if comma:
        text = text.replace(",", ".")
    if not re.fullmatch(r"[+-]?[0-9]+(\.[0-9]*)?([eE][+-]?[0-9]{1,3})?", text):
        return None
    found = Fraction(text if not text.endswith(".") else text + "0")
    return int(found) if found.denominator == 1 and abs(found) < 2**63 else None


def _read_parquet(data: bytes) -> tuple[list[str], list[list[Any]], bool] | None:
    try:
        frame = pl.read_parquet(io.BytesIO(data))
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError):
        return None
    plain = [pl.String, pl.Categorical, pl.Float64, pl.Float32, pl.Int8, pl.Int32, pl.Int64, pl.UInt64, pl.Null]
    if any(kind not in plain for kind in frame.dtypes):
        return None
    return [n.strip().lower() for n in frame.columns], [list(r) for r in frame.rows()], False


def _read_text(data: bytes) -> tuple[list[str], list[list[Any]], bool] | None:
    coding = "utf-8-sig" if not data.startswith((b"\xff\xfe", b"\xfe\xff")) else "utf-16"
    try:
        text = data.decode(coding)
    except UnicodeDecodeError:
        return None
    if "\0" in text:
        return None
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    forced = ""
    while text:
        line, _, rest = text.partition("\n")
        if re.fullmatch(r"sep=.?", line.strip(), re.IGNORECASE):
            forced = line.strip()[4:] or "\t"
        elif line.strip() and not line.strip().startswith(("#", '"#')):
            break
        text = rest
    for delimiter in [forced] if forced else [",", ";", "\t"]:
        rows = _cells(text, delimiter)
        if rows is None:
            continue
        header = [re.sub(r"[\s-]+", "_", n.strip().lower()) for n in rows[0]]
        if all(n in header for n in NEEDED):
            while header and not header[-1]:
                header.pop()
            body = [r for r in rows[1:] if len(r) > 1 or r[0].strip()]
            if any(len(r) != len(rows[0]) or any(c.strip() for c in r[len(header) :]) for r in body):
                return None
            return header, [r[: len(header)] for r in body if any(c.strip() for c in r)], delimiter != ","
    return None


def _cells(text: str, delimiter: str) -> list[list[str]] | None:
    """RFC 4180, one character at a time; None where a quote is out of place or a value has a line end."""
    rows: list[list[str]] = []
    for line in text.split("\n"):
        cells, place = [], 0
        while True:
            if line[place : place + 1] == '"':
                value, place = "", place + 1
                while True:
                    stop = line.find('"', place)
                    if stop < 0:
                        return None
                    value += line[place:stop]
                    if line[stop + 1 : stop + 2] == '"':
                        value, place = value + '"', stop + 2
                        continue
                    place = stop + 1
                    break
                if place < len(line) and line[place] != delimiter:
                    return None
            else:
                stop = line.find(delimiter, place)
                stop = len(line) if stop < 0 else stop
                value, place = line[place:stop], stop
                if '"' in value:
                    return None
            cells.append(value)
            if place >= len(line):
                break
            place += 1
        rows.append(cells)
    return rows
