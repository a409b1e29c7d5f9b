"""The examination of a tokenizer: what training and scoring ask of it, tried on texts."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from specsci.core.errors import UserError
from specsci.core.findings import Finding
from specsci.models.template import shown
from specsci.models.tokens import opening, opening_text

TEXTS = {
    "capitals": "Aa Bb",
    "spaces": "a  b",
    "lines": "one\ntwo\n\nthree",
    "accents": "naïve café",
    "letters": "The quick brown fox, 0123456789.",
    "symbols": "€ → 你好 🙂",
}
"""What a tokenizer may lose, with a text that has it."""
PLAIN = "A plain text, of which every character has its place."


def examine_tokenizer(tokenizer: Any, *, embedding_rows: int | None = None) -> list[Finding]:
    """Findings on a tokenizer.

    Args:
        embedding_rows: tokens that the model has embeddings for; None where that is not known.
    """
    if not getattr(tokenizer, "is_fast", False):
        what = "the tokenizer is a slow one, which does not tell where in a text a token stands"
        return [
            Finding(
                "tokenizer_fast",
                "refuse",
                what,
                "save it as tokenizer.json: load it with use_fast=True, then save_pretrained",
            )
        ]
    checks: list[Callable[[], Finding | None]] = [
        *(partial(check, tokenizer) for check in (_same, _places)),
        partial(_range, tokenizer, embedding_rows),
        *(partial(check, tokenizer) for check in (_end, _opening, _lossless)),
    ]
    found: list[Finding] = []
    try:
        for check in checks:
            finding = check()
            found += [finding] if finding else []
            if finding and finding.judgement == "refuse":
                break
        return found
    except Exception as error:  # noqa: BLE001 - a tokenizer is foreign data: the libraries raise what they like
        said = error.what if isinstance(error, UserError) else f"{type(error).__name__}: {error}"
        hint = "try AutoTokenizer.from_pretrained(FOLDER) on it; save it anew with save_pretrained"
        return [Finding("tokenizer", "refuse", f"the tokenizer fails on a plain text: {' '.join(said.split())[:300]}", hint)]


def _same(tokenizer: Any) -> Finding | None:
    """The same text has the same tokens every time."""
    first = tokenizer(PLAIN * 8, add_special_tokens=False)["input_ids"]
    if all(tokenizer(PLAIN * 8, add_special_tokens=False)["input_ids"] == first for _ in range(4)):
        return None
    what = "the tokenizer draws at random (BPE dropout): the same text has other tokens each time"
    return Finding("tokenizer_chance", "refuse", what, 'set "dropout": null in tokenizer.json')


def _places(tokenizer: Any) -> Finding | None:
    """Tokens tell their places in the text, and all of it has tokens."""
    text = " ".join([PLAIN, TEXTS["accents"], TEXTS["symbols"], PLAIN] * 40)
    encoded = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
    covered = [False] * len(text)
    last = 0
    for left, right in encoded["offset_mapping"]:
        if not (0 <= left <= right <= len(text)) or right < last:
            what = "the tokenizer tells wrong places of its tokens"
            return Finding("tokenizer_places", "refuse", what, "save it anew with a newer version of tokenizers")
        last = right
        covered[left:right] = [True] * (right - left)
    missed = [n for n, (on, c) in enumerate(zip(covered, text, strict=True)) if not on and not c.isspace()]
    if missed and missed[-1] == len(text) - 1 and len(missed) > 1:
        what = f"the tokenizer cuts texts: of {len(text):,} characters the last {len(text) - missed[0]:,} have no token"
        return Finding("tokenizer_places", "refuse", what, 'set "truncation": null in tokenizer.json')
    if missed and text[missed[0]].isascii():
        what = f"the tokenizer has no token for {shown(text[missed[0]])} in a plain text"
        return Finding("tokenizer_places", "refuse", what, "use the tokenizer that the model was trained with")
    return None


def _range(tokenizer: Any, rows: int | None) -> Finding | None:
    """Every token has an embedding."""
    if rows is None:
        return None
    beyond = sorted((number, word) for word, number in tokenizer.get_vocab().items() if number >= rows)
    if not beyond:
        return None
    some = f"{len(beyond):,} tokens have no embedding, such as" if len(beyond) > 1 else "there is no embedding of"
    what = f"{some} {shown(beyond[0][1])}, token {beyond[0][0]:,}: the model has {rows:,}"
    hint = "use the model's own tokenizer, or resize its embeddings and train those tokens"
    return Finding("tokenizer_range", "refuse", what, hint)


def _end(tokenizer: Any) -> Finding | None:
    """There is a token to end documents with."""
    if tokenizer.eos_token_id is not None and tokenizer.eos_token_id != tokenizer.unk_token_id:
        return None
    what = "the tokenizer has no end-of-text token"
    return Finding("tokenizer_end", "refuse", what, "set eos_token in tokenizer_config.json to a token of the vocabulary")


def _opening(tokenizer: Any) -> Finding:
    """What texts begin with."""
    begun = opening_text(tokenizer) if opening(tokenizer) else ""
    what = f"texts begin with {begun}" if begun else "texts begin with no BOS token, as the tokenizer begins them"
    return Finding("tokenizer_opening", "ok", what)


def _lossless(tokenizer: Any) -> Finding | None:
    """What it cannot write back it cannot tell apart either."""
    lost = []
    for name, text in TEXTS.items():
        ids = tokenizer(text, add_special_tokens=False)["input_ids"]
        back = tokenizer.decode(ids, clean_up_tokenization_spaces=False)
        if back.removeprefix(" ") != text:
            lost.append(f"{name} ({shown(text)} becomes {shown(back)})")
    if not lost:
        return None
    what = f"the tokenizer loses {lost[0]}" + (f" and {len(lost) - 1} more" if len(lost) > 1 else "")
    return Finding("tokenizer_text", "warn", what, "texts and options that differ in nothing else are one to the model")
