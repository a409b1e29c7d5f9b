"""Invariances of training and scoring, on random models of hidden size 32."""

from __future__ import annotations

import copy
import functools
import json
import math
from typing import Any

import pytest
import torch
from tiny import CHATML, chats, documents, llama, recipe, train
from transformers import FalconConfig, FalconForCausalLM
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS
from trl import SFTTrainer

from specsci.core.errors import SpecsciError
from specsci.core.token_row import IGNORED, TokenRow
from specsci.evals import forward
from specsci.evals.forced_choice import readout as forced_choice
from specsci.models.chat import conversation_row, document_row
from specsci.recipe.recipe import Runtime
from specsci.specs.items import Item
from specsci.train import attention, stage
from specsci.train.checks import masked_decode
from specsci.train.data import pack
from specsci.train.stage import PackedCollator
from specsci.train.trainer import StageTrainer

TWO_TURNS = [
    {"role": "user", "content": "w3 w4"},
    {"role": "assistant", "content": "w5 w6"},
    {"role": "user", "content": "w7"},
    {"role": "assistant", "content": "w8"},
]


def token_losses(logits: Any, labels: Any) -> Any:
    """Losses of the predicted tokens of one sequence, in order."""
    targets = torch.tensor(labels[1:])
    kept = targets != IGNORED
    return torch.nn.functional.cross_entropy(logits[:-1][kept], targets[kept], reduction="none")


@torch.no_grad()
def test_a_rows_loss_does_not_depend_on_what_it_is_packed_with(model, tokenizer):
    """Each token's loss in a packed, padded batch is its loss when its row is run alone."""
    rows = [*documents(13), *chats(7, tokenizer)]
    packed = pack(rows, 32)
    columns = packed.columns()
    examples = [{k: v[i] for k, v in columns.items()} for i in range(len(packed.sequences))]
    batch = PackedCollator(0)(examples)
    assert set(batch) == {"input_ids", "labels", "position_ids"}
    assert len({len(e["input_ids"]) for e in examples}) > 1, "the batch should need padding"
    assert any(len(rows) > 1 for rows in packed.sequences)
    model.train()
    logits = model(input_ids=batch["input_ids"], position_ids=batch["position_ids"]).logits
    seen = 0
    for number, rows_here in enumerate(packed.sequences):
        at = 0
        for row in rows_here:
            size = len(row.input_ids)
            alone = model(input_ids=torch.tensor([row.input_ids])).logits[0]
            together = logits[number, at : at + size]
            torch.testing.assert_close(
                token_losses(together, row.labels()), token_losses(alone, row.labels()), atol=1e-5, rtol=0
            )
            at, seen = at + size, seen + 1
    assert seen == len(rows)


def ends_of(model: Any, rows: list[TokenRow], tokenizer: Any, tmp_path: Any, with_: Any) -> tuple[Any, list[float]]:
    """The weights and losses after a stage; the model itself is left as it was."""
    trained = copy.deepcopy(model)
    report = train(trained, rows, tokenizer, tmp_path, with_)
    return trained.state_dict(), [point["loss"] for point in report.curve]


def assert_same_end(found: tuple[Any, list[float]], wanted: tuple[Any, list[float]]) -> None:
    assert found[1] == pytest.approx(wanted[1], abs=1e-5) and len(wanted[1]) > 2
    for name, weights in wanted[0].items():
        torch.testing.assert_close(found[0][name], weights, atol=1e-4, rtol=0, msg=lambda m, n=name: f"{n}: {m}")


@pytest.mark.parametrize("kind", ["documents", "chats"])
def test_the_loss_over_whole_logits_is_trls(kind, model, tokenizer, monkeypatch, tmp_path):
    rows = documents(40) if kind == "documents" else chats(40, tokenizer)
    ours = ends_of(model, rows, tokenizer, tmp_path, recipe())
    monkeypatch.setattr(StageTrainer, "compute_loss", SFTTrainer.compute_loss)
    assert_same_end(ours, ends_of(model, rows, tokenizer, tmp_path, recipe()))


