"""What a value may be in a study or a family: numbers, tags, merge keys, characters and files, each refused with its place."""

from __future__ import annotations

import os
import sys
import time
import warnings
from pathlib import Path

import harness
import pytest
from pydantic import Field

from specsci.core.errors import InputFileError
from specsci.core.user_files import name_fault, read_user_text
from specsci.core.yaml_file import Strict, read_yaml
from specsci.core.yaml_nodes import with_value
from specsci.plan.build import build_plan
from specsci.study.load import load_study


class Model(Strict):
    a: int | float | str | bool | None = None
    b: dict[str, int] = Field(default_factory=dict)


def load(tmp_path: Path, text: str) -> object:
    (tmp_path / "f.yaml").write_bytes(text.encode("utf-8", "surrogatepass"))
    return read_yaml(tmp_path / "f.yaml").data


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("9" * 400, "is too large"),
        ("9" * 5000, "is a number of 5,000 characters"),
        ("0x" + "f" * 5000, "is a number of 5,002 characters"),
        ("9223372036854775808", "is too large"),
        ("1e400", "is too large"),
        ("-1e999", "is too large"),
        ("!!int ''", "is not a whole number"),
        ("!!int 0x", "is not a whole number"),
        ("!!int 1.5", "is not a whole number"),
        ("!!float x", "is not a number"),
        ("!!bool maybe", "is neither true nor false"),
        ("!!omap {a: 1}", "the tag"),
        ("!!set {a}", "the tag"),
        ("!!binary aGk=", "the tag"),
        ("!mine x", "the tag"),
        ('"\\0"', "NUL"),
        ('"\\ud800"', "half of a character"),
        ('"x\\udfff"', "half of a character"),
        ("{[x]: 1}", "a key must be one word"),
        ("{<<: 3}", "`<<` merges a mapping"),
        ("{<<: [1]}", "`<<` merges a mapping"),
        ("&x {<<: *x}", "stands inside what it names"),
        ("&x [*x]", "stands inside what it names"),
    ],
)
def test_what_has_no_value_is_refused_with_its_place(tmp_path: Path, value: str, said: str) -> None:
    with pytest.raises(InputFileError) as error:
        load(tmp_path, f"b: {{}}\na: {value}\n")
    (problem,) = error.value.problems
    assert (
        said in problem.what and problem.hint and problem.line in (1, 2) and (problem.line == 2 or "line 2" in problem.what)
    )


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        ("1e-4", 1e-4), ("1.0e-4", 1e-4), (".5", 0.5), ("5.", 5.0), ("-0", 0), ("1_000", 1000), ("0x1F", 31), ("0o17", 15), ("017", 17),
        ("+3", 3), ("no", "no"), ("yes", "yes"), ("true", True), ("False", False), ("~", None), ("", None), ("2001-02-30", "2001-02-30"),
        ("1:30", "1:30"), ("0x", "0x"), ("'1'", "1"), ("!!str 1", "1"), ('!!int "7"', 7), ("!!float 3", 3.0), ("!!bool no", False),
        ('"\\ud83d\\ude00"', "\U0001f600"), ("<<", "<<"), ("=", "="), ("9223372036854775807", 2**63 - 1),
    ],
)  # fmt: skip
def test_scalars_are_those_of_yaml_1_2(tmp_path: Path, value: str, wanted: object) -> None:
    found = load(tmp_path, f"a: {value}\n")["a"]  # type: ignore[index]
    assert found == wanted and type(found) is type(wanted)


def test_merge_keys_bring_what_is_not_said_and_keep_its_place(tmp_path: Path) -> None:
    text = "base: &base {x: 1, y: 2}\nmore: &more {y: 3, z: 4}\na:\n  y: 9\n  <<: [*base, *more]\nb: {<<: *base, x: wrong}\n"
    path = tmp_path / "f.yaml"
    path.write_text(text)
    document = read_yaml(path)
    assert document.data["a"] == {"y": 9, "x": 1, "z": 4}
    assert document.position(("a", "z")) == (2, 23) and document.position(("a", "y")) == (4, 6)
    assert document.position(("b", "y"), key=True) == (1, 20) and document.position(("b", "x")) == (6, 19)
    assert document.position(("b", "nothing")) == (6, 4)


@pytest.mark.parametrize(
    ("text", "least"),
    [
        ("a: " + "[" * 3000, 1), ("a: " + "{" * 3000, 1), ("a: " + "[" * 101 + "]" * 101, 1), ("- " * 3000, 1),
        ("a: &a {x: 1}\nb:\n" + "  <<: *a\n" * 4000, 0), ("a: &a {x: 1}\nb: [" + "{<<: *a}," * 4000 + "]", 0),
        ("a:\n" + "".join(f"  k{i}: {i}\n" for i in range(50_000)), 1),
    ],
    ids=["brackets", "braces", "101", "dashes", "merges", "merged list", "keys"],
)  # fmt: skip
def test_no_file_takes_five_seconds(tmp_path: Path, text: str, least: int) -> None:
    limit_s = 5 if sys.gettrace() is None else 60  # under a coverage tool every line takes longer
    begin = time.process_time()
    try:
        load(tmp_path, text)
        refused = ""
    except InputFileError as error:
        refused = str(error)
    assert time.process_time() - begin < limit_s and bool(refused) == bool(least), refused
    if text.startswith("a: [") or text.startswith("- "):
        assert "is nested more than 100 levels deep" in refused


