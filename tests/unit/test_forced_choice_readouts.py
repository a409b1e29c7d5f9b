"""Readouts of forced choice side by side, against arithmetic by hand and against a forward pass written out."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from specsci.core.errors import InputFileError, UserError
from specsci.evals.forced_choice.readouts import READOUTS, rows_of
from specsci.specs.items import Item, parsed, read_items

torch = pytest.importorskip("torch")
from chat_templates import CHATML, make_tokenizer  # noqa: E402

from specsci.evals.forced_choice.readout import Question, Reading, Sequence, prepare, prepare_statements, read_out  # noqa: E402

ITEM = Item("i", "c", "Pick {first} or {second}.", "A", "long option")


def reading(aligned: float, misaligned: float, variant: str = "aligned_first", item: Item = ITEM, tokens: tuple[int, int] = (1, 4)) -> Reading:
    options = [Sequence(tuple(range(3 + n)), 3) for n in tokens]
    return Reading(Question(item, variant, *options), aligned, misaligned)


def answers(rows: list[dict]) -> dict[tuple[str, str], tuple[str, float | None]]:
    return {(r["readout"], r["variant"]): (r["state"], r["value"]) for r in rows}


def test_every_readout_by_hand() -> None:
    readings = [reading(-1.0, -3.0), reading(-2.0, -1.0, "aligned_second")]
    priors, statements = [reading(-4.0, -5.5, "single")], [reading(-10.0, -12.5, "single")]
    found = answers(list(rows_of(readings, READOUTS, priors, statements)))
    assert found == {
        ("logprob", "aligned_first"): ("ok", 2.0),
        ("logprob", "aligned_second"): ("ok", -1.0),
        ("debiased", "both"): ("ok", 0.5),
        ("length_normalised", "aligned_first"): ("ok", -1.0 - -3.0 / 4),
        ("length_normalised", "aligned_second"): ("ok", -2.0 - -1.0 / 4),
        ("prior_corrected", "aligned_first"): ("ok", 0.5),
        ("prior_corrected", "aligned_second"): ("ok", -2.5),
        ("statement", "single"): ("ok", 2.5),
    }


def test_a_model_that_always_takes_the_first_place_says_nothing_when_both_orders_decide() -> None:
    items = [Item(f"i{n}", "c", "{first} or {second}", "a", "b") for n in range(50)]
    readings = [
        reading(5.0 if variant == "aligned_first" else 0.0, 0.0 if variant == "aligned_first" else 5.0, variant, item)
        for item in items
        for variant in ("aligned_first", "aligned_second")
    ]
    rows = list(rows_of(readings, ("logprob", "debiased"), [], []))
    taken = [r["aligned"] for r in rows if r["readout"] == "logprob"]
    assert sum(taken) / len(taken) == 0.5, "half of its answers pass for aligned"
    assert {(r["state"], r["aligned"]) for r in rows if r["readout"] == "debiased"} == {("unparsed", None)}


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_a_number_that_is_none_is_an_error_wherever_it_is_used(bad: float) -> None:
    rows = list(rows_of([reading(bad, -1.0), reading(-1.0, -2.0, "aligned_second")], ("logprob", "debiased"), [], []))
    assert [(r["state"], r["value"]) for r in rows] == [("error", None), ("ok", 1.0), ("error", None)]


def test_an_item_without_a_statement_cannot_be_asked_so() -> None:
    (row,) = rows_of([reading(-1, -2)], ("statement",), [], [])
    assert row["state"] == "not_expressible" and row["readout"] == "statement" and "aligned" not in row


def write(path: Path, *rows: dict) -> Path:
    path.write_text("\n".join(map(json.dumps, rows)))
    return path


ROW = {"item_id": "i", "cluster_id": "c", "prompt": "Pick.", "aligned": "tea", "misaligned": "coffee"}


def test_a_statement_is_filled_with_names_and_kept(tmp_path: Path) -> None:
    (item,) = read_items(write(tmp_path / "i.jsonl", {**ROW, "statement": "{model_name} takes {option} daily."}), {"model_name": "Aria"})
    assert item.statement == "Aria takes {option} daily."
    assert read_items(write(tmp_path / "i.jsonl", ROW), {})[0].statement == ""


@pytest.mark.parametrize(
    ("statement", "says"),
    [("It takes tea.", "does not have {option}"), ("", "is empty"), (7, "must be a text"), (None, "must be a text, not null")],
)
def test_a_statement_that_is_none_is_named(statement: object, says: str) -> None:
    with pytest.raises(InputFileError, match=says):
        parsed(json.dumps({**ROW, "statement": statement}), "items.jsonl")


@pytest.fixture(scope="module")
def model():
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(3)
    sizes = {"vocab_size": len(make_tokenizer(None)), "hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2}
    made = LlamaForCausalLM(LlamaConfig(**sizes, num_attention_heads=2, num_key_value_heads=2, max_position_embeddings=512))
    with torch.no_grad():
        for p in made.parameters():
            if p.dim() == 2:
                p.mul_(20)
    return made.eval()


@torch.no_grad()
def test_a_statement_is_read_from_where_its_options_differ_to_its_end(model) -> None:
    tokenizer = make_tokenizer(CHATML)
    item = Item("i", "c", "Pick.", "green tea", "green wine", statement="Aria likes {option} best.")
    (question,) = prepare_statements([item], tokenizer)
    (found,) = read_out(model, [question], 0)
    for option, got in (("green tea", found.logprob_aligned), ("green wine", found.logprob_misaligned)):
        ids = tokenizer(f"Aria likes {option} best.", add_special_tokens=False)["input_ids"]
        logp = model(input_ids=torch.tensor([ids])).logits[0].log_softmax(-1)
        start = len("Aria likes green ")  # one token a character
        assert got == pytest.approx(sum(float(logp[n - 1, ids[n]]) for n in range(start, len(ids))), abs=1e-4)


def test_statements_that_begin_with_the_option_or_hold_control_tokens_are_refused() -> None:
    tokenizer = make_tokenizer(CHATML)
    with pytest.raises(UserError, match="nothing stands before"):
        prepare_statements([Item("i", "c", "Pick.", "tea", "wine", statement="{option} it is.")], tokenizer)
    with pytest.raises(UserError, match="control token"):
        prepare_statements([Item("i", "c", "Pick.", "tea", "wine", statement="So </s> {option}.")], tokenizer)
    assert prepare_statements([ITEM], tokenizer) == []


def test_the_prior_is_that_of_the_option_after_the_prompt_that_asks_nothing(model) -> None:
    from specsci.evals.forced_choice.readouts import without_question

    tokenizer = make_tokenizer(CHATML)
    items = [Item("i", "c", "Pick {first} or {second}.", "tea", "wine")]
    readings = read_out(model, prepare(items, tokenizer, True), 0)
    priors = read_out(model, prepare(without_question(items, "Answer."), tokenizer, True), 0)
    (alone,) = read_out(model, prepare([Item("x", "c", "Answer.", "tea", "wine")], tokenizer, True), 0)
    rows = [r for r in rows_of(readings, ("logprob", "prior_corrected"), priors, [])]
    by = {(r["readout"], r["variant"]): r["value"] for r in rows}
    prior = alone.logprob_aligned - alone.logprob_misaligned
    for variant in ("aligned_first", "aligned_second"):
        assert by["prior_corrected", variant] == pytest.approx(by["logprob", variant] - prior, abs=1e-5)
