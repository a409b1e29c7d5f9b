"""Files of documents that a user brings: what is read, what is refused with its place, and which rows a sample takes."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from specsci.core.errors import InputFileError, Problem
from specsci.corpus.files import BATCH, Files, documents_of, order
from specsci.sources.documents import DocumentFile, documents, facts_of


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SPECSCI_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def lines(folder: Path, rows: list[object], name: str = "docs.jsonl", start: bytes = b"", end: str = "\n") -> Path:
    texts = [row if isinstance(row, str) else json.dumps(row, ensure_ascii=False) for row in rows]
    (folder / name).write_bytes(start + "".join(t + end for t in texts).encode())
    return folder / name


def problems(path: Path) -> list[tuple[int, str, str]]:
    with pytest.raises(InputFileError) as found:
        facts_of(path, path.name)
    return [(p.line, p.what, p.hint) for p in found.value.problems]


ROWS = [
    {"text": "Braces {stay} as {{they}} are.", "clause_id": "honesty", "doc_type": "note", "source": "a.md"},
    {"text": "Zeilen\u2028trenner, Ümläute, 日本語", "year": 1999, "tags": ["a", {"b": None}]},
    {"text": "  spaces stay  ", "clause_id": None},
]


@pytest.mark.parametrize("start", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\n\n  \n"])
def test_rows_are_read_as_they_are_by_stream_and_by_place(tmp_path: Path, start: bytes, end: str) -> None:
    path = lines(tmp_path, ROWS, start=start, end=end)
    found = list(documents(path, "docs.jsonl"))
    assert [d.text for d in found] == [r["text"] for r in ROWS]
    assert (found[0].clause_id, found[0].doc_type, found[0].source, found[0].more) == ("honesty", "note", "a.md", {})
    assert (found[1].clause_id, found[1].more) == ("", {"year": 1999, "tags": ["a", {"b": None}]})
    file = DocumentFile(path, "docs.jsonl", tmp_path)
    assert [file[n] for n in range(len(file))] == found and len(file) == 3
    step = 3 if end == "\n\n  \n" else 1
    assert [d.row for d in found] == [1, 1 + step, 1 + 2 * step]


def test_parquet_is_read_by_what_it_is(tmp_path: Path) -> None:
    table = pa.table({"text": ["one", "two", "three"], "clause_id": ["a", None, "b"], "when": pa.array([0, 1, 2], pa.timestamp("s"))})
    pq.write_table(table, tmp_path / "docs.txt")
    found = [d for d in documents(tmp_path / "docs.txt", "docs.txt") if not isinstance(d, Problem)]
    assert [(d.row, d.text, d.clause_id) for d in found] == [(1, "one", "a"), (2, "two", ""), (3, "three", "b")]
    (tmp_path / "scratch").mkdir()
    file = DocumentFile(tmp_path / "docs.txt", "docs.txt", tmp_path / "scratch")
    assert [(file[n].text, file[n].clause_id) for n in (2, 0, 1)] == [("three", "b"), ("one", "a"), ("two", "")]
    assert facts_of(tmp_path / "docs.txt", "docs.txt").rows == 3
    (tmp_path / "cut.parquet").write_bytes((tmp_path / "docs.txt").read_bytes()[:200])
    assert "not readable Parquet" in problems(tmp_path / "cut.parquet")[0][1]


@pytest.mark.parametrize(
    ("row", "what", "hint"),
    [
        ({"txt": "x"}, "text: the row has no such key", "rename the key"),
        ({"content": "x"}, "text: the row has no such key", "give it the key `text`"),
        ({"messages": []}, "text: the row has no such key", "name the file under `align`"),
        ({"text": None}, "text: null where a text is expected", "leave the row out"),
        ({"text": ["a"]}, "text: a list where a text is expected", "leave the row out"),
        ({"text": " \n"}, "text: empty", "leave the row out"),
        ({"text": "x", "clause_id": 3}, "clause_id: a number where a text is expected", "write clause_id as a text"),
        ('{"text": "x"', "not JSON", "the line is cut off"),
        ("[1]", "the line holds a list where an object is expected", "jq"),
        ('{"text": "\\ud800"}', "half a character", ""),
        ('{"text": "x", "text": "y"}', "given twice", ""),
    ],
)
def test_a_row_that_is_no_document_is_refused_with_its_line(tmp_path: Path, row: object, what: str, hint: str) -> None:
    ((line, said, help_),) = problems(lines(tmp_path, [{"text": "fine"}, row, {"text": "fine too"}]))
    assert line == 2 and what in said and hint in help_


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (b"", "holds no documents"), (b"\n \n", "holds no documents"), (b"\x1f\x8b\x08\x00", "gzip"), (b"PK\x03\x04", "zip"),
        (b"\xff\xfet\x00", "UTF-16"), (b"version https://git-lfs.github.com/spec/v1\n", "Git LFS pointer"),
        (b'{"text": "caf\xe9"}\n', "not valid UTF-8"),
    ],
)  # fmt: skip
def test_a_file_that_is_something_else_is_named(tmp_path: Path, data: bytes, what: str) -> None:
    (tmp_path / "docs.jsonl").write_bytes(data)
    assert what in problems(tmp_path / "docs.jsonl")[0][1]


def test_a_line_without_end_is_not_read_into_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("specsci.core.jsonl.MAX_LINE_BYTES", 1000)
    (tmp_path / "docs.jsonl").write_bytes(b'{"text": "' + b"x" * 2000)
    assert "longer than 1,000 bytes" in problems(tmp_path / "docs.jsonl")[0][1]


def test_facts_are_counted_once_for_a_content_and_a_bad_file_every_time(tmp_path: Path, cache: Path, monkeypatch) -> None:
    path = lines(tmp_path, [{"text": "one"}, {"text": "two"}, {"text": "one", "source": "again"}])
    found = facts_of(path, "docs.jsonl")
    assert (found.rows, found.characters, found.distinct) == (3, 9, 2)
    monkeypatch.setattr("specsci.sources.documents._counted", lambda *a: pytest.fail("read twice"))
    assert facts_of(path, "docs.jsonl") == found
    (note,) = (cache / "documents").iterdir()
    note.write_text("{")
    with pytest.raises(pytest.fail.Exception):
        facts_of(path, "docs.jsonl")


def test_at_most_twenty_faults_are_listed(tmp_path: Path) -> None:
    assert len(problems(lines(tmp_path, [{"text": ""}] * 300))) == 20


def opened(folder: Path, sizes: list[int]) -> Files:
    files = []
    for number, size in enumerate(sizes):
        path = lines(folder, [{"text": f"{number}-{n}"} for n in range(size)], f"{number}.jsonl")
        files.append(DocumentFile(path, path.name, folder))
    return Files(files)


def taken(files: Files, seed: int, count: int, *, from_end: bool = False) -> list[str]:
    out: list[str] = []
    for batch in documents_of(files, seed, from_end=from_end):
        out += [t.document.text for t in batch]
        if len(out) >= count:
            return out[:count]
    return out


def test_every_document_is_read_once_in_each_pass_and_each_pass_has_its_own_order(tmp_path: Path) -> None:
    files = opened(tmp_path, [700, 1, 600])
    assert 1301 > 2 * BATCH
    first, second = (taken(files, 5, 2602)[s] for s in (slice(0, 1301), slice(1301, 2602)))
    every = [f"{n}-{i}" for n, size in enumerate((700, 1, 600)) for i in range(size)]
    assert sorted(first) == sorted(second) == sorted(every) and first != second != every


def test_samples_nest_differ_by_seed_and_held_out_ones_are_others(tmp_path: Path) -> None:
    files = opened(tmp_path, [900, 400])
    longer = taken(files, 5, 900)
    assert taken(files, 5, 300) == longer[:300] == taken(opened(tmp_path, [900, 400]), 5, 300)
    assert taken(files, 6, 300) != longer[:300]
    assert not set(longer) & set(taken(files, 5, 400, from_end=True))
    assert taken(files, 5 + 2**32, 300) != longer[:300], "all bits of a seed count"


def test_the_order_is_numpys_frozen_stream() -> None:
    """The values that numpy's RandomState gave when this was written: another numpy may not sample another corpus."""
    assert order(10, 7, 0).tolist() == [1, 7, 5, 2, 6, 0, 4, 3, 9, 8]