def test_per_document_attention_is_attention_under_the_mask(model, tokenizer, monkeypatch, tmp_path):
    """Also where a layer sees four tokens back, in rows that are longer."""
    rows, calls = [*documents(30), *chats(20, tokenizer)], []
    masked = ends_of(model, rows, tokenizer, tmp_path, recipe())

    def spy(*args: Any, **more: Any) -> Any:
        calls.append(args[4] is None)
        return sdpa_attention_forward(*args, **more)

    monkeypatch.setattr(attention, "sdpa_attention_forward", spy)
    monkeypatch.setattr(stage, "PER_DOCUMENT_FROM_TOKENS", 1)
    assert_same_end(ends_of(model, rows, tokenizer, tmp_path, recipe()), masked)
    windows = getattr(model.config, "layer_types", None) and "sliding_attention" in model.config.layer_types
    assert any(calls) and all(calls) == (not windows), "rows without a window need no mask"
    assert ALL_ATTENTION_FUNCTIONS["sdpa"] is sdpa_attention_forward


def test_an_update_with_nothing_supervised_moves_nothing_and_is_no_error(tokenizer, tmp_path):
    """As where a row is one token longer than a sequence."""
    rows = documents(1, shortest=33, longest=34)
    report = train(llama(), rows, tokenizer, tmp_path, recipe(sequences_per_update=1))
    assert sorted(point["loss"] > 0 for point in report.curve) == [False, True]


def test_a_model_that_ignores_which_logits_to_keep_gets_trls_loss(tokenizer, monkeypatch, tmp_path):
    rows, start = documents(40), llama()
    wanted = ends_of(start, rows, tokenizer, tmp_path, recipe())
    forward = type(start).forward

    @functools.wraps(forward)
    def all_of_them(self: Any, *args: Any, logits_to_keep: Any = 0, **more: Any) -> Any:
        return forward(self, *args, **more)

    monkeypatch.setattr(type(start), "forward", all_of_them)
    assert_same_end(ends_of(start, rows, tokenizer, tmp_path, recipe()), wanted)


def test_a_model_with_attention_of_its_own_is_left_alone(tokenizer, monkeypatch, tmp_path):
    sizes = {"vocab_size": 97, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4}
    model, rows = FalconForCausalLM(FalconConfig(**sizes, bos_token_id=None, eos_token_id=1)), documents(40)
    masked = ends_of(model, rows, tokenizer, tmp_path, recipe())
    monkeypatch.setattr(stage, "PER_DOCUMENT_FROM_TOKENS", 1)
    assert_same_end(ends_of(model, rows, tokenizer, tmp_path, recipe()), masked)


def test_rows_are_told_by_their_positions():
    assert attention.rows_of(torch.tensor([0, 1, 2, 0, 0, 1])) == [(0, 3), (3, 4), (4, 6)]
    assert attention.rows_of(torch.tensor([0])) == [(0, 1)]


@torch.no_grad()
def test_the_check_would_see_attention_across_rows(model):
    """With positions that do not restart, the second row's losses do change: the test above can fail."""
    first, second = documents(2, shortest=8, longest=12)
    ids = first.input_ids + second.input_ids
    logits = model(input_ids=torch.tensor([ids]), position_ids=torch.arange(len(ids))[None]).logits[0]
    alone = model(input_ids=torch.tensor([second.input_ids])).logits[0]
    together = logits[len(first.input_ids) :]
    assert (token_losses(together, second.labels()) - token_losses(alone, second.labels())).abs().max() > 1e-2


@torch.no_grad()
def test_the_first_token_of_a_packed_row_is_never_predicted(model):
    """The model's own loss over a packed sequence is the mean over tokens that their own row predicts."""
    rows = documents(3, shortest=6, longest=10)
    packed = pack(rows, 32)
    assert len(packed.sequences) == 1
    batch = PackedCollator(0)([{k: v[0] for k, v in packed.columns().items()}])
    loss = model(**batch).loss
    alone = [token_losses(model(input_ids=torch.tensor([r.input_ids])).logits[0], r.labels()) for r in packed.sequences[0]]
    assert float(loss) == pytest.approx(float(torch.cat(alone).mean()), abs=1e-5)


@pytest.mark.parametrize("kind", ["documents", "chats"])
def test_the_batch_split_does_not_change_the_weights(kind, model, tokenizer, tmp_path):
    """4 x 1 and 2 x 2 give what 1 x 4 gives, also when supervision is uneven between micro batches."""
    rows = documents(30) if kind == "documents" else chats(30, tokenizer)
    start = {k: v.clone() for k, v in model.state_dict().items()}
    ends, curves = [], []
    for micro in (4, 2, 1):
        model.load_state_dict(start)
        report = train(model, rows, tokenizer, tmp_path, recipe(), runtime=Runtime(micro_batch_sequences=micro))
        ends.append({k: v.clone() for k, v in model.state_dict().items()})
        curves.append([point["loss"] for point in report.curve])
    assert len(curves[0]) >= 2
    for end, curve in zip(ends[1:], curves[1:], strict=True):
        for name, weights in ends[0].items():
            torch.testing.assert_close(end[name], weights, atol=1e-4, rtol=0, msg=lambda m, n=name: f"{n}: {m}")
        assert curve == pytest.approx(curves[0], abs=2e-4)
    moved = max(float((ends[0][k] - start[k]).abs().max()) for k in start)
    assert moved > 1e-3, "training moved the weights by more than the tolerance"


