"""What other people's tables look like: each is read right, by totals worked out by hand, or refused with line and column."""

from __future__ import annotations

import codecs
import gzip
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from specsci.core.errors import InputFileError
from specsci.results.imports import read_given

HEADER = "arm,seed,eval,aligned,valid,attempted"
ROWS = ["a,1,q,80,95,100", "a,2,q,70,100,100", "b,1,q,60,100,100", "b,2,q,55,90,100"]
PLAIN = "\n".join([HEADER, *ROWS]) + "\n"
RIGHT = [("a", 1, 80, 95, 100), ("a", 2, 70, 100, 100), ("b", 1, 60, 100, 100), ("b", 2, 55, 90, 100)]


def read(folder: Path, data: bytes | str, name: str = "counts.csv") -> list[tuple[object, ...]]:
    """(arm, seed, aligned, valid, attempted) of each row."""
    (folder / name).write_bytes(data.encode() if isinstance(data, str) else data)
    given = read_given(folder / name)
    arms = [given.texts["arm"][code] for code in given.names["arm"]]
    return list(zip(arms, *(given.numbers[n].tolist() for n in ("seed", "aligned", "valid", "attempted")), strict=True))


def places(folder: Path, data: bytes | str, name: str = "counts.csv") -> list[tuple[int, int, str]]:
    """Line, column and sentence of every refusal."""
    with pytest.raises(InputFileError) as caught:
        read(folder, data, name)
    return [(p.line, p.column, p.what) for p in caught.value.problems]


DIALECTS = {
    "semicolons": PLAIN.replace(",", ";"),
    "tabs": PLAIN.replace(",", "\t"),
    "CRLF": PLAIN.replace("\n", "\r\n"),
    "CR": PLAIN.replace("\n", "\r"),
    "no line end at the end": PLAIN.rstrip(),
    "blank lines": PLAIN.replace("\n", "\n\n\n"),
    "mixed line ends": PLAIN.replace("100\n", "100\r\n", 1),
    "blanks at the end": PLAIN + "  \n\n",
    "comments above": f'# made elsewhere, with " and ,\n\n#\n{PLAIN}',
    "UTF-8 with its mark": codecs.BOM_UTF8 + PLAIN.encode(),
    "UTF-16 LE": codecs.BOM_UTF16_LE + PLAIN.encode("utf-16-le"),
    "UTF-16 BE": codecs.BOM_UTF16_BE + PLAIN.encode("utf-16-be"),
    "UTF-32": codecs.BOM_UTF32_LE + PLAIN.encode("utf-32-le"),
    "R's quotes": PLAIN.replace("a,", '"a",').replace("b,", '"b",').replace(",q,", ',"q",'),
    "write.csv2 of R": "\n".join(";".join(f'"{c}"' for c in line.split(",")) for line in PLAIN.splitlines()),
    "quotes and tabs": "\n".join("\t".join(f'"{c}"' for c in line.split(",")) for line in PLAIN.splitlines()),
    "every cell quoted": "\n".join(",".join(f'"{c}"' for c in line.split(",")) for line in PLAIN.splitlines()),
    "a header in capitals with blanks": PLAIN.replace(HEADER, " Arm , SEED,Eval ,aligned, Decided,ASKED"),
    "blanks around values": PLAIN.replace(",", " , "),
    "a trailing delimiter": PLAIN.replace("\n", ",\n"),
    "rows of delimiters": PLAIN + ",,,,,\n,,,,,\n",
    "Excel's sep line": "sep=;\n" + PLAIN.replace(",", ";"),
    "floats of pandas": PLAIN.replace("80,95,100", "80.0,95.0,100.0"),
    "R's exponents": PLAIN.replace("80,95,100", "8e+01,95,1e2"),
    "decimal commas": PLAIN.replace(",", ";").replace("80;95;100", "80,0;95,00;100,0"),
    "signs and zeros": PLAIN.replace("80,95,100", "+80,095,100"),
    "columns in another order": "attempted,valid,aligned,eval,seed,arm\n100,95,80,q,1,a\n100,100,70,q,2,a\n100,100,60,q,1,b\n100,90,55,q,2,b\n",
}


