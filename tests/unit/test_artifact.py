"""Write-once artefacts: whole or absent, checked by size at once and by content when asked."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from specsci.core.errors import CorruptArtifact, StoreError
from specsci.core.step import Step
from specsci.store.artifact import Store, read_record, write_json
from specsci.store.fsck import check

STEP = Step("spec", {"a": 1}, label="a step")
OTHER = Step("spec", {"a": 2}, label="another")


@pytest.fixture
def store(tmp_path) -> Store:
    return Store(tmp_path / "store").open()


def publish(store: Store, step: Step = STEP, text: str = "hello", owner: str = "me"):
    stage = store.stage(step, owner)
    (stage / "sub").mkdir()
    (stage / "a.txt").write_text(text)
    (stage / "sub" / "b.bin").write_bytes(b"\x00" * 10)
    return store.publish(step, stage, {"tokens": 5})


def test_a_published_step_is_there_with_its_record(store) -> None:
    assert not store.has(STEP) and store.have([STEP, OTHER]) == set()
    folder = publish(store)
    assert folder == store.root / "steps" / "spec" / STEP.digest
    assert store.has(STEP) and store.have([STEP, OTHER]) == {STEP.digest}
    record = store.verify("spec", STEP.digest)
    assert record.files["a.txt"].model_dump() == {
        "bytes": 5,
        "sha256": "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824",
    }
    assert set(record.files) == {"a.txt", "sub/b.bin"}
    assert (record.plain()["identity"], record.label, record.facts) == (STEP.identity, "a step", {"tokens": 5})
    assert list((store.root / "stage").iterdir()) == []
    assert store.records("spec") == store.records() == [record] and store.records("score") == []


def test_a_stage_that_was_not_published_is_not_there(store) -> None:
    (store.stage(STEP, "me") / "a.txt").write_text("half")
    assert not store.has(STEP)


def test_a_stage_is_fresh_even_after_a_crash_left_one(store) -> None:
    (store.stage(STEP, "me") / "old.txt").write_text("rest of a killed run")
    assert list(store.stage(STEP, "me").iterdir()) == []


def test_a_folder_without_a_record_is_no_artefact(store) -> None:
    folder = publish(store)
    (folder / "record.json").unlink()
    assert not store.has(STEP)
    with pytest.raises(CorruptArtifact, match="no readable record"):
        store.verify("spec", STEP.digest)


@pytest.mark.parametrize("record", ["", "{", "[]", "3", '{"digest": "x"}', "\x00"])
def test_a_damaged_record_is_as_good_as_none(store, record) -> None:
    folder = publish(store)
    (folder / "record.json").write_text(record)
    assert read_record(folder) is None and not store.has(STEP) and store.have([STEP]) == set()


def test_a_file_that_the_record_does_not_know_is_damage_where_it_is_asked_for(store) -> None:
    publish(store)
    with pytest.raises(CorruptArtifact, match=r"'nll.parquet' is not what was written"):
        store.verify("spec", STEP.digest, "nll.parquet")


def test_a_file_changed_at_equal_size_is_found_by_verify(store) -> None:
    folder = publish(store)
    (folder / "a.txt").write_text("hellO")
    assert store.has(STEP)
    with pytest.raises(CorruptArtifact) as error:
        store.verify("spec", STEP.digest)
    assert error.value.what == f"spec {STEP.digest}: 'a.txt' is not what was written"
    assert error.value.digest == STEP.digest and error.value.where == str(folder / "a.txt")


def test_a_short_or_missing_file_is_found_by_has(store) -> None:
    folder = publish(store)
    (folder / "a.txt").write_text("hell")
    assert not store.has(STEP)
    (folder / "a.txt").write_text("hello")
    assert store.has(STEP)
    (folder / "sub" / "b.bin").unlink()
    assert not store.has(STEP)


def test_who_loses_the_race_to_rename_keeps_the_first_artefact(store) -> None:
    stage = store.stage(STEP, "slow")
    (stage / "a.txt").write_text("second")
    publish(store, text="first", owner="fast")
    folder = store.publish(STEP, stage, {})
    assert (folder / "a.txt").read_text() == "first" and not stage.exists()
    store.verify("spec", STEP.digest)


def test_a_broken_artefact_is_quarantined_and_made_anew(store) -> None:
    (publish(store) / "a.txt").write_text("short"[:2])
    publish(store, text="again")
    assert store.verify("spec", STEP.digest).files["a.txt"].bytes == 5
    assert [p.name for p in (store.root / "quarantine").iterdir()] == [f"spec-{STEP.digest}.0"]


def test_quarantining_twice_is_harmless_and_keeps_both(store) -> None:
    publish(store)
    assert store.quarantine("spec", STEP.digest).name == f"spec-{STEP.digest}.0"
    assert store.quarantine("spec", STEP.digest) is None
    publish(store)
    assert store.quarantine("spec", STEP.digest).name == f"spec-{STEP.digest}.1"


def test_checkpoints_belong_to_one_owner_who_takes_what_is_whole_from_others(store) -> None:
    def leave(owner: str, place: str, *, whole: bool = True) -> None:
        folder = store.checkpoints(STEP, owner) / place
        folder.mkdir(parents=True)
        (folder / "optimizer.pt").write_text(owner)
        if whole:
            (folder / "trainer_state.json").write_text("{}")

    def has(owner: str) -> list[str]:
        folder = store.checkpoints(STEP, owner)
        return sorted(str(p.parent.relative_to(folder)) for p in folder.rglob("optimizer.pt"))

    assert store.take_checkpoints(STEP, "me") == [] and has("me") == [], "nobody left any"
    leave("host.domain-1-a", "fsdp2-2/checkpoint-900")
    leave("host.domain-1-a", "checkpoint-80")
    leave("other", "checkpoint-1000", whole=False)
    leave("other", "checkpoint-80")
    leave("me", "checkpoint-7")
    leave("me", "checkpoint-80", whole=False)
    assert store.take_checkpoints(STEP, "me") == []
    assert has("me") == ["checkpoint-7", "checkpoint-80", "fsdp2-2/checkpoint-900"], "of either layout"
    assert (store.checkpoints(STEP, "me") / "checkpoint-80" / "trainer_state.json").is_file()
    assert "checkpoint-1000" in has("other"), "another may be writing it"
    store.take_checkpoints(OTHER, "me")
    assert not store.checkpoints(OTHER, "me").exists()
    store.clear_checkpoints()
    assert has("me"), "the step is not made yet"
    target = publish(store)
    (target / "a.txt").unlink()
    store.clear_checkpoints()
    assert has("me"), "what was made is damaged, and will be made anew"
    (target / "a.txt").write_text("hello")
    store.clear_checkpoints()
    assert not list((store.root / "checkpoints").iterdir())


def test_a_checkpoint_that_cannot_be_taken_is_told(store, monkeypatch) -> None:
    folder = store.checkpoints(STEP, "other") / "checkpoint-8"
    folder.mkdir(parents=True)
    (folder / "trainer_state.json").write_text("{}")

    def refuse(self: Path, target: Path) -> Path:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "rename", refuse)
    assert store.take_checkpoints(STEP, "me") == [f"{folder}: Permission denied"]


def test_checking_a_store_lists_what_is_corrupt_and_repairs_on_request(store) -> None:
    publish(store, OTHER)
    (publish(store) / "a.txt").write_text("hellO")
    assert [e.digest for e in check(store)] == [STEP.digest]
    assert store.has(STEP)
    assert [e.digest for e in check(store, repair=True)] == [STEP.digest]
    assert not store.has(STEP) and store.has(OTHER) and list(check(store)) == []


def test_a_store_that_cannot_be_written_says_where_and_gives_a_hint(tmp_path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError) as error:
        Store(tmp_path / "file" / "store").open()
    assert error.value.exit_code == 2 and error.value.where == str(tmp_path / "file" / "store")
    assert error.value.what.startswith("the store cannot be written: ")


def test_json_is_replaced_whole_or_not_at_all(tmp_path) -> None:
    path = tmp_path / "a.json"
    write_json(path, {"a": 1})
    with pytest.raises(TypeError):
        write_json(path, {"a": object()})
    assert json.loads(path.read_text()) == {"a": 1}
    write_json(path, {"a": 2})
    assert json.loads(path.read_text()) == {"a": 2}
