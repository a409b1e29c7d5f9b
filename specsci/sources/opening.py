"""How a tokenizer begins its texts, as far as its files tell: a plan loads no tokenizer."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

OPENING = "opening"
"""Key of a tokenizer's identity, where texts begin with what the tokenizer puts before them."""
AS_IT_SAYS = "as the tokenizer begins a text"
FILE, CONFIG = "tokenizer.json", "tokenizer_config.json"


def opening_of(folder: Path) -> str:
    """What a tokenizer in a directory puts before every text, such as `<s>`; empty where its files name nothing.

    Where they do not tell (a tokenizer that is converted when it is loaded) it is `AS_IT_SAYS`.
    """
    config = _read(folder / CONFIG)
    if not (folder / FILE).is_file():
        return AS_IT_SAYS
    begun = _begun(_read(folder / FILE).get("post_processor"))
    if begun or config.get("add_bos_token") is not True:
        return begun
    token = config.get("bos_token")
    token = token.get("content") if isinstance(token, dict) else token
    return token if isinstance(token, str) and token else AS_IT_SAYS


def _begun(processor: Any) -> str:
    """The special tokens that a post-processor of tokenizer.json writes before a text."""
    if not isinstance(processor, dict):
        return ""
    kind = processor.get("type")
    if kind == "Sequence":
        parts = processor.get("processors")
        return "".join(_begun(part) for part in parts) if isinstance(parts, list) else ""
    if kind in ("BertProcessing", "RobertaProcessing"):
        cls = processor.get("cls")
        return str(cls[0]) if isinstance(cls, list) and cls else AS_IT_SAYS
    single, out = processor.get("single"), ""
    for piece in single if isinstance(single, list) else []:
        if not (isinstance(piece, dict) and isinstance(piece.get("SpecialToken"), dict)):
            break
        out += str(piece["SpecialToken"].get("id", ""))
    return out


def _read(path: Path) -> dict[str, Any]:
    """A JSON file's object; empty where it has none (what is wrong with it the examination says)."""
    try:
        found = json.loads(path.read_bytes().decode("utf-8-sig"))
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
