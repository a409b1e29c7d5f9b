"""Identity: what changes a step's digest, and what never does."""

from __future__ import annotations

from dataclasses import replace

import pytest

from specsci.core.kinds import KINDS
from specsci.microlab import source as microlab
from specsci.plan import build

NOT_IDENTITY = [
    ("study: tiny", "study: other"),
    ("title: A tiny study", "title: Another title"),
    ("hypothesis: Rules help.", "hypothesis: Rules do not help."),
    ("aft: {title: AFT,", "aft: {title: something else,"),
    ("threads_per_worker: 1", "threads_per_worker: 2, micro_batch_sequences: 2"),
    ("threads_per_worker: 1", "threads_per_worker: 1, devices_per_stage: 2, sharding: ddp"),
    ("{items: competence, role: competence}", "{items: competence, role: competence, max_capability_loss: 0.2}"),
    ("name: rules_over_aft", "name: renamed"),
    ("aft: -1}, budget_tokens: 300", "aft: -1}, budget_tokens: [150, 300]"),
    ("accept_few_updates: a test of the machinery", "accept_few_updates: another reason"),
    ("token_efficiency: {eval: held_out,", "token_efficiency: {eval: held_out, level_share: 0.7,"),
    ("token_efficiency: {eval: held_out,", "token_efficiency: {eval: held_out, exploratory_level_shares: [0.7],"),
    ("{items: competence, role: competence}", "{items: competence, role: competence, min_competence: 0.9}"),
    ("  base: {title: base}\n  aft: {title: AFT, align: choices}\n", "  aft: {align: choices}\n  base: {}\n"),
    ("  competence: {items", "  renamed: {items"),
    ("  recipe: {method: full, learning_rate: 1.0e-4", "  recipe: {weight_decay: 0.01, method: full, learning_rate: 0.0001"),
    ("replicates:\n", "default_profile: p\nprofiles: {p: {}}\nreplicates:\n"),
]


@pytest.mark.parametrize("edit", NOT_IDENTITY, ids=[e[1].strip()[:40] for e in NOT_IDENTITY])
def test_titles_names_runtime_and_spelt_out_defaults_change_no_digest(plan_of, edit) -> None:
    before = set(plan_of().steps)
    assert set(plan_of(edit).steps) == before


def test_the_folder_of_the_study_changes_no_digest(plan_of, tmp_path) -> None:
    from specsci.study.load import load_study

    plan = plan_of()
    elsewhere = tmp_path / "elsewhere" / "renamed.yaml"
    elsewhere.parent.mkdir()
    elsewhere.write_text(plan.loaded.file.read_text())
    assert set(build.build_plan(load_study(str(elsewhere))).steps) == set(plan.steps)


ALL = {
    "tokenizer", "base", "spec", "items", "corpus", "conversations", "pool", "audit", "midtrain", "align", "score",
    "heldout", "control", "probe",
}  # fmt: skip
DOWNSTREAM = [
    (("gates: {", "probe: {tokens: 900}\ngates: {"), {"heldout", "control", "probe"}),
    (("learning_rate: 1.0e-4", "learning_rate: 2.0e-4"), {"align", "score"}),
    (("learning_rate: 1.0e-3", "learning_rate: 2.0e-3"), {"midtrain", "align", "score", "probe"}),
    (("  tokens: 2000\n", "  tokens: 2100\n"), {"pool", "corpus", "audit", "midtrain", "align", "score", "probe"}),
    (
        ("  tokens: 2000\n", "  tokens: 2000\n  replay_share: 0.25\n"),
        {"pool", "corpus", "audit", "midtrain", "align", "score", "probe"},
    ),
    (("[150, 300]", "[150, 300, 600]"), {"pool", "conversations", "audit", "align", "score"}),
    (("{items: competence,", "{items: capability,"), {"items", "score"}),
    (("gates: {", "gates: {accept_leaks: why not, "), {"audit"}),
    (("midtrain: rules}", "midtrain: general}"), {"spec", "corpus", "audit", "midtrain", "score", "heldout", "probe"}),
    (
        ("microlab:conduct/100", "microlab:conduct/1"),
        ALL - {"tokenizer", "spec", "items", "conversations", "corpus", "heldout"},
    ),
]