def test_a_micro_batch_that_does_not_divide_is_refused(tokenizer, tmp_path):
    with pytest.raises(SpecsciError, match="micro batch 3 does not divide 4"):
        train(llama(), documents(9), tokenizer, tmp_path, recipe(), runtime=Runtime(micro_batch_sequences=3))


def test_the_same_seed_gives_the_same_weights(model, tokenizer, tmp_path):
    rows, start = documents(20), {k: v.clone() for k, v in model.state_dict().items()}
    ends = []
    for _ in range(2):
        model.load_state_dict(start)
        train(model, rows, tokenizer, tmp_path, recipe())
        ends.append({k: v.clone() for k, v in model.state_dict().items()})
    assert all(torch.equal(ends[0][k], ends[1][k]) for k in start)


def test_only_the_assistants_tokens_and_its_turn_end_are_supervised(tokenizer):
    row = conversation_row([{"role": "system", "content": "w1 w2"}, *TWO_TURNS], tokenizer)
    words = tokenizer.convert_ids_to_tokens(row.input_ids)
    assert [w for w, on in zip(words, row.supervised, strict=True) if on] == ["w5", "w6", "<|im_end|>", "w8", "<|im_end|>"]
    labels = [t for t in row.labels() if t != IGNORED]
    assert tokenizer.convert_ids_to_tokens(labels) == ["w5", "w6", "<|im_end|>", "w8", "<|im_end|>"]
    assert masked_decode([row], tokenizer) == [
        "<|im_start|> system w1 w2 <|im_end|> <|im_start|> user w3 w4 <|im_end|> <|im_start|> assistant "
        "⟦w5 w6 <|im_end|>⟧ <|im_start|> user w7 <|im_end|> <|im_start|> assistant ⟦w8 <|im_end|>⟧"
    ]


def test_the_loss_is_taken_on_the_supervised_tokens_alone(tokenizer, tmp_path):
    """Changing a user's word changes no target; the stage reports the supervised tokens it counted."""
    rows = chats(12, tokenizer)
    report = train(llama(), rows, tokenizer, tmp_path, recipe())
    assert report.supervised_tokens == sum(sum(r.supervised) for r in rows)
    assert report.tokens == sum(len(r.input_ids) for r in rows)


def test_a_document_is_supervised_throughout_and_ends_with_eos(tokenizer):
    row = document_row("w1 w2 w3", tokenizer)
    assert row.input_ids[-1] == tokenizer.eos_token_id
    assert row.labels() == [IGNORED, *row.input_ids[1:]]


def without_marks(tokenizer: Any, template: str = CHATML) -> Any:
    bare = copy.deepcopy(tokenizer)
    bare.chat_template = template.replace("{% generation %}", "").replace("{% endgeneration %}", "")
    return bare


def test_a_template_without_generation_marks_supervises_the_same_tokens(tokenizer):
    """Also in a conversation of several turns, and with a system turn that the template puts in by itself."""
    for template in (CHATML, "<|im_start|> system w1 <|im_end|> " + CHATML):
        marked = copy.deepcopy(tokenizer)
        marked.chat_template = template
        bare = without_marks(tokenizer, template)
        for said in (TWO_TURNS, TWO_TURNS[:2]):
            row = conversation_row(said, bare)
            assert row == conversation_row(said, marked)
            assert 2 < sum(row.supervised) < len(row.input_ids)


