"""The requests behind an artefact, one row each: what they were for, what they took, and where they were computed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from specsci.generate.client import Client
from specsci.generate.request import ModelRequest, Reply

FILE = "requests.parquet"
TEXTS = (
    "request_digest", "generator", "backend", "provider", "model", "answered_by", "mode", "residency", "computed_in", "retention", "state", "reason",
)  # fmt: skip
NUMBERS = ("input_tokens", "output_tokens", "cache_write_tokens", "cache_read_tokens", "sample")
FLOATS = ("usd", "latency_s")
ABOUT = ("purpose", "variant", "clause_id", "doc_type", "framing")


def write_none(folder: Path) -> None:
    """Write the table of an artefact that needed no request."""
    _write({name: [] for name in (*ABOUT, *TEXTS)}, {name: [] for name in NUMBERS}, {name: [] for name in FLOATS}, folder)


def write_requests(client: Client, asked: Iterable[tuple[ModelRequest, Reply | None]], folder: Path) -> None:
    """Write one row for every request that an artefact needed, without its texts."""
    settings, rows = client.settings, list(asked)
    none = [r is None for _, r in rows]
    texts: dict[str, list[str]] = {name: [q.about.get(name, "") for q, _ in rows] for name in ABOUT}
    texts |= {
        "request_digest": [q.digest for q, _ in rows],
        "generator": [client.name] * len(rows),
        "backend": [settings.backend] * len(rows),
        "provider": [q.provider for q, _ in rows],
        "model": [q.model for q, _ in rows],
        "answered_by": [r.model if r else "" for _, r in rows],
        "mode": [settings.mode] * len(rows),
        "residency": [q.residency for q, _ in rows],
        "computed_in": [r.residency if r else "" for _, r in rows],
        "retention": [q.retention for q, _ in rows],
        "state": [r.state if r else "error" for _, r in rows],
        "reason": [r.error if r else "" for _, r in rows],
    }
    usages = [r.usage.as_dict() if r else {} for _, r in rows]
    numbers = {name: [u.get(name) for u in usages] for name in NUMBERS[:-1]} | {"sample": [q.sample for q, _ in rows]}
    floats = {
        "usd": [None if missing or r is None else r.usd for (_, r), missing in zip(rows, none, strict=True)],
        "latency_s": [None if r is None else r.latency_s for _, r in rows],
    }
    _write(texts, numbers, floats, folder)


def _write(texts: Mapping[str, list[str]], numbers: Mapping[str, list[Any]], floats: Mapping[str, list[Any]], folder: Path) -> None:
    table = pa.table(
        {
            **{k: pa.array(v, pa.string()) for k, v in texts.items()},
            **{k: pa.array(v, pa.int64()) for k, v in numbers.items()},
            **{k: pa.array(v, pa.float64()) for k, v in floats.items()},
        }
    )
    pq.write_table(table, folder / FILE, compression="zstd")