@pytest.mark.parametrize(("edit", "kinds"), DOWNSTREAM, ids=[d[0][1].strip()[:40] for d in DOWNSTREAM])
def test_a_changed_value_changes_exactly_what_is_downstream_of_it(plan_of, edit, kinds) -> None:
    before, after = plan_of(), plan_of(edit)
    assert {after.steps[d].kind for d in set(after.steps) - set(before.steps)} == kinds


def test_a_new_midtraining_rate_leaves_arms_without_midtraining_alone(plan_of) -> None:
    before, after = plan_of(), plan_of(("learning_rate: 1.0e-3", "learning_rate: 2.0e-3"))
    changed = {arm for (arm, seed, budget), digest in after.models.items() if before.models[arm, seed, budget] != digest}
    assert changed == {"rules", "msm_rules"}


def test_a_new_replicate_leaves_the_others_steps_alone(plan_of) -> None:
    more = ("  - {seed: 2, base_model: dev}", "  - {seed: 2, base_model: dev}\n  - {seed: 3, base_model: dev}")
    before, after = plan_of(), plan_of(more)
    assert set(before.steps) < set(after.steps)
    assert all("replicate 3" in after.steps[d].label for d in set(after.steps) - set(before.steps))


def test_bumping_a_kinds_version_re_runs_it_and_its_downstream(plan_of, monkeypatch) -> None:
    before = plan_of()
    monkeypatch.setitem(KINDS.objects, "align", replace(KINDS["align"], version=2))
    after = plan_of()
    assert {after.steps[d].kind for d in set(after.steps) - set(before.steps)} == {"align", "score"}
    assert "base" not in {s.cell.arm for s in after.scored if s.digest not in before.steps}


def test_an_edited_rule_text_changes_the_variants_that_keep_rules(plan_of, own_family) -> None:
    own_family("mine")
    own = ("family: microlab_conduct", "family: mine")
    before = plan_of(own)
    family = before.loaded.family.folder / "family.yaml"
    family.write_text(family.read_text().replace("title: bare rules", "title: the bare rules"))
    assert set(plan_of(own).steps) == set(before.steps)
    family.write_text(family.read_text().replace("act: hide-mail, context: mail", "act: hide-mail, context: files"))
    after = plan_of(own)
    assert {after.steps[d].kind for d in set(after.steps) - set(before.steps)} >= {"spec", "corpus", "midtrain"}


def test_a_changed_item_changes_scores_and_the_audit_alone(plan_of, own_family) -> None:
    folder = own_family("mine")
    own = ("family: microlab_conduct", "family: mine")
    before = plan_of(own)
    items = folder / "items" / "held_out.jsonl"
    items.write_text("\n".join(items.read_text().splitlines()[:-1]))
    after = plan_of(own)
    changed = [after.steps[d] for d in set(after.steps) - set(before.steps)]
    assert {s.kind for s in changed} == {"items", "audit", "score"}
    assert {s.label.split(" on ")[1].split(",")[0] for s in changed if s.kind == "score"} == {"held_out"}


GOLDEN = {
    "align": "1bac71dae1d76a5dea5a7d53",
    "control": "0f46025cb561a8dc5ebe8370",
    "heldout": "7a0260fbeef1bc60d360f786",
    "probe": "20226640b3600a5ca846146e",
    "audit": "527c81afded6aaacce35268e",
    "base": "0832a7c9ca6b299a6178423e",
    "conversations": "0960bf50283349aff4c04698",
    "corpus": "195af80a4ab5d14c1259dda6",
    "items": "45cbc67a2190d19c065963b4",
    "midtrain": "1a899820a9bc1fb630adbbec",
    "pool": "08a57cd47caf5c97df45dd53",
    "score": "0f6434de68eccf2de98bf1fe",
    "spec": "687f60633fce2660f1b39e9a",
    "tokenizer": "cf3c7c283e71621e2c704013",
}


def test_golden_digests_of_the_tiny_study(plan_of, monkeypatch) -> None:
    """Fails when an identity changes: stores on disk would re-run. If that is meant, put the new digests here."""
    record = {"weights_sha256": "0" * 64, "parameters": 700_000}
    registry = {"bases": {"conduct/100": record}, "tokenizers": {"conduct": "0" * 24}}
    monkeypatch.setattr(microlab, "registry", lambda: registry)
    plan = plan_of()
    assert {kind: sorted(s.digest for s in plan.of_kind(kind))[0] for kind in sorted(ALL)} == GOLDEN
