"""A server of language models for tests: real HTTP, both vendors' interfaces, batches, and faults on command.

It answers by a function of the messages, honours idempotency keys, and counts what it would charge for.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

FAULTS = ("429", "429-after", "500", "529", "slow", "cut", "malformed", "truncate", "refuse", "geo", "usage", "empty", "hang up")
PAID_FAULTS = ("cut", "malformed", "truncate", "refuse", "geo", "usage", "slow", "empty")


def words(messages: list[dict[str, Any]]) -> str:
    """What it answers where a test says nothing else."""
    seed = hashlib.sha256(json.dumps(messages).encode()).hexdigest()
    return f"<content>Reply {seed}</content>"


@dataclass
class Batch:
    id: str
    requests: list[dict[str, Any]]
    created_at: float
    polls: int = 0
    ended: bool = False
    deleted: bool = False
    metadata: dict[str, str] = field(default_factory=dict)
    kind: str = "anthropic"


@dataclass
class ModelServer:
    """Start it with `with`; `url` is its address.

    Attributes:
        answer: messages to text.
        fault: what goes wrong with a call, by its number and key; "" for nothing.
        polls: how often a batch must be asked for before it has ended.
        paid: how often each key (idempotency key, or a batch's custom id) was charged.
        geo: what replies say of where they were computed; None for what was asked.
    """

    answer: Callable[[list[dict[str, Any]]], str] = words
    fault: Callable[[int, str], str] = lambda number, key: ""
    delay_s: float = 0.0
    polls: int = 1
    geo: str | None = None
    idempotent: bool = True
    batch_result: Callable[[str], str] = lambda key: ""
    after_create: Callable[[], None] = lambda: None
    paid: Counter = field(default_factory=Counter)
    calls: Counter = field(default_factory=Counter)
    bodies: list[dict[str, Any]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    batches: dict[str, Batch] = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict)
    kept: dict[str, tuple[int, dict[str, Any]]] = field(default_factory=dict)
    in_flight: int = 0
    most_in_flight: int = 0
    keep_bodies: bool = True
    models: list[str] = field(default_factory=list)
    by_model: Callable[[str, list[dict[str, Any]]], str] | None = None

    def __enter__(self) -> ModelServer:
        started = threading.Event()

        def serve() -> None:
            self.loop = asyncio.new_event_loop()
            asyncio.set_event_loop(self.loop)
            self.server = self.loop.run_until_complete(asyncio.start_server(self._connection, "127.0.0.1", 0, backlog=1024))
            self.port = self.server.sockets[0].getsockname()[1]
            started.set()
            self.loop.run_forever()

        self.thread = threading.Thread(target=serve, daemon=True)
        self.thread.start()
        assert started.wait(10)
        return self

    def __exit__(self, *_: Any) -> None:
        def end() -> None:
            self.server.close()
            for task in asyncio.all_tasks(self.loop):
                task.cancel()
            self.loop.call_later(0.05, self.loop.stop)

        self.loop.call_soon_threadsafe(end)
        self.thread.join(10)
        self.loop.close()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def requests_paid(self) -> int:
        return sum(self.paid.values())

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                first, *lines = head.decode("latin-1").split("\r\n")
                headers = {k.lower(): v.strip() for k, _, v in (line.partition(":") for line in lines if line)}
                body = await reader.readexactly(int(headers.get("content-length", 0)))
                method, target, _ = first.split(" ", 2)
                if not await self._respond(method, target, headers, body, writer):
                    break
        except (asyncio.IncompleteReadError, asyncio.CancelledError, ConnectionError):
            pass
        finally:
            writer.close()

    async def _respond(self, method: str, target: str, headers: dict[str, str], body: bytes, writer: asyncio.StreamWriter) -> bool:
        path, _, query = target.partition("?")
        self.calls[f"{method} {path.rsplit('/', 1)[-1] if 'batches/' not in path else 'batch'}"] += 1
        self.headers.append(headers)
        if method == "POST" and (path.endswith("/chat/completions") or path.endswith("/messages")):
            return await self._complete(path, headers, json.loads(body), writer)
        status, found, kind = self._other(method, path, query, headers, body)
        return _send(writer, status, found, kind)

    async def _complete(self, path: str, headers: dict[str, str], body: dict[str, Any], writer: asyncio.StreamWriter) -> bool:
        key = headers.get("idempotency-key", "")
        if self.keep_bodies:
            self.bodies.append(body)
        number = sum(v for k, v in self.calls.items() if k in ("POST completions", "POST messages"))
        fault = self.fault(number, key)
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        try:
            if self.delay_s or fault == "slow":
                await asyncio.sleep(self.delay_s + (1.0 if fault == "slow" else 0.0))
        finally:
            self.in_flight -= 1
        if fault == "hang up":
            return False
        if fault in ("429", "429-after", "500", "529", "401", "402", "400"):
            extra = {"retry-after": "0.2"} if fault == "429-after" else {}
            kinds = {"529": "overloaded_error", "401": "authentication_error", "402": "billing_error", "400": "invalid_request_error"}
            about = {"message": f"fault {fault} {headers.get('authorization', '')}", "type": kinds.get(fault, "error")}
            return _send(writer, int(fault[:3]), {"type": "error", "error": about}, extra=extra)
        if not (self.idempotent and key in self.kept):
            self.paid[key] += 1
        found = self.kept[key][1] if key and key in self.kept else self._reply(path, body, fault)
        if fault in ("cut", "malformed"):
            self.kept[key] = (200, self._reply(path, body, ""))
            text = json.dumps(found)
            if fault == "malformed":
                return _send(writer, 200, text[:-20] + "}}}", "application/json")
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 100000\r\n\r\n" + text[:40].encode())
            await writer.drain()
            return False
        self.kept[key] = (200, found)
        return _send(writer, 200, found)

    def _reply(self, path: str, body: dict[str, Any], fault: str) -> dict[str, Any]:
        messages = list(body["messages"])
        if body.get("system"):
            system = body["system"] if isinstance(body["system"], str) else body["system"][0]["text"]
            messages = [{"role": "system", "content": system}, *messages]
        text = "" if fault == "empty" else self.by_model(body["model"], messages) if self.by_model else self.answer(messages)
        given = sum(len(m["content"]) for m in messages) // 4
        out = len(text) // 4 + 1
        if fault == "usage":
            given, out = 10 * given + 100_000, out + 100_000
        if fault == "truncate":
            text = text[: len(text) // 2]
        if path.endswith("/messages"):
            stop = {"truncate": "max_tokens", "refuse": "refusal"}.get(fault, "end_turn")
            geo = "us" if fault == "geo" else self.geo if self.geo is not None else body.get("inference_geo", "global")
            return {
                "id": "msg_1", "type": "message", "role": "assistant", "model": body["model"],
                "content": [{"type": "text", "text": text}], "stop_reason": stop, "stop_sequence": None,
                "usage": {"input_tokens": given, "output_tokens": out, "inference_geo": geo},
            }  # fmt: skip
        stop = {"truncate": "length", "refuse": "content_filter"}.get(fault, "stop")
        return {
            "id": "c1", "object": "chat.completion", "created": int(time.time()), "model": body["model"],
            "choices": [{"index": 0, "finish_reason": stop, "message": {"role": "assistant", "content": text}}],
            "usage": {"prompt_tokens": given, "completion_tokens": out, "total_tokens": given + out},
        }  # fmt: skip

    def _other(self, method: str, path: str, query: str, headers: dict[str, str], body: bytes) -> tuple[int, Any, str]:
        parts = [p for p in path.split("/") if p]
        json_type = "application/json"
        if method == "GET" and path.endswith("/models"):
            return 200, {"object": "list", "data": [{"id": m, "object": "model", "created": 1, "owned_by": "x"} for m in self.models]}, json_type
        if method == "POST" and path.endswith("/files"):
            name = f"file-{len(self.files)}"
            self.files[name] = _part(body, headers)
            return 200, {"id": name, "object": "file", "bytes": len(body), "created_at": int(time.time()), "filename": "x",
                         "purpose": "batch", "status": "processed"}, json_type  # fmt: skip
        if "files" in parts and method == "GET":
            return 200, self.files.get(parts[parts.index("files") + 1], ""), "application/octet-stream"
        if "files" in parts and method == "DELETE":
            self.files.pop(parts[-1], None)
            return 200, {"id": parts[-1], "object": "file", "deleted": True}, json_type
        if method == "POST" and parts[-1] == "batches":
            batch = self._create(json.loads(body), anthropic="messages" in parts)
            self.after_create()
            return 200, self._facts(batch), json_type
        if method == "GET" and parts[-1] == "batches":
            for batch in self.batches.values():
                batch.polls += 1
                batch.ended = batch.ended or batch.polls >= self.polls + 2
            rows = [self._facts(b) for b in sorted(self.batches.values(), key=lambda b: -b.created_at) if not b.deleted]
            return 200, {"object": "list", "data": rows, "has_more": False, "first_id": None, "last_id": None}, json_type
        batch = self.batches.get(parts[parts.index("batches") + 1]) if "batches" in parts else None
        if batch is None or batch.deleted:
            return 404, {"type": "error", "error": {"type": "not_found_error", "message": "no such thing"}}, json_type
        if method == "DELETE":
            batch.deleted = True
            return 200, {"id": batch.id, "type": "message_batch_deleted"}, json_type
        if parts[-1] == "results":
            return 200, self._results(batch), "application/x-jsonl"
        batch.polls += 1
        batch.ended = batch.ended or batch.polls >= self.polls
        return 200, self._facts(batch), json_type

    def _create(self, body: dict[str, Any], *, anthropic: bool) -> Batch:
        if anthropic:
            requests = [{"key": r["custom_id"], "path": "/messages", "body": r["params"]} for r in body["requests"]]
            metadata = {}
        else:
            lines = [json.loads(line) for line in self.files[body["input_file_id"]].splitlines() if line.strip()]
            requests = [{"key": r["custom_id"], "path": "/chat/completions", "body": r["body"]} for r in lines]
            metadata = body.get("metadata") or {}
        batch = Batch(f"batch_{len(self.batches)}", requests, time.time(), metadata=metadata, kind="anthropic" if anthropic else "openai")
        batch.ended = self.polls == 0
        for request in requests:
            if self.batch_result(request["key"]) not in ("expired", "canceled", "errored"):
                self.paid[request["key"]] += 1
        self.batches[batch.id] = batch
        return batch

    def _facts(self, batch: Batch) -> dict[str, Any]:
        n = len(batch.requests)
        if batch.kind == "anthropic":
            stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(batch.created_at))
            counts = {"processing": 0 if batch.ended else n, "succeeded": n if batch.ended else 0, "errored": 0, "canceled": 0, "expired": 0}
            return {
                "id": batch.id, "type": "message_batch", "processing_status": "ended" if batch.ended else "in_progress",
                "request_counts": counts, "created_at": stamp, "expires_at": stamp, "ended_at": stamp if batch.ended else None,
                "archived_at": None, "cancel_initiated_at": None,
                "results_url": f"{self.url}/v1/messages/batches/{batch.id}/results" if batch.ended else None,
            }  # fmt: skip
        if batch.ended:
            self.files[f"{batch.id}-out"] = self._results(batch)
        return {
            "id": batch.id, "object": "batch", "endpoint": "/v1/chat/completions", "input_file_id": "file-0", "completion_window": "24h",
            "status": "completed" if batch.ended else "in_progress", "created_at": int(batch.created_at), "metadata": batch.metadata,
            "request_counts": {"total": n, "completed": n if batch.ended else 0, "failed": 0},
            "output_file_id": f"{batch.id}-out" if batch.ended else None,
        }  # fmt: skip

    def _results(self, batch: Batch) -> str:
        rows: list[dict[str, Any]] = []
        for request in batch.requests:
            fate = self.batch_result(request["key"])
            if fate == "missing":
                continue
            reply = self._reply(request["path"], request["body"], fate if fate in FAULTS else "")
            if batch.kind == "anthropic":
                result: dict[str, Any] = {"type": "succeeded", "message": reply}
                if fate in ("expired", "canceled"):
                    result = {"type": fate}
                if fate == "errored":
                    result = {"type": "errored", "error": {"type": "error", "error": {"type": "api_error", "message": "x"}}}
                row = {"custom_id": request["key"], "result": result}
            else:
                row = {"id": "r", "custom_id": request["key"], "response": {"status_code": 200, "body": reply}, "error": None}
                if fate in ("expired", "canceled"):
                    code = {"expired": "batch_expired", "canceled": "batch_cancelled"}[fate]
                    row |= {"response": None, "error": {"code": code, "message": "x"}}
                if fate == "errored":
                    row |= {"response": {"status_code": 500, "body": {}}, "error": None}
            rows += [row, row] if fate == "twice" else [row]
        random.Random(batch.id).shuffle(rows)
        return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def _part(body: bytes, headers: dict[str, str]) -> str:
    """The file of a multipart upload."""
    boundary = headers["content-type"].split("boundary=")[1].strip('"').encode()
    for part in body.split(b"--" + boundary):
        head, _, content = part.partition(b"\r\n\r\n")
        if b'name="file"' in head:
            return content.removesuffix(b"\r\n").decode()
    raise AssertionError("no file was sent")


def _send(writer: asyncio.StreamWriter, status: int, found: Any, kind: str = "application/json", extra: dict[str, str] | None = None) -> bool:
    content = (found if isinstance(found, str) else json.dumps(found)).encode()
    lines = [f"HTTP/1.1 {status} X", f"content-type: {kind}", f"content-length: {len(content)}"]
    lines += [f"{k}: {v}" for k, v in (extra or {}).items()]
    writer.write("\r\n".join(lines).encode() + b"\r\n\r\n" + content)
    return True
