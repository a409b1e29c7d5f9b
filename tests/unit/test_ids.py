"""Canonical JSON, digests, derived seeds, safe names."""

from __future__ import annotations

import hashlib
import math
from pathlib import Path

import pytest

from specsci.core.ids import canonical_json, derive_seed, digest, file_sha256, is_safe_name, text_digest


def test_canonical_json_sorts_keys_and_writes_no_spaces() -> None:
    assert canonical_json({"b": [1, 2.5, None, True], "a": {"ü": "x y"}}) == '{"a":{"ü":"x y"},"b":[1,2.5,null,true]}'


def test_key_order_tuples_and_whole_floats_do_not_change_a_digest() -> None:
    assert digest({"a": 1, "b": (1, 2)}) == digest({"b": [1, 2], "a": 1.0})


def test_small_floats_keep_every_digit() -> None:
    assert canonical_json([1e-4, 0.1 + 0.2, -0.0]) == "[0.0001,0.30000000000000004,0]"


@pytest.mark.parametrize("value", [True, "1", 1.5, None, [1]])
def test_values_of_different_types_have_different_digests(value: object) -> None:
    assert digest({"x": value}) != digest({"x": 1})


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"a": math.nan}, "identity.a: nan is not a finite number and cannot be part of an identity"),
        ({"a": [0, math.inf]}, "identity.a[1]: inf is not a finite number and cannot be part of an identity"),
        ({"a": Path("/tmp")}, "identity.a: PosixPath cannot be part of an identity"),
        ({"a": {"b": print}}, "identity.a.b: builtin_function_or_method cannot be part of an identity"),
        ([lambda: 0], "identity[0]: function cannot be part of an identity"),
        ({"a": {1, 2}}, "identity.a: set cannot be part of an identity"),
        ({"a": b"x"}, "identity.a: bytes cannot be part of an identity"),
        ({1: "a"}, "identity: keys of an identity must be strings"),
    ],
)
def test_what_has_no_canonical_form_is_refused_with_its_place(value: object, message: str) -> None:
    with pytest.raises(TypeError) as error:
        digest(value)
    assert str(error.value) == message


def test_golden_digests() -> None:
    """These never change: stores on disk are named by them."""
    assert digest({}) == "44136fa355b3678a1146ad16"
    assert digest({"kind": "midtrain", "params": {"learning_rate": 1e-4, "tokens": 100000}}) == "ad2b3e3996327e5c85df4434"
    assert digest([1, 2.0, "ü", None, True]) == "9d35cb6011560fb9b076d194"
    assert text_digest("") == hashlib.sha256(b"").hexdigest()[:24] == "e3b0c44298fc1c149afbf4c8"


def test_golden_seeds() -> None:
    assert [derive_seed("corpus", 1), derive_seed("corpus", 2), derive_seed("align", 1)] == [
        1222564553,
        1231040289,
        1625610469,
    ]


def test_a_seed_depends_on_every_part_and_on_how_they_are_split() -> None:
    seeds = {derive_seed("a", 1), derive_seed("a", 2), derive_seed("b", 1), derive_seed("a1"), derive_seed("a", "1")}
    assert len(seeds) == 5


def test_a_file_has_the_sha256_of_its_bytes(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"\x00\xff" * 70_000)
    assert file_sha256(tmp_path / "f") == hashlib.sha256(b"\x00\xff" * 70_000).hexdigest()


@pytest.mark.parametrize("name", ["a", "value_vs_rules", "gpt-4.1", "x@micro", "0", "a" * 100])
def test_safe_names(name: str) -> None:
    assert is_safe_name(name)


@pytest.mark.parametrize(
    "name", ["", ".", "..", "a..b", ".hidden", "-x", "a/b", "a\\b", "A", "a b", "a\n", "ü", "a\x00", "a" * 101, "a:b", "~"]
)
def test_names_that_could_leave_a_folder_or_clash_are_refused(name: str) -> None:
    assert not is_safe_name(name)
