"""The examination of a file of chats under the template that it is trained with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from specsci.core.errors import UserError
from specsci.core.findings import Finding
from specsci.models.chat import check_messages, spoken
from specsci.sources.text_files import Passage, read_passages

RENDERED = 300
"""Conversations of each order of roles that are rendered; the step renders them all."""


def examine_chats(tokenizer: Any, path: Path, name: str) -> list[Finding]:
    """Findings on a file of chats: every message is looked at, and some conversations of each order are rendered.

    Args:
        name: what the study calls the file.
    """
    passages = read_passages(path, name, "conversations")
    rendered: dict[tuple[str, ...], int] = {}
    for passage in passages:
        order = tuple(f"{m['role']} (calls)" if "tool_calls" in m else m["role"] for m in passage.said)
        rendered[order] = rendered.get(order, 0) + 1
        try:
            check_messages(passage.said, tokenizer, passage.tools)
            if rendered[order] <= RENDERED:
                spoken(passage.said, tokenizer, passage.tools)
        except UserError as error:
            return [_refused(error, passage, name)]
    shown = "; ".join(", ".join(order) for order in list(rendered)[:4])
    return [Finding("chats", "ok", f"{name}: {len(passages):,} conversations ({shown})")]


def _refused(error: UserError, passage: Passage, name: str) -> Finding:
    return Finding("chats", "refuse", f"{name}:{passage.line}: {error.what}", error.hint or "leave the row out")
