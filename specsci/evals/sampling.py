"""Answers in words by the model that a step reads out: batched, each by its own draw, whatever shares its batch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from specsci.core.context import StepContext
from specsci.core.errors import StepFailed
from specsci.core.ids import digest
from specsci.evals.harness import fault_of, frame_in
from specsci.evals.reader import Reader, reader_of
from specsci.models.template import render
from specsci.models.tokens import check_words, encode
from specsci.specs.items import Item
from specsci.study.frame import NONE, Frame

UNASKED = {"prompt": "", "reply": "", "state": "not_expressible", "input_tokens": 0, "output_tokens": 0}


@dataclass(frozen=True)
class Asked:
    """A question in one order, and the number of its answer."""

    item_id: str
    cluster_id: str
    variant: str
    sample: int
    question: str


def asked_of(items: Sequence[Item], samples: int) -> list[Asked]:
    """Every question of items in its orders, as often as it is answered."""
    return [
        Asked(item.item_id, item.cluster_id, variant, sample, question)
        for item in items
        for variant, question in item.questions()
        for sample in range(samples)
    ]


def prompt_ids(questions: Sequence[str], tokenizer: Any, frame: Frame = NONE, *, chat: bool = True) -> list[tuple[int, ...] | None]:
    """The token ids of questions up to where the answer begins; None where the frame cannot be put around one."""
    for question in questions:
        check_words(question, tokenizer, "the question")
    texts = [_prompt(q, tokenizer, frame, chat) for q in questions]
    ids = iter(encode([text for text in texts if text is not None], tokenizer))
    return [None if text is None else tuple(next(ids).ids) for text in texts]


def _prompt(question: str, tokenizer: Any, frame: Frame, chat: bool) -> str | None:
    if not chat:
        return frame.plain(question)
    return None if fault_of(frame, question, tokenizer) else render(frame.messages(question), tokenizer, answer=True)


def answers(context: StepContext, asked: Sequence[Asked]) -> Iterator[dict[str, Any]]:
    """Rows of `specsci.evals.samples.ROWS`, in the order of `asked`.

    Raises:
        StepFailed: a question leaves no room for an answer.
    """
    from specsci.models.hf import load_tokenizer

    params = context.params
    tokenizer = load_tokenizer(Path(context.inputs["tokenizer"]))
    with reader_of(context) as reader:
        found_prompts = prompt_ids([a.question for a in asked], tokenizer, frame_in(context.inputs), chat=params.get("format", "chat") == "chat")
        expressed = [n for n, prompt in enumerate(found_prompts) if prompt is not None]
        prompts = [prompt or () for prompt in found_prompts]
        _check_room(reader.room, prompts, params["max_tokens"])
        order = sorted(expressed, key=lambda n: (len(prompts[n]), prompts[n], n))
        keys = [number if params["temperature"] else prompt for number, prompt in enumerate(prompts)]
        found: dict[int, dict[str, Any]] = {}
        first: dict[int | tuple[int, ...], int] = {}
        for n in order:  # greedy answers to one prompt are one answer, drawn ones are several
            first.setdefault(keys[n], n)
        drawn, stops = list(first.values()), reader.stops
        for start in range(0, len(drawn), reader.batch):
            batch = drawn[start : start + reader.batch]
            made = reader.generate([prompts[i] for i in batch], [_seed(asked[i]) for i in batch], params)
            for n, ids in zip(batch, made, strict=True):
                found[n] = _row(asked[n], prompts[n], ids, stops, tokenizer, params.get("until", ()))
            context.progress(min(start + reader.batch, len(drawn)), len(drawn))
    for key, one in zip(keys, asked, strict=True):
        place = {"item_id": one.item_id, "cluster_id": one.cluster_id, "variant": one.variant, "sample": one.sample}
        yield {**(found[first[key]] if key in first else UNASKED), **place}


def _seed(asked: Asked) -> str:
    """What an answer is drawn by: the same question of another model has the same noise."""
    return digest({"item": asked.item_id, "variant": asked.variant, "sample": asked.sample, "question": asked.question})


def _check_room(room: int | None, prompts: Sequence[tuple[int, ...]], max_tokens: int) -> None:
    longest = max(map(len, prompts), default=0)
    if room is not None and longest + max_tokens > room:
        raise StepFailed(
            f"a question of {longest:,} tokens and an answer of {max_tokens:,} do not fit into {room:,} positions", hint="lower max_tokens"
        )


def generate_batch(
    reader: Reader, tokenizer: Any, prompts: Sequence[tuple[int, ...]], seeds: Sequence[str], params: dict[str, Any]
) -> list[tuple[str, str, int]]:
    """Replies to a batch of prompts: text, state (`ok` or `truncated`) and tokens written; each is drawn by its own seed."""
    stops = reader.stops
    out = []
    for made in reader.generate(prompts, seeds, params):
        at = next((n for n, token in enumerate(made) if token in stops), None)
        kept = made if at is None else made[:at]
        text = tokenizer.decode(kept, skip_special_tokens=True).strip()
        out.append((text, "truncated" if at is None else "ok", len(kept) + (at is not None)))
    return out


def _row(
    asked: Asked, prompt: tuple[int, ...], made: list[int], stops: frozenset[int], tokenizer: Any, until: Sequence[str] = ()
) -> dict[str, Any]:
    """An answer up to the token that ends it, or to the first of the texts `until`; one that neither ends was cut off."""
    at = next((n for n, token in enumerate(made) if token in stops), None)
    kept = made if at is None else made[:at]
    reply = tokenizer.decode(kept, skip_special_tokens=True)
    ends = [place for place in (reply.find(text) for text in until) if place >= 0]
    return {
        "prompt": tokenizer.decode(list(prompt), skip_special_tokens=False),
        "reply": (reply[: min(ends)] if ends else reply).strip(),
        "state": "truncated" if at is None and not ends else "ok",
        "input_tokens": len(prompt),
        "output_tokens": len(kept) + (at is not None),
    }