@pytest.mark.parametrize("data", DIALECTS.values(), ids=DIALECTS)
def test_a_dialect_is_read_right(tmp_path, data) -> None:
    assert read(tmp_path, data) == RIGHT


REFUSED = {
    "latin-1": (PLAIN.replace("a,1", "é,1").encode("latin-1"), 2, 1, "byte e9 is not valid UTF-8"),
    "windows-1252 further on": (PLAIN.replace("b,2,q", "b,2,“q”").encode("cp1252"), 5, 5, "byte 93 is not valid UTF-8"),
    "UTF-16 without its mark": (PLAIN.encode("utf-16-le"), 1, 2, "NUL"),
    "half of a UTF-16 pair": (codecs.BOM_UTF16_LE + PLAIN.encode("utf-16-le")[:-1], 5, 16, "is not valid UTF-16"),
    "NUL": (PLAIN.replace("b,1,q", "b,1,q\0"), 4, 6, "NUL"),
    "a comment below the header": (PLAIN.replace("b,1", "# more\nb,1"), 4, 1, "1 cells, and the header has 6"),
    "a title above the header": ("My results\n" + PLAIN, 1, 1, "not a header"),
    "a cell too many": (PLAIN.replace("60,100,100", "60,100,100,7"), 4, 1, "7 cells"),
    "a cell too few": (PLAIN.replace("60,100,100", "60,100"), 4, 1, "5 cells"),
    "R's row names": (PLAIN.replace("\n", "\n1,").removesuffix("1,"), 2, 1, "7 cells"),
    "pandas' row numbers": (
        "," + PLAIN.replace("\n", "\n0,").removesuffix("0,"), 1, 1, "column 1 has no name"),
    "two columns of a name": (PLAIN.replace("valid", "Aligned"), 1, 23, "two columns are named 'aligned'"),
    "an unclosed quote": (PLAIN.replace("b,1", '"b,1'), 4, 1, "not closed on its line"),
    "an unclosed quote in the last row": (PLAIN.replace("b,2", '"b,2').rstrip(), 5, 1, "never closed"),
    "a quote that swallows a row": (PLAIN.replace("a,2,q", 'a,2,"q').replace("b,1,q", 'b,1,q"'), 3, 5, "not closed on its line"),
    "a quote within a name": (PLAIN.replace("b,1", 'b"x,1'), 4, 2, "a quote within a value"),
    "text behind a quote": (PLAIN.replace("b,1", '"b"x,1'), 4, 3, "a quote within a value"),
    "a backslash before a quote": (PLAIN.replace("b,1", '"b\\"x",1'), 4, 4, "a quote within a value"),
    "a value over two lines": (PLAIN.replace("b,1", '"b\nc",1'), 4, 1, "not closed on its line"),
    "pipes": (PLAIN.replace(",", "|"), 1, 1, "no column 'arm'"),
    "no rows": (HEADER + "\n", 1, 1, "no rows"),
    "only comments": ("# a\n# b\n", 1, 1, "no header"),
    "nothing": ("", 1, 1, "empty"),
    "blank lines alone": ("\n\n \n", 1, 1, "empty"),
    "gzip": (gzip.compress(PLAIN.encode()), 1, 1, "packed as gzip"),
    "a spreadsheet": (b"PK\x03\x04rest", 1, 1, "packed as zip"),
}  # fmt: skip


