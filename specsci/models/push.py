"""A model on a hub: files to a branch, every digest read back, then the card, then the tag. Nothing is tagged that was not read back."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from specsci.core.errors import GateRefused, StoreError, UserError
from specsci.core.ids import file_sha256

CARD = "README.md"


@dataclass(frozen=True)
class Pushed:
    """Where a model lies on a hub, and what was read back."""

    repo: str
    branch: str
    tag: str
    commit: str
    files: dict[str, str]
    private: bool


def push_model(folder: Path, card: str, repo: str, *, branch: str, tag: str, private: bool) -> Pushed:
    """Upload a directory to a branch of a repository, which is made where there is none, and tag it.

    Args:
        card: the text of its README.md, which goes up last.

    Raises:
        UserError: the hub may not be asked, the tag is there already, or the hub refuses.
        StoreError: a file there is not what was sent.
    """
    if os.environ.get("HF_HUB_OFFLINE", "") not in ("", "0"):
        raise UserError("HF_HUB_OFFLINE is set: nothing can be pushed", hint="unset it")
    from huggingface_hub import HfApi

    api = HfApi()
    with _refusals(repo):
        api.create_repo(repo, private=private, exist_ok=True)
        if private and not api.repo_info(repo).private:
            raise GateRefused(f"{repo} is public", hint="take a private repository, or say --public where the model's label allows it")
        refs = api.list_repo_refs(repo)
        if tag in {t.name for t in refs.tags}:
            raise UserError(f"{repo} has a tag '{tag}' already", hint="take another one with --tag: a tag says what was, and stays")
        if branch not in {b.name for b in refs.branches}:
            api.create_branch(repo, branch=branch, exist_ok=True)
        api.upload_folder(repo_id=repo, folder_path=folder, revision=branch, ignore_patterns=[CARD], commit_message="Model files, by specsci")
        files = _read_back(api, repo, branch, folder)
        done = api.upload_file(
            path_or_fileobj=card.encode(), path_in_repo=CARD, repo_id=repo, revision=branch, commit_message="Model card, by specsci"
        )
        api.create_tag(repo, tag=tag, revision=done.oid or branch, tag_message="by specsci")
    return Pushed(repo, branch, tag, str(done.oid), files, private)


def _read_back(api: Any, repo: str, branch: str, folder: Path) -> dict[str, str]:
    """The SHA-256 of every file, once the hub says the same: of large files by it, of small ones by Git's own digest."""
    there = {f.path: f for f in api.list_repo_tree(repo, revision=branch, recursive=True) if hasattr(f, "blob_id")}
    found = {}
    for path in sorted(p for p in folder.rglob("*") if p.is_file() and p.relative_to(folder).as_posix() != CARD):
        name = path.relative_to(folder).as_posix()
        found[name] = file_sha256(path)
        kept = there.get(name)
        same = kept is not None and (kept.lfs.sha256 == found[name] if kept.lfs else kept.blob_id == _git_blob(path))
        if not same:
            what = "is not there" if kept is None else "is not what was sent"
            raise StoreError(f"{repo}@{branch}: '{name}' {what}; nothing was tagged", hint="push again: what is whole there is not sent twice")
    return found


def _git_blob(path: Path) -> str:
    data = path.read_bytes()
    return hashlib.sha1(f"blob {len(data)}\0".encode() + data, usedforsecurity=False).hexdigest()


@contextmanager
def _refusals(repo: str) -> Iterator[None]:
    """What a hub or the network says, in one sentence."""
    import httpx
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalTokenNotFoundError

    try:
        yield
    except HFValidationError as error:
        raise UserError(f"'{repo}' is no name of a repository", hint="write NAMESPACE/NAME") from error
    except LocalTokenNotFoundError as error:
        raise UserError("no token for the hub", hint="`hf auth login`, or set HF_TOKEN") from error
    except HfHubHTTPError as error:
        said = (str(error).strip().splitlines() or [type(error).__name__])[0][:300]
        raise UserError(f"the hub refuses: {said}", where=repo, hint="see that the token may write there (`hf auth whoami`)") from error
    except httpx.HTTPError as error:
        raise UserError(f"the hub cannot be reached: {type(error).__name__} {error}", where=repo, hint="push again: what is there is not sent twice") from error
