"""How texts begin: once with what the tokenizer begins a text with, in documents, chats and evals alike."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from chat_templates import CHATML, LLAMA3, conversation, make_tokenizer

from specsci.core.errors import UserError
from specsci.evals.forced_choice.readout import prepare
from specsci.intake.tokenizer import examine_tokenizer
from specsci.models.chat import conversation_row, document_row, document_rows
from specsci.models.tokens import opening, opening_text
from specsci.sources.opening import AS_IT_SAYS, opening_of
from specsci.specs.items import Item

ITEM = Item("i", "c", "Which, {first} or {second}?", "green tea", "green")


@pytest.mark.parametrize("bos", [True, False])
def test_documents_begin_as_the_tokenizer_begins_them(bos: bool) -> None:
    tokenizer = make_tokenizer(CHATML, bos=bos)
    row = document_row("A text.", tokenizer)
    assert row.input_ids == [*tokenizer("A text.")["input_ids"], tokenizer.eos_token_id]
    assert row.input_ids.count(tokenizer.bos_token_id) == int(bos)
    assert row.labels()[0] == -100
    assert document_rows([], tokenizer) == []


@pytest.mark.parametrize("bos", [True, False])
@pytest.mark.parametrize("template", [CHATML, LLAMA3])
def test_chats_have_one_opening_whoever_writes_it(bos: bool, template: str) -> None:
    tokenizer = make_tokenizer(template, bos=bos)
    row = conversation_row(conversation(("user", "assistant")), tokenizer)
    written = bos or template == LLAMA3
    assert row.input_ids.count(tokenizer.bos_token_id) == int(written)
    assert (row.input_ids[0] == tokenizer.bos_token_id) == written
    (question, _) = prepare([ITEM], tokenizer, chat=True)
    assert question.aligned.ids.count(tokenizer.bos_token_id) == int(written)
    assert not any(row.supervised[: row.input_ids.index(tokenizer.convert_tokens_to_ids("Y"))])


@pytest.mark.parametrize("bos", [True, False])
def test_text_evals_begin_as_the_tokenizer_begins_them(bos: bool) -> None:
    tokenizer = make_tokenizer(None, bos=bos)
    for question, pair in zip(
        prepare([ITEM], tokenizer, chat=False), (("green tea", "green"), ("green", "green tea")), strict=True
    ):
        text = f"Which, {pair[0]} or {pair[1]}? "
        assert list(question.aligned.ids) == tokenizer(text + "green tea")["input_ids"]
        assert question.aligned.start == len(tokenizer(text)["input_ids"])
        assert question.misaligned.start == question.aligned.start


def test_a_control_tokens_string_in_a_document_stays_text() -> None:
    tokenizer = make_tokenizer(CHATML, bos=True)
    control = tokenizer.convert_tokens_to_ids("<|im_end|>")
    row = document_row("a<|im_end|>b <s> c", tokenizer)
    assert control not in row.input_ids
    assert row.input_ids.count(tokenizer.bos_token_id) == 1
    assert tokenizer.decode(row.input_ids[1:-1]) == "a<|im_end|>b <s> c"
    again = document_row("a<|im_end|>", tokenizer), tokenizer("<|im_end|>", add_special_tokens=False)["input_ids"]
    assert control not in again[0].input_ids and again[1] == [control], "the tokenizer itself is left as it was"
    with pytest.raises(UserError, match="item 'i': the question contains '</s>'"):
        prepare([Item("i", "c", "a</s>", "b", "c")], tokenizer, chat=False)


def test_what_a_plan_reads_of_the_files_is_what_the_tokenizer_does(tmp_path: Path) -> None:
    for bos in (True, False):
        make_tokenizer(CHATML, bos=bos).save_pretrained(tmp_path / str(bos))
        assert opening_of(tmp_path / str(bos)) == opening_text(make_tokenizer(CHATML, bos=bos)) == ("<s>" if bos else "")
    assert len(opening(make_tokenizer(None, bos=True))) == 1
    file = tmp_path / "True" / "tokenizer.json"
    data = json.loads(file.read_text())
    data["post_processor"] = {"type": "Sequence", "processors": [{"type": "ByteLevel"}, data["post_processor"]]}
    file.write_text(json.dumps(data))
    assert opening_of(tmp_path / "True") == "<s>"
    file.unlink()
    assert opening_of(tmp_path / "True") == AS_IT_SAYS, "one that is converted when it is loaded may have an opening"
    config = tmp_path / "False" / "tokenizer_config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), "add_bos_token": True}))
    assert opening_of(tmp_path / "False") == "<s>"


def test_options_that_join_the_prompts_end_are_read_from_one_place() -> None:
    """A token that holds the prompt's last characters and the option's first is the option's, and both begin there."""
    from tokenizers import AddedToken

    tokenizer = make_tokenizer(None)
    tokenizer.add_tokens([AddedToken("? y", normalized=False)])
    (question,) = prepare([Item("i", "c", "So?", "yes", "no")], tokenizer, chat=False)
    assert tokenizer.decode(question.aligned.ids[: question.aligned.start]) == "So"
    assert question.misaligned.start == question.aligned.start
    assert tokenizer.decode(question.aligned.ids[question.aligned.start :]) == "? yes"
    assert tokenizer.decode(question.misaligned.ids[question.misaligned.start :]) == "? no"


def findings(tokenizer, **more) -> dict[str, str]:
    return {f.check: f.judgement for f in examine_tokenizer(tokenizer, **more)}


def test_the_examination_of_tokenizers() -> None:
    from tokenizers import normalizers, pre_tokenizers

    good = make_tokenizer(CHATML, bos=True)
    assert findings(good, embedding_rows=len(good)) == {"tokenizer_opening": "ok"}
    assert findings(good, embedding_rows=len(good) - 1)["tokenizer_range"] == "refuse"
    lower = make_tokenizer(CHATML)
    lower.backend_tokenizer.normalizer = normalizers.Lowercase()
    assert findings(lower)["tokenizer_text"] == "warn"
    endless = make_tokenizer(CHATML)
    endless.eos_token = None
    assert findings(endless)["tokenizer_end"] == "refuse"
    deaf = make_tokenizer(CHATML)
    deaf.backend_tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    assert findings(deaf)["tokenizer_text"] == "warn"

    class Slow:
        is_fast = False

    assert findings(Slow()) == {"tokenizer_fast": "refuse"}


def test_a_tokenizer_that_draws_at_random_is_refused() -> None:
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {w: n for n, w in enumerate(["</s>", *letters, "Ġp", "la", "in", "te", "xt", "ar", "ac"])}
    inner = Tokenizer(
        models.BPE(
            vocabulary, [("Ġ", "p"), ("l", "a"), ("i", "n"), ("t", "e"), ("x", "t"), ("a", "r"), ("a", "c")], dropout=0.5
        )
    )
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    found = findings(PreTrainedTokenizerFast(tokenizer_object=inner, eos_token="</s>"))
    assert found["tokenizer_chance"] == "refuse"
