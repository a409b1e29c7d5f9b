"""Files that are not valid YAML: one located problem each, quickly, never a traceback."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from pydantic import Field

from specsci.core.errors import InputFileError
from specsci.core.yaml_file import Strict, read_yaml, validate


class Inner(Strict):
    tokens: int
    rate: float = 0.5


class Outer(Strict):
    name: str
    inner: Inner
    many: dict[str, list[Inner]] = Field(default_factory=dict)


def refused(path: Path, content: str | bytes) -> str:
    """The one problem of a file, without its name."""
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(InputFileError) as error:
        validate(read_yaml(path), Outer)
    text = str(error.value)
    return text.replace(str(path) + ":", "")


BOMB = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{new}: &{new} [{', '.join([f'*{old}'] * 9)}]\n" for old, new in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("name: [x\ninner: y\n", "2:6: expected ',' or ']', but got ':'\n  hint: fix the YAML syntax here"),
        (
            "name: x\n\tinner: y\n",
            "2:1: found character '\\t' that cannot start any token\n  hint: fix the YAML syntax here",
        ),
        (
            "name: x\ninner: {tokens: 1}\nname: y\n",
            '3:1: found duplicate key "name" with value "y" (original value: "x")\n  hint: fix the YAML syntax here',
        ),
        (
            "name: x\ninner: {tokens: 1, tokens: 2}\n",
            '2:20: found duplicate key "tokens" with value "2" (original value: "1")\n  hint: fix the YAML syntax here',
        ),
        ("name: *nothing\n", "1:7: found undefined alias 'nothing'\n  hint: fix the YAML syntax here"),
        ("name: x\n---\nname: y\n", "2:1: but found another document\n  hint: fix the YAML syntax here"),
        (b"name: x\n# \xff\n", "2:1: is not UTF-8 (byte 10)\n  hint: save it as UTF-8"),
        ("- a\n", "1:1: must be a mapping of keys to values\n  hint: begin with a key and a colon, such as `study: name`"),
        ("", "1:1: must be a mapping of keys to values\n  hint: begin with a key and a colon, such as `study: name`"),
        (BOMB, "1:1: expands to more than 200,000 nodes\n  hint: remove nested aliases"),
        (
            "a: " + "x" * 10_000_000,
            "1:1: is 10,000,003 bytes; the limit is 2,000,000\n  hint: put bulk text in files beside it",
        ),
    ],
    ids=["malformed", "tab", "duplicate", "inner-duplicate", "alias", "two", "bytes", "list", "empty", "bomb", "large"],
)
def test_a_bad_file_is_one_located_problem_and_costs_little(tmp_path: Path, content: str | bytes, message: str) -> None:
    begin = time.process_time()
    assert refused(tmp_path / "f.yaml", content) == message
    assert time.process_time() - begin < 3.0


def test_an_alias_that_holds_itself_is_refused(tmp_path: Path) -> None:
    assert refused(tmp_path / "f.yaml", "a:\n  b: &b\n    c: *b\n").startswith("1:1: ")


def test_a_file_that_is_not_there_says_so(tmp_path: Path) -> None:
    with pytest.raises(InputFileError) as error:
        read_yaml(tmp_path / "f.yaml")
    assert str(error.value) == f"{tmp_path}/f.yaml:1:1: cannot be read: No such file or directory"


def test_a_nul_byte_is_refused(tmp_path: Path) -> None:
    assert "special characters are not allowed" in refused(tmp_path / "f.yaml", b"name: a\x00b\n")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("nane: x\ninner: {tokens: 1}\n", "1:1: 'name' is required and missing\n  hint: add `name:` here"),
        ("name: x\ninner: {tokens: 1, tokns: 2}\n", "2:20: unknown key 'tokns'\n  hint: did you mean 'tokens'?"),
        (
            "name: x\ninner: {tokens: 1}\nmany: {a: [{tokens: 1}, {tokens: 1, rat: 1}]}\n",
            "3:37: unknown key 'rat'\n  hint: did you mean 'rate'?",
        ),
        ("name: x\ninner: {tokens: 1, zz: 1}\n", "2:20: unknown key 'zz'\n  hint: valid names: rate, tokens"),
        (
            "name: x\ninner: {tokens: 1.5}\n",
            "2:17: 'inner.tokens': Input should be a valid integer, got a number with a fractional part (given: 1.5)",
        ),
        ("name: x\ninner: {tokens: 1, rate: .nan}\n", "2:26: 'inner.rate': Input should be a finite number (given: nan)"),
        ("name: x\ninner: {tokens: 1, rate: .inf}\n", "2:26: 'inner.rate': Input should be a finite number (given: inf)"),
        ("name: x\ninner: {}\n", "2:8: 'inner.tokens' is required and missing\n  hint: add `tokens:` here"),
        (
            "name: x\ninner: 3\n",
            "2:8: 'inner': Input should be a valid dictionary or instance of Inner (given: 3)",
        ),
    ],
)
def test_wrong_keys_and_types_name_place_and_hint(tmp_path: Path, text: str, message: str) -> None:
    assert message in refused(tmp_path / "f.yaml", text)


def test_every_problem_of_a_file_is_listed_in_file_order(tmp_path: Path) -> None:
    text = refused(tmp_path / "f.yaml", "inner: {tokns: 1}\nmany: 3\n")
    assert [line for line in text.splitlines() if "hint" not in line] == [
        "1:1: 'name' is required and missing",
        "1:8: 'inner.tokens' is required and missing",
        "1:9: unknown key 'tokns'",
        "2:7: 'many': Input should be a valid dictionary (given: 3)",
    ]


def test_scalars_are_yaml_1_2(tmp_path: Path) -> None:
    path = tmp_path / "f.yaml"
    path.write_text("name: no\ninner: {tokens: 12, rate: 1e-4}\n")
    assert validate(read_yaml(path), Outer) == Outer(name="no", inner=Inner(tokens=12, rate=0.0001))
