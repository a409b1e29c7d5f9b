"""What a study does with a base's tokenizer, tried before anything is spent: its template, and its items' lengths."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Any

from specsci.core.errors import SpecsciError
from specsci.core.findings import Finding
from specsci.intake.chats import examine_chats
from specsci.intake.template import Uses, examine_template
from specsci.intake.tokenizer import examine_tokenizer
from specsci.sources.examination import Examination, ok, refuse, warn
from specsci.sources.files import TOKENIZER_FILES
from specsci.sources.folder import Unreadable, read_config
from specsci.study.evals import EVALS
from specsci.study.frame import Frame


def examine_use_of(folder: Path, use: dict[str, Any]) -> Examination:
    """Findings on the tokenizer and its template under what a study does with them, and how long its items are.

    Args:
        folder: a model directory.
        use: `specsci.sources.examine.Use` as a mapping.

    Returns:
        Facts: `longest_item`, eval to tokens of its longest item with option.
    """
    with tempfile.TemporaryDirectory() as scratch:
        copy = Path(scratch)
        for name in TOKENIZER_FILES:
            if (folder / name).is_file():
                shutil.copyfile(folder / name, copy / name)
        if (folder / "config.json").is_file():
            shutil.copyfile(folder / "config.json", copy / "config.json")
        try:
            tokenizer = _loaded(copy, use["chat"])
        except SpecsciError as error:
            return Examination((refuse("template", error.what, error.hint),))
        except Exception as error:  # noqa: BLE001 - whatever a stranger's tokenizer raises, it cannot be used
            text = f"the tokenizer cannot be loaded ({type(error).__name__}: {str(error).strip().splitlines()[:1]})"
            return Examination((refuse("tokenizer", text, "save it with save_pretrained"),))
        found = [
            ok("tokenizer", f"{type(tokenizer).__name__} of {len(tokenizer):,} tokens"),
            *_by_trial(tokenizer, use, _rows(copy)),
        ]
        if any(f.judgement == "refuse" for f in found):
            return Examination(tuple(found))
        lengths, wrong = _longest_items(tokenizer, use["items"])
        return Examination((*found, *wrong), {"longest_item": lengths})


def _loaded(folder: Path, chat: dict[str, Any]) -> Any:
    from transformers import AutoTokenizer

    from specsci.models.chat import declare_template

    if chat:
        declare_template(folder, chat)
    return AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)


def _rows(folder: Path) -> int | None:
    """Rows of the embedding, as the configuration tells them; tokens may be added to a tokenizer when it is loaded."""
    try:
        config = read_config(folder)
    except Unreadable:
        return None
    rows = (config.get("text_config") or config).get("vocab_size")
    return rows if isinstance(rows, int) else None


def _by_trial(tokenizer: Any, use: dict[str, Any], rows: int | None) -> list[Finding]:
    """What the examinations of tokenizer, template and chats find, up to the first that refuses."""
    uses = Uses(tuple(tuple(roles) for roles in use["uses"]), use["scored"])
    found = examine_tokenizer(tokenizer, embedding_rows=rows)
    if not any(f.judgement == "refuse" for f in found):
        found += examine_template(tokenizer, uses=uses, variables=use["chat"].get("variables", {}))
    for path, _, name in use["chats"]:
        if not any(f.judgement == "refuse" for f in found):
            found += examine_chats(tokenizer, Path(path), name)
    return found


def _longest_items(tokenizer: Any, items: list[dict[str, Any]]) -> tuple[dict[str, int], list[Finding]]:
    """Tokens of the longest item with its option by eval; an item that cannot be asked is refused with its reason."""
    lengths: dict[str, int] = {}
    wrong: list[Finding] = []
    for asked in items:
        try:
            longest = EVALS[asked["kind"]].longest_tokens(
                asked["settings"], Path(asked["file"]), asked["identity"], tokenizer
            )
        except SpecsciError as error:
            at = f"{error.where}: " if error.where else ""
            wrong.append(refuse("items", f"items of '{asked['name']}' cannot be asked: {at}{error.what}", error.hint))
            continue
        lengths[asked["name"]] = longest
        wrong += _not_expressed(tokenizer, asked)
    return lengths, wrong


def _not_expressed(tokenizer: Any, asked: dict[str, Any]) -> list[Finding]:
    """A warning where what stands around an eval's questions cannot be put there under this template."""
    from specsci.evals.harness import fault_of
    from specsci.specs.items import read_items

    frame = Frame.of(asked["settings"].get("frame"))
    if not frame or not EVALS[asked["kind"]].in_chats(asked["settings"]):
        return []
    item = next(iter(read_items(Path(asked["file"]), asked["identity"])), None)
    fault = fault_of(frame, next(item.questions())[1], tokenizer) if item else ""
    text = f"'{asked['name']}' has no scores with this model (not_expressible): {fault}"
    return [warn("harness", text, "declare a template that has such messages (chat_template), or leave the condition out")] if fault else []