def test_an_anchor_that_is_used_again_warns_nobody(tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert load(tmp_path, "a: &x 1\nb: &x 2\nc: *x\n") == {"a": 1, "b": 2, "c": 2}


def test_only_regular_files_are_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path, kind in ((tmp_path / "pipe", "a named pipe"), (tmp_path, "a directory"), (Path("/dev/zero"), "a device")):
        with pytest.raises(InputFileError, match=kind):
            read_user_text(path, 1000)
    assert name_fault("a\0b") and name_fault("\ud800") and name_fault("y" * 256) and name_fault("a/" * 3000)
    assert not name_fault("é" * 100 + "/ok.yaml")
    with pytest.raises(InputFileError, match="255"):
        read_yaml(tmp_path / ("y" * 300))


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ('"family": x # c\nb: 1\n', '"family": own # c\nb: 1\n'),
        ("{b: 1, family: 'x'}", "{b: 1, family: own}"),
        ("b: {family: y}\nfamily:   x\n", "b: {family: y}\nfamily:   own\n"),
        ("b: 1\n", None),
    ],
)
def test_one_value_of_a_text_is_replaced(text: str, wanted: str | None) -> None:
    assert with_value(text, "family", "own") == wanted


MERGED = harness.SMALL.replace(
    "recipe: {method: full, learning_rate: 1.0e-3,", "recipe: &r {method: full, learning_rate: 1.0e-3,"
).replace(
    "recipe: {method: full, learning_rate: 1.0e-4, sequences_per_update: 4, max_length_tokens: 65}",
    "recipe: {<<: *r, learning_rate: 1.0e-4}",
)


def test_a_study_with_merge_keys_is_the_study_written_out(tmp_path: Path) -> None:
    merged, plain = tmp_path / "merged.yaml", tmp_path / "plain.yaml"
    merged.write_text(MERGED + "profiles:\n  micro: &m {probe: {tokens: 500}}\n  big: {<<: *m, midtrain: {tokens: 3000}}\n")
    written = MERGED.replace("&r ", "").replace(
        "{<<: *r, learning_rate: 1.0e-4}",
        "{method: full, learning_rate: 1.0e-4, sequences_per_update: 8, max_length_tokens: 64}",
    )
    plain.write_text(
        written + "profiles:\n  micro: {probe: {tokens: 500}}\n  big: {probe: {tokens: 500}, midtrain: {tokens: 3000}}\n"
    )
    for profile in ("micro", "big"):
        plans = [build_plan(load_study(str(p), profile)) for p in (merged, plain)]
        assert set(plans[0].steps) == set(plans[1].steps)
        assert plans[0].loaded.line("align", "recipe", "method") == plans[0].loaded.line("midtrain", "recipe", "method")


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("  rules: {title: MSM and AFT,", "  more: &more {titel: x}\n  rules: {<<: *more, title: MSM,", "7:16: unknown key 'titel'|did you mean 'title'?"),
        ("runtime: {threads", "profiles: []\nruntime: {threads", "must map profile names to overlays"),
        ("  tokens: 2000", "  tokens: 2000\n  replay: microlab:nope", "no microlab world 'nope'"),
        ("  tokens: 2000", "  tokens: 2000\n  replay: microlab:conduct", "names no base of a world"),
        ("  tokens: 2000", "  tokens: 2000\n  replay: " + "y" * 300, "has a part of 300 bytes"),
        ("  budgets_tokens", "  it_mix: microlab:conductt/100\n  budgets_tokens", "did you mean 'conduct'?"),
        ("runtime: {threads", "probe: {control: 'microlab:nope'}\nruntime: {threads", "no microlab world 'nope'"),
        ('{source: "microlab:conduct/100"}', '{source: "microlab:conduct/100", chat_variables: {thinking: no}}', "write thinking: false"),
        ('{source: "microlab:conduct/100"}', '{source: "microlab:conduct/100", chat_variables: {thinking: "Off"}}', "write thinking: false"),
        ('{source: "microlab:conduct/100"}', '{source: "microlab:conduct/100", chat_template: "' + "y" * 300 + '"}', "has a part of 300 bytes"),
        ('source: "microlab:conduct/100"', 'source: "' + "y" * 5000 + '"', "file names have at most 255"),
        ("  dev: {source", '  "\\e[31m": {source', "is not a valid name for a base model"),
        ("hypothesis:", "hypothesis: [", "expected"),
    ],
)  # fmt: skip
def test_mistakes_of_a_study_have_a_place_and_a_hint(tmp_path: Path, old: str, new: str, said: str) -> None:
    path = tmp_path / "s.yaml"
    path.write_text(harness.edited(harness.SMALL, {old: new}))
    with pytest.raises(InputFileError) as error:
        build_plan(load_study(str(path)))
    text = str(error.value)
    assert all(part in text for part in said.split("|")) and text.startswith(f"{path}:") and ":1:1:" not in text
    assert "\x1b" not in text or "\\x1b" in text


@pytest.mark.parametrize(
    "weights", ["{base: 1.0e308, rules: -1.0e308}", "{base: 1, rules: -0.999}", "{base: 2000, rules: -2000}"]
)
def test_weights_are_small_numbers_that_sum_to_nothing(tmp_path: Path, weights: str) -> None:
    path = tmp_path / "s.yaml"
    path.write_text(
        harness.SMALL
        + f"contrasts:\n  - {{name: c, eval: held_out, weights: {weights}, budget_tokens: 300, factor: midtrain}}\n"
    )
    with pytest.raises(InputFileError, match="weight"):
        load_study(str(path))