def test_a_template_that_renders_earlier_turns_otherwise_is_an_error(tokenizer):
    """As Qwen3's does with the thinking of turns before the last; a value of its variable corrects it."""
    thinking = (
        "{% for m in messages %}<|im_start|> {{ m['role'] }} "
        "{% if m['role'] == 'assistant' and loop.last and think is not defined %}w9 {% endif %}{{ m['content'] }} <|im_end|> "
        "{% endfor %}{% if add_generation_prompt %}<|im_start|> assistant {% endif %}"
    )
    turn = [{"role": "user", "content": "w1"}, {"role": "assistant", "content": "w2"}]
    bare = without_marks(tokenizer, thinking)
    with pytest.raises(SpecsciError, match="renders turn 2 otherwise inside the conversation") as caught:
        conversation_row(turn * 2, bare)
    assert "chat_variables: {think: false}" in caught.value.hint
    bare.chat_template = "{%- set think = false -%}\n" + thinking
    row = conversation_row(turn * 2, bare)
    words = tokenizer.convert_ids_to_tokens([t for t in row.labels() if t != IGNORED])
    assert words == ["w2", "<|im_end|>", "w2", "<|im_end|>"]


def test_no_template_is_an_error(tokenizer):
    bare = copy.deepcopy(tokenizer)
    bare.chat_template = None
    with pytest.raises(SpecsciError, match="no chat template") as caught:
        conversation_row([{"role": "user", "content": "w1"}, {"role": "assistant", "content": "w2"}], bare)
    assert "base_models.NAME.chat_template" in caught.value.hint


def test_a_mark_that_ends_on_a_space_supervises_nothing_of_the_users(tokenizer):
    """The block ends on a space that is not a token: transformers would supervise all that follows."""
    bad = copy.deepcopy(tokenizer)
    bad.chat_template = CHATML.replace("<|im_end|>{% endgeneration %} ", "<|im_end|> {% endgeneration %}")
    one = [{"role": "user", "content": "w1"}, {"role": "assistant", "content": "w2"}]
    for said in (one, one * 2):
        assert conversation_row(said, bad) == conversation_row(said, tokenizer)


def test_a_row_with_nothing_supervised_is_an_error(tokenizer, tmp_path):
    rows = [*chats(3, tokenizer), TokenRow([8, 9, 10], [False, False, False])]
    with pytest.raises(SpecsciError, match="row 3 has no supervised token"):
        train(llama(), rows, tokenizer, tmp_path, recipe())
    with pytest.raises(SpecsciError, match="no rows to train on"):
        train(llama(), [], tokenizer, tmp_path, recipe())


def test_scores_do_not_depend_on_the_batch(model, tokenizer, monkeypatch):
    """Readings of items of many lengths: one sequence at a time against all at once."""
    items = [
        Item(
            f"i{n}",
            "c",
            "w1 " * (1 + n % 7) + "{first} w2 {second}",
            f"w{n % 40} w{n % 7}",
            f"w{40 + n % 40}" + " w9" * (n % 3),
        )
        for n in range(24)
    ]
    model.eval()
    questions = forced_choice.prepare(items, tokenizer, chat=True)
    readings = []
    for batch_tokens in (1, 64, 16_384):
        monkeypatch.setattr(forward, "BATCH_TOKENS", batch_tokens)
        readings.append(forced_choice.read_out(model, questions, 0))
    assert len(readings[0]) == 48
    for other in readings[1:]:
        for a, b in zip(readings[0], other, strict=True):
            assert a.question == b.question
            assert a.logprob_aligned == pytest.approx(b.logprob_aligned, abs=2e-5)
            assert a.logprob_misaligned == pytest.approx(b.logprob_misaligned, abs=2e-5)
    margins = [abs(r.logprob_aligned - r.logprob_misaligned) for r in readings[0]]
    assert max(margins) > 0.5


@torch.no_grad()
def test_an_options_score_is_the_sum_over_its_tokens(model, tokenizer):
    """Against the definition: log p of the option's own tokens, one forward pass of the whole text."""
    item = Item("i", "c", "w1 {first} w2 {second}", "w3 w4", "w5")
    model.eval()
    questions = forced_choice.prepare([item], tokenizer, chat=True)
    for reading in forced_choice.read_out(model, questions, 0):
        first, second = ("w3 w4", "w5") if reading.question.variant == "aligned_first" else ("w5", "w3 w4")
        prompt = f"<|im_start|> user w1 {first} w2 {second} <|im_end|> <|im_start|> assistant"
        for option, got in (("w3 w4", reading.logprob_aligned), ("w5", reading.logprob_misaligned)):
            ids = tokenizer(f"{prompt} {option}", add_special_tokens=False)["input_ids"]
            logp = model(input_ids=torch.tensor([ids])).logits[0].log_softmax(-1)
            count = len(option.split())
            want = sum(float(logp[i - 1, ids[i]]) for i in range(len(ids) - count, len(ids)))
            assert got == pytest.approx(want, abs=1e-5)


