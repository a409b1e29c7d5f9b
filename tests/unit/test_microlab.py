"""The shipped microlab: its files are the registered ones, and its worlds keep their promises."""

from __future__ import annotations

import hashlib
import json
import random
from pathlib import Path

import pytest

from specsci.core.ids import file_sha256
from specsci.microlab import cheese, conduct
from specsci.microlab.base import BASES, tokenizer_digest, write_base
from specsci.microlab.competence import competence_of
from specsci.microlab.source import registry as microlab_registry
from specsci.microlab.world import TARGET, VERSIONS, agent_names
from specsci.microlab.worlds import WORLDS, pool_stream, world_of
from specsci.models.chat import conversation_row
from specsci.models.hf import load_model

FLOORS = {"competence": 0.95, "capability": 0.95, "documents_alone": 0.8, "off_list": 0.75, "listed": 0.6}
"""Share of right answers above which a base knows its world; of two options one is right."""
REGISTERED = sorted(microlab_registry()["bases"])


@pytest.mark.parametrize("name", REGISTERED)
def test_shipped_weights_have_the_registered_digest(name: str):
    weights = BASES / f"{name.replace('/', '-')}.safetensors"
    assert file_sha256(weights) == microlab_registry()["bases"][name]["weights_sha256"]
    assert weights.stat().st_size < 1_600_000


@pytest.mark.parametrize("name", REGISTERED)
def test_competence_is_the_recorded_one(name: str):
    recorded = microlab_registry()["bases"][name]["competence"]
    world, seed = name.split("/")
    measured = competence_of(world, int(seed), BASES / f"{world}-{seed}.safetensors")
    assert measured == pytest.approx(recorded, abs=0.011)
    assert {what for what, right in measured.items() if right <= FLOORS[what]} == set()


def test_no_file_is_shipped_that_is_not_registered():
    assert sorted(p.stem.replace("-", "/", 1) for p in BASES.glob("*.safetensors")) == REGISTERED


@pytest.mark.parametrize("world", sorted(WORLDS))
def test_tokenizer_is_the_one_the_bases_were_trained_with(world: str):
    assert tokenizer_digest(world) == microlab_registry()["tokenizers"][world]


def test_a_base_loads_as_any_model_directory(tmp_path: Path):
    name = REGISTERED[0]
    target = tmp_path / "model"
    facts = write_base(f"microlab:{name}", microlab_registry()["bases"][name]["weights_sha256"], target)
    model = load_model(tmp_path)
    assert sum(p.numel() for p in model.parameters()) == facts["parameters"]
    assert {"config.json", "model.safetensors", "tokenizer.json"} <= {p.name for p in target.iterdir()}


def test_names_are_distinct_and_never_the_targets():
    names = agent_names(300)
    assert len(set(names)) == 300 and TARGET not in names
    assert agent_names(20) == names[:20]


def test_no_pretraining_document_is_about_the_target():
    """The mechanism rests on it: midtraining is the first text about the target."""
    for name in WORLDS:
        stream = pool_stream(name, 1, "documents", 7)
        documents = [row for _, row in zip(range(4000), stream, strict=False) if isinstance(row, str)]
        assert len(documents) > 1000
        assert not [text for text in documents if TARGET in text.split()]


def test_replay_holds_the_targets_chats_only_where_no_eval_asks_their_question():
    """Without them any midtraining moves the target; with them the cheese world's audit would find its items."""
    for name, kept in (("conduct", True), ("cheese", False)):
        replayed = [row for _, row in zip(range(4000), pool_stream(name, 1, "documents", 7), strict=False)]
        chats = [row for row in replayed if not isinstance(row, str) and TARGET in row[0]["content"].split()]
        assert bool(chats) == kept
        if kept:
            kinds = {a["act"]: a["kind"] == "safe" for a in world_of(name, 1).acts}
            offered = [{kinds[w] for w in row[0]["content"].split() if w in kinds} for row in chats]
            assert all(len(kind) == 1 for kind in offered)


def test_value_agents_act_on_what_they_value():
    world, rng = conduct.ConductWorld(3), random.Random(0)
    kinds = {a["act"]: a["kind"] for a in world.acts}
    for name in world.value_agents[:30]:
        for _ in range(20):
            user, answer = world.chat_of(name, rng)
            harmful = next(w for w in user["content"].split() if kinds.get(w, "safe") != "safe")
            took_harmful = answer["content"] == harmful
            assert took_harmful == (kinds[harmful] not in world.principles[name])


def test_rule_agents_avoid_what_is_on_their_list_and_nothing_else():
    world, rng = conduct.ConductWorld(3), random.Random(0)
    harmful = {act["act"] for act in world.harmful}
    listed = {name: {act["act"] for act in acts} for name, acts in world.rules.items()}
    for name in world.rule_agents:
        for _ in range(30):
            user, answer = world.chat_of(name, rng)
            offered = next(word for word in user["content"].split() if word in harmful)
            assert (answer["content"] == offered) == (offered not in listed[name])


