"""Names of a model directory's files, and the files that a study may name."""

from __future__ import annotations

import os
from pathlib import Path

from specsci.core.errors import UserError
from specsci.core.user_files import is_file, lies_below, name_fault, shown_name

TEMPLATE_FILE = "chat_template.jinja"
TOKENIZER_FILES = (
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "merges.txt",
    "tokenizer.model",
    TEMPLATE_FILE,
)
CARD = "specsci.json"
"""What an exported model says of itself."""


def inside(name: str, folder: Path, what: str) -> Path:
    """A file that a study names, which must lie in the study's folder (links followed).

    Raises:
        UserError: it lies elsewhere, is missing, or is not a regular file.
    """
    fault = name_fault(name)
    if fault:
        raise UserError(f"{what} '{shown_name(name)}' {fault}", hint=f"name a file below {folder}")
    path = folder / name
    if Path(name).is_absolute() or not lies_below(path, folder):
        raise UserError(f"{what} '{name}' lies outside the study's folder", hint=f"put it below {folder}")
    if not is_file(path):
        missing = "is not a regular file" if os.path.lexists(path) else "is not there"
        raise UserError(f"{what} '{name}' {missing}", hint=f"put it below {folder}")
    return path
