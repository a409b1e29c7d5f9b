"""Reading JSON Lines that other people wrote."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from specsci.core.errors import InputFileError, UserError
from specsci.core.jsonl import MAX_DEPTH, MAX_PROBLEMS, parse_rows, read_rows


def problem(data: bytes) -> tuple[int, int, str]:
    rows, problems = parse_rows(data, "f.jsonl")
    assert len(problems) == 1, (rows, problems)
    return problems[0].line, problems[0].column, str(problems[0])


def test_lines_end_on_a_line_feed_alone() -> None:
    said = "a\u2028b\u0085c\u2029d"
    line = f'{{"text": "{said}"}}'.encode()
    rows, problems = parse_rows(b"\xef\xbb\xbf" + line + b"\r\n\n  \n" + line, "f.jsonl")
    assert not problems
    assert [(r.line, r.data) for r in rows] == [(1, {"text": said}), (4, {"text": said})]


@pytest.mark.parametrize(
    ("data", "line", "column", "says"),
    [
        (b'{"text": "a"}\n{"text": "b', 2, 10, "cut off"),
        (b'{"text": "a"}\n{"text": ', 2, 10, "cut off"),
        ('{"text": "é"}'.encode("latin-1"), 1, 11, "0xe9 is not valid UTF-8"),
        ('{"é": "'.encode() + b"\xff" + b'"}', 1, 8, "0xff is not valid UTF-8"),
        (b'[{"text": "a"}]', 1, 1, "a list where an object is expected"),
        (b'"a"', 1, 1, "a text where an object is expected"),
        (b"null", 1, 1, "null where an object is expected"),
        (b'{"a": NaN}', 1, 1, "NaN is not a valid JSON number"),
        (b'{"a": 1e400}', 1, 1, "too large"),
        (b'{"a": ' + b"9" * 5000 + b"}", 1, 1, "too many digits"),
        (b'{"a": 1, "a": 2}', 1, 1, "'a' is given twice"),
        (b'{"a": "\\ud800"}', 1, 1, "half a character"),
        (b'{"a": {"\\udfff": 1}}', 1, 1, "half a character"),
        (b'{"a": ' + b"[" * 70 + b"]" * 70 + b"}", 1, 1, "nested deeper"),
        (b'{"a": ' + b"[" * 200_000 + b"]" * 200_000 + b"}", 1, 1, "nested deeper"),
        (b'{"a": 1}{"a": 2}', 1, 9, "one object a line"),
        (b"{'a': 1}", 1, 2, "double quotes"),
        (b"text\nmore".splitlines()[0], 1, 1, "one object"),
        (b"\x1f\x8b\x08abc", 1, 1, "gzip"),
        ('{"a": 1}'.encode("utf-16"), 1, 1, "UTF-16"),
        (b"version https://git-lfs.github.com/spec/v1\n", 1, 1, "Git LFS pointer"),
    ],
)
def test_a_fault_has_its_line_and_column(data: bytes, line: int, column: int, says: str) -> None:
    found = problem(data)
    assert found[:2] == (line, column)
    assert says in found[2]


def test_what_json_can_say_is_read() -> None:
    depth: object = 1
    for _ in range(MAX_DEPTH - 2):
        depth = [depth]
    rows = [{"a": depth}, {"b": "\\u00e9 \U0001f600"}, {"c": [1, 2.5, None, True]}]
    data = "\n".join([json.dumps(rows[0]), json.dumps(rows[1]), json.dumps(rows[2])]).encode()
    assert [r.data for r in parse_rows(data, "f")[0]] == rows


def test_all_problems_of_a_file_are_listed_up_to_a_limit(tmp_path: Path) -> None:
    path = tmp_path / "f.jsonl"
    path.write_bytes(b"x\n" * 3)
    with pytest.raises(InputFileError) as error:
        read_rows(path)
    assert [p.line for p in error.value.problems] == [1, 2, 3]
    path.write_bytes(b"x\n" * 500)
    with pytest.raises(InputFileError, match="the last of 500 problems") as error:
        read_rows(path, name="texts.jsonl")
    assert len(error.value.problems) == MAX_PROBLEMS + 1
    assert error.value.problems[0].file == "texts.jsonl"
    with pytest.raises(UserError, match="cannot be read"):
        read_rows(tmp_path / "absent.jsonl")
