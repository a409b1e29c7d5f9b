"""The command line with stand-in actions, for tests of the machinery around them.

Plan, store, ledger, workers, results and signals are the real ones; a step takes milliseconds: it reads
its inputs, writes several files that depend on them and on its parameters, and sleeps between the files,
so that a kill may strike anywhere. A spawned worker imports this file again, and with it the actions.
Every step that runs appends its digest to $TOY_LOG; with $TOY_FAILS every step fails at its end. A runner is on a machine
of its own by $TOY_HOST, with its time of day off by $TOY_CLOCK_S; $TOY_LEASE_S is how long it lets others be silent.
"""

from __future__ import annotations

import hashlib
import os
import random
import socket
import sys
import time
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from specsci.core.context import StepContext
from specsci.core.kinds import KINDS
from specsci.store.ledger import LEDGERS

if host := os.environ.get("TOY_HOST"):
    socket.gethostname = lambda: host
if shift := float(os.environ.get("TOY_CLOCK_S", "0")):
    right = time.time
    time.time = lambda: right() + shift
if lease := os.environ.get("TOY_LEASE_S"):
    for kind in LEDGERS.values():
        kind.lease_s = float(lease)

if __name__ == "__mp_main__":
    torch = ModuleType("torch")
    torch.__dict__.update(set_num_threads=lambda count: None, get_num_threads=lambda: 1, __version__="none")
    sys.modules["torch"] = torch


def toy(context: StepContext) -> dict[str, Any]:
    """Write what a real step writes, as far as others read it."""
    pause = float(os.environ.get("TOY_PAUSE_S", "0.01"))
    if log := os.environ.get("TOY_LOG"):
        with Path(log).open("a") as lines:
            lines.write(f"{context.digest}\n")
    seen = hashlib.sha256(repr(sorted(context.params.items())).encode())
    for role in sorted(context.inputs):
        for path in sorted(p for p in context.inputs[role].rglob("*") if p.is_file() and p.name != "record.json"):
            seen.update(path.read_bytes())
    rng = random.Random(seen.hexdigest())
    for number in range(3):
        (context.out / "model").mkdir(exist_ok=True)
        (context.out / "model" / f"{number}.bin").write_bytes(rng.randbytes(int(os.environ.get("TOY_BYTES", "20000"))))
        time.sleep(pause)
        context.progress(number, 3)
    if os.environ.get("TOY_FAILS"):
        raise FileNotFoundError("what another took away")
    if context.kind == "score":
        rows = [_row(number, rng) for number in range(40)]
        pq.write_table(pa.Table.from_pylist(rows), context.out / "scores.parquet")
    if context.kind in ("midtrain", "align"):
        curve = [{"update": n, "tokens": n * 10, "loss": rng.random(), "learning_rate": 0.1} for n in range(4)]
        pq.write_table(pa.Table.from_pylist(curve), context.out / "curve.parquet")
    if context.kind == "probe":
        rows = [{"row": n, "tokens": 5, "nll": rng.random()} for n in range(6)]
        pq.write_table(pa.Table.from_pylist(rows), context.out / "nll.parquet")
    if context.kind == "items":
        texts = {k: "x" for k in ("cluster_id", "slice", "prompt", "aligned", "misaligned")}
        pq.write_table(
            pa.Table.from_pylist([{"item_id": f"i{n}", **texts} for n in range(40)]), context.out / "items.parquet"
        )
    if context.kind == "corpus":
        texts = {k: "x" for k in ("text", "spec_digest", "clause_id", "unit_id", "cell", "backend", "template_id")}
        rows = [{"row": n, "tokens": 3, "seed": 1, **texts} for n in range(5)]
        pq.write_table(pa.Table.from_pylist(rows), context.out / "rows.parquet")
    return {"tokens": 3}


def _row(number: int, rng: random.Random) -> dict[str, Any]:
    ok, margin = rng.random() > 0.1, rng.gauss(0, 1)
    return {
        "item_id": f"i{number}",
        "cluster_id": f"c{number // 4}",
        "slice": "",
        "readout": "logprob",
        "variant": "single",
        "sample": 0,
        "state": "ok" if ok else "error",
        "aligned": margin > 0 if ok else None,
        "value": margin if ok else None,
        "logprob_aligned": margin,
        "logprob_misaligned": 0.0,
    }


TOYS = {k.name: replace(k, action=f"{__name__}:toy") for k in list(KINDS)}

if __name__ != "toy_cli":
    KINDS.objects.update(TOYS)

if __name__ == "__main__":
    from specsci.cli.main import main

    main()
