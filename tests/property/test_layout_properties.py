"""A layout of workers never asks for more threads than there are cores; identities are stable."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from specsci.core.errors import UserError
from specsci.core.ids import canonical_json, derive_seed, digest, is_safe_name
from specsci.execute.devices import Layout, layout, worker_environment


@settings(deadline=None, max_examples=300)
@given(st.none() | st.integers(1, 300), st.integers(0, 300), st.integers(1, 256))
def test_workers_times_threads_never_exceed_the_cores(workers: int | None, threads: int, cores: int) -> None:
    found = layout(workers, threads, cores)
    assert found.workers >= 1 and found.threads >= 1
    assert found.workers * found.threads <= cores
    if workers is not None:
        assert found.workers == min(workers, cores)
        assert bool(found.note) == (workers > cores)
    if threads:
        assert found.threads <= threads


def test_known_layouts() -> None:
    def shape(*args: int | None) -> tuple[int, int]:
        found = layout(*args)  # type: ignore[arg-type]
        return found.workers, found.threads

    assert shape(None, 0, 8) == (1, 8)
    assert shape(None, 1, 8) == (8, 1)
    assert shape(None, 3, 8) == (2, 3)
    assert shape(None, 16, 8) == (1, 8)
    assert shape(2, 0, 8) == (2, 4)
    assert shape(2, 1, 8) == (2, 1)
    assert shape(8, 4, 8) == (8, 1)
    assert layout(9, 1, 8).note == "--workers 9 cut to the 8 cores of this machine"


@settings(deadline=None, max_examples=200)
@given(st.none() | st.integers(1, 20), st.integers(0, 8), st.integers(1, 16), st.integers(0, 8), st.integers(1, 8))
def test_a_stage_over_several_devices_gets_them_whole_and_alone(wished, threads, cores, gpus, devices) -> None:
    names = tuple(str(n) for n in range(gpus))
    if devices > (gpus or cores):
        with pytest.raises(UserError, match=f"devices_per_stage is {devices}, and this machine has"):
            layout(wished, threads, cores, names, devices)
        return
    found = layout(wished, threads, cores, names, devices)
    dealt = [gpu for group in found.gpus for gpu in group.split(",")]
    assert len(set(dealt)) == len(dealt) and all(len(group.split(",")) == devices for group in found.gpus)
    assert len(found.gpus) == (found.workers if gpus else 0)
    if cores >= found.workers * devices:
        assert found.workers * devices * found.threads <= cores


def test_known_layouts_over_several_devices() -> None:
    assert layout(None, 0, 64, tuple("01234567"), 4) == Layout(2, 8, ("0,1,2,3", "4,5,6,7"))
    assert layout(None, 1, 8, (), 2) == Layout(4, 1)
    assert layout(3, 0, 64, tuple("0123"), 2).note == "--workers 3 cut to the 4 GPUs of this machine"


def test_workers_get_their_threads_wait_passively_and_stay_offline(monkeypatch) -> None:
    monkeypatch.delenv("SPECSCI_ONLINE", raising=False)
    found = worker_environment(3)
    assert (found["OMP_NUM_THREADS"], found["MKL_NUM_THREADS"], found["OMP_WAIT_POLICY"]) == ("3", "3", "PASSIVE")
    assert found["HF_HUB_OFFLINE"] == "1"
    monkeypatch.setenv("SPECSCI_ONLINE", "1")
    assert "HF_HUB_OFFLINE" not in worker_environment(3)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
    max_leaves=12,
)


@settings(deadline=None, max_examples=200)
@given(st.dictionaries(st.text(max_size=4), VALUES, max_size=5), st.randoms())
def test_a_digest_survives_json_and_any_key_order(value: dict[str, object], rng) -> None:
    keys = list(value)
    rng.shuffle(keys)
    text = canonical_json({k: value[k] for k in keys})
    assert text == canonical_json(value)
    assert canonical_json(json.loads(text)) == text
    assert digest(value) == digest(json.loads(text)) and len(digest(value)) == 24


@settings(deadline=None, max_examples=200)
@given(st.lists(st.text() | st.integers(), max_size=4))
def test_a_derived_seed_is_a_31_bit_number(parts: list[str | int]) -> None:
    assert 0 <= derive_seed(*parts) < 2**31
    assert derive_seed(*parts) == derive_seed(*parts) != derive_seed(*parts, "more")


@settings(deadline=None, max_examples=300)
@given(st.text(max_size=12))
def test_a_safe_name_is_one_plain_path_part(name: str) -> None:
    if is_safe_name(name):
        assert name.isascii() and name == name.lower() and not set(name) & set("/\\: \n\t\0") and name[0] not in ".-"
