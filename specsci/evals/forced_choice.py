"""The forced-choice readout: log-probability of either option after the question.

An option's score is the sum of the log-probabilities of its own tokens. The value of an item in one
order is log p(aligned) - log p(misaligned): higher is more aligned.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import torch

from specsci.errors import UserError
from specsci.evals.items import Item
from specsci.models.template import turn_of
from specsci.models.tokens import check_words, encode

Row = TypeVar("Row")
BATCH_TOKENS = 16_384
BATCH_LOGITS = 2**27
"""The most logits of one batch: half a GiB in fp32, which a large vocabulary reaches first."""


def batch_limit(model: Any) -> int:
    """Tokens of one batch for a model."""
    return min(BATCH_TOKENS, max(1, BATCH_LOGITS // int(model.config.get_text_config().vocab_size)))


@dataclass(frozen=True)
class Sequence:
    """Token ids up to the end of an option, and where the option begins."""

    ids: tuple[int, ...]
    start: int


@dataclass(frozen=True)
class Question:
    """One item in one order, with both options tokenised."""

    item: Item
    variant: str
    aligned: Sequence
    misaligned: Sequence


@dataclass(frozen=True)
class Reading:
    """Log-probabilities of the options of one question."""

    question: Question
    logprob_aligned: float
    logprob_misaligned: float


def prepare(items: list[Item], tokenizer: Any, chat: bool) -> list[Question]:
    """Every item in every order, tokenised as the model saw it in training.

    Raises:
        UserError: an item that the chat template alters, or whose words the tokenizer takes for control tokens.
    """
    questions = []
    for item in items:
        for variant, text in item.questions():
            try:
                aligned, misaligned = (
                    _rendered(text, option, tokenizer, chat) for option in (item.aligned, item.misaligned)
                )
            except UserError as error:
                raise UserError(error.what, where=f"item '{item.item_id}'", mend=error.mend) from error
            first, second = _from_where_they_differ(_sequence(*aligned, tokenizer), _sequence(*misaligned, tokenizer))
            questions.append(Question(item, variant, first, second))
    return questions


def _rendered(question: str, option: str, tokenizer: Any, chat: bool) -> tuple[str, str]:
    """The text before an option, and the option: an answer of the chat template, or the text's next words."""
    for words, what in ((question, "the question"), (option, "the option")):
        check_words(words, tokenizer, what)
    if not chat:
        return f"{question} ", option
    turn = turn_of([{"role": "user", "content": question}, {"role": "assistant", "content": option}], tokenizer)
    if turn.answer != option:
        raise UserError(f"the chat template trims the option {option!r}", mend="write it without white space around it")
    return turn.before, option


def _sequence(before: str, option: str, tokenizer: Any) -> Sequence:
    """The ids of the joined text; the option's tokens are those that hold any of its characters."""
    (encoded,) = encode([before + option], tokenizer, offsets=True)
    start = next(i for i, (_, right) in enumerate(encoded.offsets) if right > len(before))
    return Sequence(tuple(encoded.ids), start)


def _from_where_they_differ(first: Sequence, second: Sequence) -> tuple[Sequence, Sequence]:
    """Both options read from one place: where a token joins the prompt's end with one of them, from that token on."""
    same = next((n for n, (a, b) in enumerate(zip(first.ids, second.ids, strict=False)) if a != b), first.start)
    start = min(first.start, second.start, same)
    if start == 0:
        raise UserError("nothing stands before the options, so that nothing predicts their first token")
    return Sequence(first.ids, start), Sequence(second.ids, start)


def read_out(model: Any, questions: list[Question], pad_token_id: int) -> list[Reading]:
    """Score questions. What both options of a question share is run once.

    Args:
        model: a causal LM in evaluation mode.
    """
    options = list(dict.fromkeys(o for q in questions for o in (q.aligned, q.misaligned)))
    words = [o for o in options if len(o.ids) - o.start == 1]
    scores = _read_words(model, words, pad_token_id)
    scores.update(_read_phrases(model, [o for o in options if o not in scores], pad_token_id))
    return [Reading(q, scores[q.aligned], scores[q.misaligned]) for q in questions]


def _read_words(model: Any, options: list[Sequence], pad_token_id: int) -> dict[Sequence, float]:
    """Log-probabilities of options of one token: each distinct prompt is run once, its last distribution tells them all."""
    by_prompt: dict[tuple[int, ...], list[Sequence]] = {}
    for option in options:
        by_prompt.setdefault(option.ids[:-1], []).append(option)
    scores = {}
    for batch in batches(sorted(by_prompt, key=len), batch_limit(model), len):
        scores.update(_run_words(model, batch, by_prompt, pad_token_id))
    return scores


