"""Requests to a language model: throughput with the ledger on a disk, against a bare asyncio client of the same SDK.

The server is a process of its own and takes half a second for a reply, as a fast model behind 64 connections does.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.common import Options, Result, Row

CONNECTIONS, REQUESTS, DELAY_S, LEAST = 64, 1500, 0.5, 0.9
sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))


def _serve(connection) -> None:
    from model_server import ModelServer

    with ModelServer(delay_s=DELAY_S, answer=lambda messages: "<content>" + "word " * 600 + "</content>", keep_bodies=False) as server:
        connection.send(server.url)
        connection.recv()


async def _bare(url: str, count: int) -> None:
    import openai

    client = openai.AsyncOpenAI(api_key="none", base_url=f"{url}/v1", max_retries=0)
    gate = asyncio.Semaphore(CONNECTIONS)

    async def one(number: int) -> None:
        async with gate:
            await client.chat.completions.create(
                model="m", messages=[{"role": "system", "content": "The spec."}, {"role": "user", "content": f"bare {number}"}], max_tokens=2000
            )

    await asyncio.gather(*(one(n) for n in range(count)))
    await client.close()


def run(options: Options) -> Result:
    """Requests per second of both, in turn, and their ratio."""
    from specsci.generate.client import Client
    from specsci.generate.request import Message
    from specsci.generate.settings import GeneratorSettings

    here, there = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=_serve, args=(there,), daemon=True)
    process.start()
    url = here.recv()
    asyncio.run(_bare(url, CONNECTIONS))  # imports and connections
    rates: dict[str, list[float]] = {"bare": [], "ours": []}
    settings = GeneratorSettings(
        backend="openai", model="m", base_url=f"{url}/v1", connections=CONNECTIONS, max_tokens=2000, max_usd=1000, price={"input": 1, "output": 2}
    )
    with tempfile.TemporaryDirectory(dir=".") as folder:
        for turn in range(3):
            begin = time.perf_counter()
            asyncio.run(_bare(url, REQUESTS))
            rates["bare"].append(REQUESTS / (time.perf_counter() - begin))
            with Client(Path(folder), f"study{turn}", "writer", settings) as client:
                wanted = [client.request([Message("system", "The spec."), Message("user", f"ours {turn} {n}")]) for n in range(REQUESTS)]
                begin = time.perf_counter()
                found = client.ask(wanted)
                rates["ours"].append(REQUESTS / (time.perf_counter() - begin))
                assert len(found) == REQUESTS
    here.send("end")
    process.join(10)
    bare, ours = (sorted(rates[name])[1] for name in ("bare", "ours"))
    what = f"{REQUESTS:,} requests, {CONNECTIONS} connections, a reply in {DELAY_S} s, every request and reply in the ledger"
    row = Row(what, f"{ours:.1f}/s", ">= 90 % of the peer", ours >= LEAST * bare, f"bare asyncio client {bare:.1f}/s", f"{ours / bare:.2f}")
    return Result([row], ["The middle of three turns each, in turn; the server is a process of its own on this machine."])
