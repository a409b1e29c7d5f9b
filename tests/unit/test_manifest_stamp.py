"""A study's manifest goes to disk and back, and the stamp knows when the database is stale."""

from __future__ import annotations

import json

import duckdb
import pytest

from specsci.database.manifest import manifest_of, manifests, read_manifest, write_manifest
from specsci.database.stamp import DATABASE, current_stamp, is_current, say
from specsci.store.artifact import Store


@pytest.fixture
def store(tmp_path) -> Store:
    return Store(tmp_path / "store").open()


def test_a_manifest_reads_back_as_it_was_made(plan_of, store) -> None:
    plan = plan_of()
    written = write_manifest(store, plan)
    assert written == manifest_of(plan) == read_manifest(store.root / "studies" / "tiny.json")
    assert manifests(store) == [written]


def test_the_same_manifest_is_not_written_again(plan_of, store) -> None:
    write_manifest(store, plan_of())
    path = store.root / "studies" / "tiny.json"
    before = path.stat().st_mtime_ns, path.stat().st_ino
    write_manifest(store, plan_of())
    assert (path.stat().st_mtime_ns, path.stat().st_ino) == before
    write_manifest(store, plan_of(("title: A tiny study", "title: renamed")))
    assert read_manifest(path).title == "renamed"


def test_a_manifest_names_the_step_of_every_cell_and_what_confounds_a_contrast(plan_of) -> None:
    plan = plan_of(("factor: midtrain", "factor: msm_spec"))
    manifest = json.loads(json.dumps(manifest_of(plan).plain()))
    assert len(manifest["cells"]) == len(plan.scored) == 24
    assert {c["step_digest"] for c in manifest["cells"]} == {s.digest for s in plan.of_kind("score")}
    cell = next(c for c in manifest["cells"] if c["arm"] == "rules" and c["aft_tokens"] == 300 and c["seed"] == 2)
    assert (cell["msm_spec"], cell["aft_spec"], cell["midtrain_tokens"], cell["base_model"]) == (
        "rules",
        "choices",
        2000,
        "dev",
    )
    assert plan.steps[cell["model_digest"]].kind == "align"
    assert manifest["contrasts"][0]["confounds"] == ["midtrain (True against False)", "midtrain_tokens (2000 against 0)"]
    assert manifest["steps"] == {d: s.kind for d, s in plan.steps.items()}


def test_what_an_older_version_did_not_write_has_its_default_and_is_not_written(plan_of, store) -> None:
    path = store.root / "studies" / "tiny.json"
    write_manifest(store, plan_of())
    whole = json.loads(path.read_text())
    for key in ("access", "family_parts", "probes", "disclaimers", "readouts", "tuned_to_target"):
        del whole[key]
    for cell in whole["cells"]:
        del cell["items_digest"]
    del whole["evals"]["held_out"]["max_capability_loss"]
    path.write_text(json.dumps({**whole, "later": {"kept": [1]}}))
    found = read_manifest(path)
    assert (found.access, found.family_parts, found.probes, found.cells[0].items_digest) == ("public", None, [], None)
    assert found.evals["held_out"].max_capability_loss == 0.1 and found.readout_of("held_out").outcome == "binary"
    assert json.dumps(found.plain()) == json.dumps({**whole, "later": {"kept": [1]}})
    write_manifest(store, plan_of())
    assert json.loads(path.read_text())["access"] == "public", "it is written anew"


@pytest.mark.parametrize("text", ["", "{", "[]", '{"manifest": 0}', "\x00"])
def test_what_is_no_manifest_is_passed_over(store, text) -> None:
    (store.root / "studies" / "x.json").write_text(text)
    assert manifests(store) == []


def test_profiles_have_manifests_of_their_own(plan_of, store) -> None:
    add = "profiles: {micro: {}, large: {midtrain: {tokens: 9000}}}\n"
    for profile in ("micro", "large"):
        write_manifest(store, plan_of(add=add, profile=profile))
    assert [m.study for m in manifests(store)] == ["tiny", "tiny@large"]


def test_the_stamp_follows_manifests_and_artefacts(plan_of, store) -> None:
    plan = plan_of()
    stamps = [current_stamp(store)]
    write_manifest(store, plan)
    stamps.append(current_stamp(store))
    step = next(iter(plan.of_kind("spec")))
    stage = store.stage(step, "me")
    (stage / "spec.md").write_text("x")
    store.publish(step, stage, {})
    stamps.append(current_stamp(store))
    assert len(set(stamps)) == 3 and current_stamp(store) == stamps[-1]
    store.quarantine(step.kind, step.digest)
    assert current_stamp(store) == stamps[1]


def test_a_database_is_current_while_it_says_that_it_was_built_from_the_store_as_it_is(plan_of, store) -> None:
    assert not is_current(store)
    write_manifest(store, plan_of())
    (store.root / DATABASE).write_bytes(b"")
    assert not is_current(store), "a file beside it that says so would be believed"
    (store.root / DATABASE).unlink()
    with duckdb.connect(str(store.root / DATABASE)) as db:
        say(db, current_stamp(store), [])
    assert is_current(store)
    write_manifest(store, plan_of(("title: A tiny study", "title: renamed")))
    assert not is_current(store)


def test_a_claim_and_a_lock_of_one_name_are_two_files_to_the_stamp(store) -> None:
    stamps = set()
    for folder, text in (("claims", "{}"), ("locks", "{}"), ("locks", "[]")):
        (store.root / folder).mkdir(exist_ok=True)
        (store.root / folder / "one.json").write_text(text)
        stamps.add(current_stamp(store))
    assert len(stamps) == 3


def test_a_database_that_lacks_something_never_counts_as_current(store) -> None:
    with duckdb.connect(str(store.root / DATABASE)) as db:
        say(db, current_stamp(store), [("claim", "x", "s", "damaged", "restore it")])
    assert not is_current(store)