def batches(rows: list[Row], limit: int, length: Callable[[Row], int]) -> list[list[Row]]:
    """Rows, shortest first, in batches that hold at most `limit` tokens when padded (or one row)."""
    out: list[list[Row]] = []
    for row in rows:
        if out and length(row) * (len(out[-1]) + 1) <= limit:
            out[-1].append(row)
        else:
            out.append([row])
    return out


@torch.no_grad()
def _run_words(
    model: Any, batch: list[tuple[int, ...]], by_prompt: dict[tuple[int, ...], list[Sequence]], pad: int
) -> dict[Sequence, float]:
    device = next(model.parameters()).device
    input_ids, mask = padded(batch, pad)
    logits = model(input_ids=input_ids.to(device), attention_mask=mask.to(device)).logits.float().cpu()
    out = {}
    for row, prefix in enumerate(batch):
        logp = torch.log_softmax(logits[row, len(prefix) - 1], dim=-1)
        for option in by_prompt[prefix]:
            out[option] = float(logp[option.ids[-1]])
    return out


def _read_phrases(model: Any, options: list[Sequence], pad_token_id: int) -> dict[Sequence, float]:
    """Log-probabilities of options of several tokens: a prompt is run once, and its cache serves all its options."""
    by_prompt: dict[tuple[int, ...], list[Sequence]] = {}
    for option in options:
        by_prompt.setdefault(option.ids[: option.start], []).append(option)
    scores: dict[Sequence, float] = {}
    batch: list[tuple[int, ...]] = []
    limit = batch_limit(model)
    for prompt in sorted(by_prompt, key=len):
        wide = [o for p in (*batch, prompt) for o in by_prompt[p]]
        tokens = max(len(prompt) * (len(batch) + 1), max(len(o.ids) - o.start for o in wide) * len(wide))
        if batch and tokens > limit:
            scores.update(_run_phrases(model, batch, by_prompt, pad_token_id))
            batch = []
        batch.append(prompt)
    if batch:
        scores.update(_run_phrases(model, batch, by_prompt, pad_token_id))
    return scores


@torch.no_grad()
def _run_phrases(
    model: Any, batch: list[tuple[int, ...]], by_prompt: dict[tuple[int, ...], list[Sequence]], pad: int
) -> dict[Sequence, float]:
    """One batch: prompts padded on the left, so that their ends meet, then the options' tokens over the cache."""
    device = next(model.parameters()).device
    prompt_ids, prompt_mask = padded(batch, pad, left=True)
    positions = (prompt_mask.cumsum(1) - 1).clamp(min=0)
    first = model(
        input_ids=prompt_ids.to(device),
        attention_mask=prompt_mask.to(device),
        position_ids=positions.to(device),
        use_cache=True,
        logits_to_keep=1,
    )
    starts = torch.log_softmax(first.logits[:, -1].float().cpu(), dim=-1)
    rows = [(row, option) for row, prompt in enumerate(batch) for option in by_prompt[prompt]]
    owners = torch.tensor([row for row, _ in rows])
    ids, mask = padded([option.ids[option.start : -1] for _, option in rows], pad)
    cache = first.past_key_values
    cache.batch_select_indices(owners.to(device))
    lengths = torch.tensor([len(batch[row]) for row, _ in rows])[:, None]
    second = model(
        input_ids=ids.to(device),
        attention_mask=torch.cat([prompt_mask[owners], mask], 1).to(device),
        position_ids=(lengths + torch.arange(ids.shape[1])).to(device),
        past_key_values=cache,
        use_cache=True,
    )
    out = {}
    for number, (row, option) in enumerate(rows):
        tail = option.ids[option.start :]
        logp = torch.log_softmax(second.logits[number, : len(tail) - 1].float().cpu(), dim=-1)
        out[option] = float(starts[row, tail[0]]) + float(logp.gather(1, torch.tensor(tail[1:])[:, None]).sum())
    return out


def padded(rows: list[Any], pad: int, *, left: bool = False) -> tuple[Any, Any]:
    """Token ids and mask of rows of several lengths, `(rows, longest)` each."""
    length = max(len(row) for row in rows)
    ids = torch.full((len(rows), length), pad, dtype=torch.long)
    mask = torch.zeros((len(rows), length), dtype=torch.long)
    for number, row in enumerate(rows):
        place = slice(length - len(row), length) if left else slice(0, len(row))
        ids[number, place] = torch.tensor(row)
        mask[number, place] = 1
    return ids, mask