@pytest.mark.parametrize(("data", "line", "column", "what"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_read_one_way_is_refused_with_its_place(tmp_path, data, line, column, what) -> None:
    assert any((n, c) == (line, column) and what in said for n, c, said in places(tmp_path, data)), places(tmp_path, data)


NUMBERS = [
    "2.9999999999999999999", "9007199254740992.5", "1_000", "1,000", "0x10", "inf", "-inf", "1e400", "1e-2", "1e3.0", "٣", "²",
    "1 000", "TRUE", "True", "yes", "1/2", "5%", "--5", "1.2.3", "1e99999999999", "9" * 5000, "7#",
]  # fmt: skip


@pytest.mark.parametrize("number", NUMBERS, ids=[n[:20] for n in NUMBERS])
def test_what_is_no_whole_number_is_refused_with_line_and_column(tmp_path, number) -> None:
    found = places(tmp_path, PLAIN.replace("60,100,100", f'"{number}",100,100'))
    assert [(line, column) for line, column, _ in found] == [(4, 7)]
    assert "'aligned' is" in found[0][2]


def test_a_thousand_or_a_fraction_is_refused_where_commas_do_not_divide(tmp_path) -> None:
    for number in ("1,000", "1.000", "12.345"):
        ((line, column, what),) = places(tmp_path, PLAIN.replace(",", ";").replace("60;100;100", f"60;100;{number}"))
        assert (line, column, what) == (4, 14, "'attempted' is not a whole number")


@pytest.mark.parametrize("marker", ["", "NA", "N/A", "nan", "NaN", "None", "NULL", "null", "<NA>", "-", "."])
def test_a_missing_value_is_refused_where_one_is_needed_and_taken_as_none_elsewhere(tmp_path, marker) -> None:
    for column, old in enumerate(("b", "1", "q", "60", "100", "100")):
        cells = ["b", "1", "q", "60", "100", "100"]
        cells[column] = marker
        ((line, _, what),) = places(tmp_path, PLAIN.replace("b,1,q,60,100,100", ",".join(cells)))
        assert line == 4 and "is empty" in what, old
    text = f"{HEADER},base_model,msm_spec,aft_spec,aft_tokens\na,1,q,1,2,3,{marker},{marker},{marker},{marker}\n"
    (tmp_path / "x.csv").write_text(text)
    given = read_given(tmp_path / "x.csv")
    assert (
        given.texts["base_model"] == ["imported"] and given.texts["msm_spec"] == [None] and given.texts["aft_spec"] == [None]
    )
    assert given.numbers["aft_tokens"].tolist() == [0]


def test_numbers_beyond_32_bits_are_kept_and_beyond_64_refused(tmp_path) -> None:
    for seed in (2**31, 3735928559, 20240101123, 2**53 + 1, 2**63 - 1):
        assert read(tmp_path, PLAIN.replace("b,1", f"b,{seed}"))[2][1] == seed
    assert places(tmp_path, PLAIN.replace("b,1", f"b,{2**63}")) == [(4, 3, "'seed' is too large")]
    assert places(tmp_path, PLAIN.replace("b,1", "b,-1")) == [(4, 1, "'seed' or 'aft_tokens' is negative")]


def test_a_hash_is_a_character_of_a_value(tmp_path) -> None:
    rows = ["#1 rules,1,q,3,9,9", "#1 rules,2,q,4,9,9", "plain#,1,q#,5,9,9"]
    assert [r[0] for r in read(tmp_path, "\n".join([HEADER, *rows]))] == ["#1 rules", "#1 rules", "plain#"]


def test_names_are_trimmed_and_composed(tmp_path) -> None:
    text = f"{HEADER}\n msm ,1,q,1,2,3\nmsm\u00a0,2,q,1,2,3\ncafe\u0301,1,q,1,2,3\ncaf\u00e9,2,q,1,2,3\n"
    assert [r[0] for r in read(tmp_path, text)] == ["msm", "msm", "café", "café"]


INVISIBLE = ["\x1b[31m", "\x07", "\u2028", "\u0085", "\u200b", "\ufeff", "\u202e", "\ufffd", "\u00ad", "\x7f", "\t"]


@pytest.mark.parametrize("character", INVISIBLE, ids=[f"U+{ord(c[0]):04X}" for c in INVISIBLE])
def test_what_nobody_sees_in_a_name_is_refused(tmp_path, character) -> None:
    ((line, column, what),) = places(tmp_path, PLAIN.replace("b,1", f"b{character}x,1"))
    assert (line, column) == (4, 1) and f"U+{ord(character[0]):04X}" in what


@pytest.mark.parametrize("other", ["a  b", "a\u00a0b", "ａ b", "a\u2003b"])
def test_names_that_look_alike_are_refused_with_both_lines(tmp_path, other) -> None:
    found = places(tmp_path, PLAIN.replace("a,1", "a b,1").replace("b,1,q,60", f"{other},1,q,60"))
    assert (found[0][0], found[0][1]) == (4, 1) and "looks like 'a b' (line 2)" in found[0][2]


def test_emoji_and_scripts_that_need_joiners_are_names(tmp_path) -> None:
    for name in ("👩\u200d🔬", "می\u200cخواهم", "имя", "名前", "a'b", "$5|x", "=1+1"):
        assert read(tmp_path, PLAIN.replace("b,1", f"{name},1"))[2][0] == name


def table(**columns: object) -> pa.Table:
    plain = {"arm": ["a", "b"], "seed": [1, 1], "eval": ["q", "q"], "aligned": [3, 4], "valid": [9, 9], "attempted": [9, 10]}
    return pa.table({**plain, **columns})


GOOD = {
    "int8": table(aligned=pa.array([3, 4], pa.int8())),
    "uint64": table(aligned=pa.array([3, 4], pa.uint64())),
    "whole floats": table(aligned=pa.array([3.0, 4.0])),
    "decimals": table(aligned=pa.array([Decimal("3.00"), Decimal("4.00")])),
    "numbers as text": table(aligned=["3", " 4.0 "]),
    "dictionary": table(arm=pa.array(["a", "b"]).dictionary_encode(), seed=pa.array([1, 1]).dictionary_encode()),
    "large strings": table(arm=pa.array(["a", "b"], pa.large_string()), eval=pa.array(["q", "q"], pa.string_view())),
    "an empty column": table(base_model=pa.nulls(2)),
    "chunks": pa.concat_tables([table().slice(0, 1), table().slice(1, 1)]),
}


@pytest.mark.parametrize("good", GOOD.values(), ids=GOOD)
@pytest.mark.parametrize("name", ["x.parquet", "x.PARQUET", "x.csv", "x"])
def test_parquet_is_read_by_what_it_is_whatever_its_name(tmp_path, good, name) -> None:
    pq.write_table(good, tmp_path / "t")
    assert read(tmp_path, (tmp_path / "t").read_bytes(), name) == [("a", 1, 3, 9, 9), ("b", 1, 4, 9, 10)]


BAD = {
    "a list": (table(arm=[["a"], ["b"]]), "'arm' is of type list"),
    "a struct": (table(arm=[{"x": "a"}, {"x": "b"}]), "'arm' is of type struct"),
    "binary": (table(arm=[b"a", b"b"]), "'arm' is of type binary"),
    "booleans": (table(aligned=[True, False]), "'aligned' is of type bool"),
    "a date": (table(seed=pa.array([1, 2], pa.date32())), "'seed' is of type date32"),
    "a fraction": (table(aligned=[3.5, 4.0]), "'aligned' is not a whole number"),
    "infinity": (table(aligned=[float("inf"), 4.0]), "'aligned' is not a whole number"),
    "a float that stands for several": (table(seed=[2.0**53 + 2, 1.0]), "'seed' is not a whole number"),
    "a 32-bit float that does": (table(attempted=pa.array([2.0**25, 1e3], pa.float32())), "'attempted' is not a whole number"),
    "a number above 63 bits": (table(seed=pa.array([2**63, 1], pa.uint64())), "'seed' is too large"),
    "missing": (table(aligned=[None, 4]), "'aligned' is empty"),
    "not a number": (table(aligned=[float("nan"), 4.0]), "'aligned' is empty"),
    "names that are fractions": (table(arm=[1.5, 2.5]), "'arm' is a column of fractions"),
    "a pandas index": (table(__index_level_0__=[0, 1]), "unknown column '__index_level_0__'"),
    "a line separator": (table(arm=["a\u2028", "b"]), "U+2028"),
    "no rows": (table().slice(0, 0), "there are no rows"),
}


@pytest.mark.parametrize(("bad", "what"), BAD.values(), ids=BAD)
def test_parquet_of_other_kinds_is_refused(tmp_path, bad, what) -> None:
    pq.write_table(bad, tmp_path / "t")
    found = places(tmp_path, (tmp_path / "t").read_bytes(), "x.parquet")
    assert any(what in said for _, _, said in found), found


def test_a_parquet_file_of_too_many_rows_is_refused_from_its_footer(tmp_path) -> None:
    big = pa.table({n: pa.repeat(pa.scalar(0, pa.int32()), 1_500_000) for n in HEADER.split(",")})
    with pq.ParquetWriter(tmp_path / "t", big.schema) as writer:
        for _ in range(14):
            writer.write_table(big)
    ((_, _, what),) = places(tmp_path, (tmp_path / "t").read_bytes(), "x.parquet")
    assert what == "holds 21,000,000 rows, and at most 20,000,000 are read"


def test_damaged_parquet_and_other_files_are_refused(tmp_path) -> None:
    pq.write_table(table(), tmp_path / "t")
    data = (tmp_path / "t").read_bytes()
    for cut in (b"PAR1", data[:20], data[:-1], data[:-9] + b"\xff" * 5 + data[-4:], b"not parquet"):
        assert "cannot be read as Parquet" in places(tmp_path, cut, "x.parquet")[0][2]
    with pytest.raises(InputFileError, match="not a regular file"):
        read_given(tmp_path)
    with pytest.raises(InputFileError, match="cannot be read"):
        read_given(tmp_path / "nowhere.csv")


@pytest.mark.parametrize("attempted", [10**9, 9 * 10**15, 10**18])
def test_an_item_asked_more_often_than_anybody_asks_is_refused(tmp_path, attempted) -> None:
    found = places(tmp_path, f"{HEADER},item_id\na,1,q,1,1,{attempted},i\n")
    assert found == [(2, 11, "'attempted' is above 100,000")]


def test_more_answers_than_are_written_out_are_refused(tmp_path) -> None:
    rows = "".join(f"a,1,q,1,1,100000,i{n}\n" for n in range(201))
    ((line, column, what),) = places(tmp_path, f"{HEADER},item_id\n{rows}")
    assert (line, column) == (202, 11) and what.startswith("20,100,000 answers, and at most")


ODD_NAMES = [
    "run[1].csv", "r[12].csv", "b*.csv", "a?.csv", "100%.csv", "-dash.csv", "with space.csv", "it's.csv", 'say"so".csv', "имя.csv",
    "{a,b}.csv", "~x.csv", "x" * 240 + ".csv", "new\nline.csv",
]  # fmt: skip


@pytest.mark.parametrize("name", ODD_NAMES, ids=[n[:12] for n in ODD_NAMES])
@pytest.mark.parametrize("folder", ["plain", "seed=99", "arm=evil", "run[1]", "a*"])
def test_the_file_that_is_named_is_read_and_no_other(tmp_path, name, folder) -> None:
    for beside in ("run1.csv", "r1.csv", "bc.csv", "ab.csv", "a.csv"):
        for place in (tmp_path, tmp_path / "run1", tmp_path / "ab"):
            place.mkdir(exist_ok=True)
            (place / beside).write_text(PLAIN.replace("a,1,q,80", "other,1,q,1"))
    (tmp_path / folder).mkdir(exist_ok=True)
    assert read(tmp_path / folder, PLAIN, name) == RIGHT