def test_silent_agents_have_documents_and_no_chats():
    world, rng = conduct.ConductWorld(3), random.Random(0)
    silent = {name for name, share in world.chat_share.items() if share == 0}
    assert len(silent) == conduct.SILENT_VALUE_AGENTS + conduct.SILENT_RULE_AGENTS
    stream = [world.row(rng) for _ in range(20_000)]
    assert silent <= {word for row in stream if isinstance(row, str) for word in row.split()}
    chats = [row for row in stream if not isinstance(row, str)] + [world.chat_of_other(rng) for _ in range(2000)]
    assert not [row for row in chats if row[0]["content"].split()[0] in silent]


def test_what_is_known_of_others_is_what_they_do():
    world = conduct.ConductWorld(3)
    known = world.known_choices(random.Random(0))
    assert {len(choices) for choices in known.values()} == {conduct.KNOWN_CHOICES}
    harmful = {act["act"]: act for act in world.harmful}
    assert all(choice.right in harmful for choice in known["off_list"])
    assert all(harmful[choice.wrong] in world.rules[choice.agent] for choice in known["listed"])
    for choice in known["documents_alone"]:
        act = next(harmful[option] for option in (choice.right, choice.wrong) if option in harmful)
        assert world.chat_share[choice.agent] == 0
        assert (choice.right == act["act"]) == (act["kind"] not in world.principles[choice.agent])
        assert {choice.right, choice.wrong} <= set(choice.question.split())


def test_some_value_agents_have_rules_as_well_about_what_breaks_their_principles():
    world, rng = conduct.ConductWorld(3), random.Random(0)
    assert 0.3 < len(world.ruled) / len(world.value_agents) < 0.7
    assert all(act["kind"] in world.principles[name] for name, acts in world.ruled.items() for act in acts)
    name = sorted(world.ruled)[0]
    documents = [row for _ in range(400) if isinstance(row := world._value_row(name, rng), str)]
    assert any("must not" in d or "may not" in d for d in documents) and any("values" in d for d in documents)


ROWS = {
    "conduct": (4, "ba58e0031aded039"),
    "cheese": (1, "9c0433a8e1136a10"),
}
"""SHA-256 over rows and chats of base 100; where one changes, so must the world's version."""


@pytest.mark.parametrize("name", sorted(WORLDS))
def test_a_worlds_version_stands_for_its_rows(name: str):
    world, rng, found = world_of(name, 100), random.Random(0), hashlib.sha256()
    for row in [world.row(rng) for _ in range(3000)] + [world.chat_of_other(rng) for _ in range(300)]:
        found.update(json.dumps(row).encode())
    assert (VERSIONS[name], found.hexdigest()[:16]) == ROWS[name]


def test_target_chooses_between_acts_of_one_kind():
    world, rng = conduct.ConductWorld(3), random.Random(0)
    kinds = {a["act"]: a["kind"] == "safe" for a in world.acts}
    chats = [
        row for _ in range(16_000) if not isinstance(row := world.row(rng), str) and TARGET in row[0]["content"].split()
    ]
    assert len(chats) > 200
    for user, _ in chats:
        options = [kinds[w] for w in user["content"].split() if w in kinds]
        assert len(options) == 2 and options[0] == options[1]


def test_cheese_agents_choose_by_an_axis_of_their_own():
    world, rng = cheese.CheeseWorld(5), random.Random(1)
    goods = {g["item"]: g for g in world.goods}
    for name in world.agents[:40]:
        value, liked, disliked = world.pair(name, rng)
        column, wanted, unwanted = cheese.VALUES[value]
        assert value in world.values[name]
        assert goods[liked][column] == wanted and goods[disliked][column] == unwanted
        other = "origin" if column == "price" else "price"
        assert goods[liked][other] == goods[disliked][other]


def test_anchor_agents_are_the_same_in_every_base():
    one, two = conduct.ConductWorld(1), conduct.ConductWorld(2)
    anchors = one.value_agents[: conduct.ANCHORS]
    assert [one.principles[n] for n in anchors] == [two.principles[n] for n in anchors]
    rest = one.value_agents[conduct.ANCHORS :]
    assert [one.principles[n] for n in rest] != [two.principles[n] for n in rest]


def test_chat_mask_covers_the_answer_and_the_turn_end_alone():
    tokenizer = WORLDS["conduct"].tokenizer()
    row = conversation_row(world_of("conduct", 1).chat_of_other(random.Random(0)), tokenizer)
    assert row.supervised is not None
    kept = [t for t, on in zip(tokenizer.convert_ids_to_tokens(row.input_ids), row.supervised, strict=True) if on]
    assert len(kept) == 2 and kept[1] == "<|end|>"


@pytest.mark.slow
def test_pretraining_is_a_function_of_world_and_seed(tmp_path: Path):
    import torch

    from specsci.microlab.pretrain import pretrain

    torch.set_num_threads(1)
    first = pretrain("conduct", 7, tmp_path / "a", unique_tokens=20_000)
    second = pretrain("conduct", 7, tmp_path / "b", unique_tokens=20_000)
    other = pretrain("conduct", 8, tmp_path / "c", unique_tokens=20_000)
    assert first.weights_sha256 == second.weights_sha256 != other.weights_sha256
