"""Data sets of a hub: resolved to a commit, fetched, and read row by row by the library `datasets`."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from specsci.core.errors import UserError
from specsci.core.extras import need
from specsci.sources.hub.names import HubModel

CARD = "README.md"
DATA = ("*.parquet", "*.jsonl", "*.ndjson", "*.json", "*.csv", "*.gz", "*.zst")
"""What is fetched of a data set: data, and no code."""
_STREAMED: list[str] = []
"""Data sets that this process has read."""


def was_streamed() -> bool:
    """Whether this process has read a data set. Threads of Arrow may then read ahead until it ends, and abort an orderly end (apache/arrow 45214)."""
    return bool(_STREAMED)


@dataclass(frozen=True)
class DataSet:
    """A data set at a commit, and where its files lie on this machine."""

    name: str
    commit: str
    folder: Path
    licence: str

    @property
    def source(self) -> str:
        """Its name with its commit."""
        return f"hub:{self.name}@{self.commit}"


def fetch_data_set(wanted: HubModel, files: tuple[str, ...] = ()) -> DataSet:
    """A data set's files (patterns; all data by default), fetched where they are missing.

    Raises:
        UserError: it cannot be resolved or fetched.
        MissingDependencyError: the library is not installed.
    """
    need("huggingface_hub", "the import of data sets")
    from huggingface_hub import HfApi, snapshot_download
    from huggingface_hub.utils.tqdm import disable_progress_bars

    if not sys.stderr.isatty():
        disable_progress_bars()
    try:
        commit = wanted.revision if wanted.pinned else str(HfApi().dataset_info(wanted.name, revision=wanted.revision or None).sha)
        folder = snapshot_download(wanted.name, repo_type="dataset", revision=commit, allow_patterns=[*(files or DATA), CARD])
    except Exception as error:
        raise UserError(
            f"the data set hub:{wanted.name} cannot be fetched: {str(error).splitlines()[0]}",
            hint="check the name, the network and HF_HUB_OFFLINE; a private one needs `hf auth login`",
        ) from error
    return DataSet(wanted.name, commit, Path(folder), _licence(Path(folder)))


def _licence(folder: Path) -> str:
    import yaml
    from huggingface_hub import DatasetCard

    try:
        told = DatasetCard.load(folder / CARD).data.to_dict().get("license", "")
    except (OSError, ValueError, TypeError, AttributeError, yaml.YAMLError):  # no card, or none that can be read
        return ""
    return ", ".join(map(str, told)) if isinstance(told, list) else str(told or "")


def data_set_rows(path: Path, config: str | None, split: str) -> Iterator[dict[str, Any]]:
    """The rows of a fetched data set, or of a file that is neither JSON Lines nor Parquet.

    Raises:
        UserError: there is no such configuration or split, or the files cannot be read.
        MissingDependencyError: the library is not installed.
    """
    need("datasets", "the import of data sets")
    from datasets import load_dataset, logging

    logging.set_verbosity_error()
    _STREAMED.append(str(path))
    rows: Any = None
    try:
        rows = iter(load_dataset(str(path), name=config, split=split, streaming=True))
        for row in rows:
            yield dict(row)
    except GeneratorExit:
        raise
    except Exception as error:
        said = " ".join(str(error).split())[:300] or type(error).__name__
        raise UserError(f"the data set cannot be read: {said}", hint="name another --config or --split, or its files with --files") from error
    finally:
        if rows is not None:
            rows.close()