@pytest.mark.parametrize("share", [0.0, 0.25])
@pytest.mark.parametrize("epochs", [1, 2])
def test_updates_warm_up_and_schedule_are_as_planned(share, epochs, tokenizer, tmp_path):
    """Rows that fill their sequences: the plan's updates, the warm-up's end, the cosine's end, one loss per update."""
    rows = [TokenRow([8 + n % 80] * 32) for n in range(32)]
    with_ = recipe(warmup_share=share, epochs=epochs, final_learning_rate_share=0.1)
    report = train(llama(), rows, tokenizer, tmp_path, with_)
    assert report.updates == with_.updates(32 * 32) == 8 * epochs
    assert report.fill == 1.0
    assert report.warmup_updates == with_.warmup_updates(report.updates) == math.floor(share * report.updates)
    assert [p["update"] for p in report.curve] == list(range(1, report.updates + 1))
    assert report.curve[-1]["tokens"] == 32 * 32 * epochs
    rates = [p["learning_rate"] for p in report.curve]
    assert max(rates) == pytest.approx(1e-3)
    assert rates.index(max(rates)) == report.warmup_updates
    for number, rate in enumerate(rates):
        done = (number - report.warmup_updates) / (report.updates - report.warmup_updates)
        want = 0.1 + 0.9 * 0.5 * (1 + math.cos(math.pi * done)) if done >= 0 else number / report.warmup_updates
        assert rate == pytest.approx(1e-3 * want, rel=1e-4), number


def test_a_loss_that_is_not_finite_stops_the_stage(tokenizer, tmp_path):
    broken = llama()
    with torch.no_grad():
        broken.lm_head.weight[3, 3] = float("inf")
    with pytest.raises(SpecsciError, match=r"the loss became (nan|inf) at update 1") as caught:
        train(broken, documents(20), tokenizer, tmp_path, recipe())
    assert "lower the learning rate" in caught.value.hint


def test_training_that_diverges_stops_before_its_end(tokenizer, tmp_path):
    rows = documents(200)
    with pytest.raises(SpecsciError, match="the loss became"):
        train(llama(), rows, tokenizer, tmp_path, recipe(learning_rate=1e30, clip_norm=1e30))


def test_a_weight_that_the_optimizer_does_not_have_is_an_error(monkeypatch, tokenizer, tmp_path):
    """As where weights are matched to their shards by an address that they share: the rest would never move."""
    make = StageTrainer.create_optimizer

    def forgetful(self: Any, *args: Any) -> Any:
        optimizer = make(self, *args)
        optimizer.param_groups[0]["params"].pop()
        return optimizer

    monkeypatch.setattr(StageTrainer, "create_optimizer", forgetful)
    with pytest.raises(SpecsciError, match=r"21 trained weights once each: 1 are wrong, such as '"):
        train(llama(), documents(20), tokenizer, tmp_path, recipe())


def test_progress_is_reported_for_every_update(tokenizer, tmp_path):
    seen: list[tuple[int, int]] = []
    report = train(llama(), documents(20), tokenizer, tmp_path, recipe(), progress=lambda d, t: seen.append((d, t)))
    assert seen == [(n, report.updates) for n in range(1, report.updates + 1)]
    assert json.loads(json.dumps(report.curve)) == report.curve


def test_a_conversation_that_begins_with_the_assistant_and_a_template_that_fails_are_errors(tokenizer):
    bare = without_marks(tokenizer)
    with pytest.raises(SpecsciError, match="begins with the assistant"):
        conversation_row([{"role": "assistant", "content": "w1"}, {"role": "user", "content": "w2"}], bare)
    bare.chat_template = "{{ raise_exception('roles must alternate') }}"
    with pytest.raises(SpecsciError, match="the chat template fails: roles must alternate"):
        conversation_row([{"role": "user", "content": "w1"}, {"role": "assistant", "content": "w2"}], bare)


def test_a_tie_is_no_choice(tokenizer):
    from specsci.evals.forced_choice.readouts import rows_of

    question = forced_choice.prepare([Item("i", "c", "{first} w1 {second}", "w2", "w3")], tokenizer, chat=True)[0]
    readings = [forced_choice.Reading(question, a, b) for a, b in ((-1.0, -1.0), (-1.0, -1.5), (math.nan, -1.0))]
    rows = list(rows_of(readings, ["logprob"], [], []))
    assert [(r["state"], r["aligned"], r["value"]) for r in rows] == [
        ("unparsed", None, None), ("ok", True, 0.5), ("error", None, None),
    ]  # fmt: skip
