"""The `vllm` backend: an offline engine in its own process, prefix caching on, requests sorted by what they begin with."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from threading import Thread
from typing import IO, TYPE_CHECKING, Any

from typing_extensions import override

from specsci.core.errors import StepFailed, UserError
from specsci.core.extras import need
from specsci.generate.backend import Backend, Engine
from specsci.generate.backends.sdk import clean
from specsci.generate.request import ModelRequest, Reply, ReplyState, Usage

if TYPE_CHECKING:
    from specsci.generate.settings import GeneratorSettings

SCRIPT = Path(__file__).with_name("engine.py")
STATES: dict[str, ReplyState] = {"stop": "ok", "length": "truncated"}
PARAMS = ("temperature", "top_p", "top_k", "min_p", "repetition_penalty", "presence_penalty", "frequency_penalty", "stop")
PYTHON = "python"
LAST_WORDS = 400


class VLLMEngine(Engine):
    """One vLLM engine; it is started at the first request, and ends with this session."""

    def __init__(self, settings: GeneratorSettings) -> None:
        self.settings = settings
        self.process: subprocess.Popen[str] | None = None

    def _started(self) -> subprocess.Popen[str]:
        if self.process is None:
            engine = {k: v for k, v in self.settings.engine.items() if k != PYTHON}
            python = str(self.settings.engine.get(PYTHON, sys.executable))
            try:
                self.process = subprocess.Popen(
                    [python, str(SCRIPT)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, encoding="utf-8"
                )
            except OSError as error:
                raise UserError(f"the engine's Python cannot be started: {error}", hint="set engine.python") from error
            self._send([{"model": self.settings.model, "engine": engine}])
            self._line()
        return self.process

    def _send(self, rows: list[dict[str, Any]]) -> None:
        assert self.process is not None
        assert self.process.stdin is not None
        _write(self.process.stdin, rows)

    def _line(self) -> dict[str, Any]:
        assert self.process is not None
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            code = self.process.wait()
            raise StepFailed(f"the vLLM engine ended with {code}", hint="its last words are in the log of this step")
        try:
            found: dict[str, Any] = json.loads(line)
        except ValueError as error:
            raise StepFailed(f"the vLLM engine said what is no reply: {line[:LAST_WORDS]!r}", hint="see the log of this step") from error
        return found

    @override
    def replies(self, requests: Iterable[ModelRequest]) -> Iterator[tuple[str, Reply]]:
        process = self._started()
        assert process.stdin is not None
        ordered = sorted(requests, key=lambda r: (r.system, r.chat[-1]["content"], r.digest))
        rows = [
            {"digest": r.digest, "messages": r.chat, "max_tokens": r.max_tokens, "params": dict(r.params)} for r in ordered
        ]
        writer = Thread(target=_write, args=(process.stdin, rows, True), daemon=True)
        writer.start()  # reading goes on meanwhile: two full pipes would wait for each other
        for _ in ordered:
            found = self._line()
            yield found["digest"], self._reply(found)
        writer.join()

    def _reply(self, found: dict[str, Any]) -> Reply:
        stop = str(found["stop"] or "")
        state = STATES.get(stop, "error")
        return Reply(
            state=state,
            text=clean(found["text"]).strip(),
            stop=stop,
            usage=Usage(found["input_tokens"], found["output_tokens"], 0, found["cache_read_tokens"]),
            model=self.settings.model,
            residency="local",
            error="" if state != "error" else f"the engine ended with '{stop or 'no reason'}'",
        )

    @override
    async def close(self) -> None:
        if self.process is None:
            return
        assert self.process.stdin is not None
        self.process.stdin.close()
        try:
            self.process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        if self.process.stdout is not None:
            self.process.stdout.close()


def _write(stream: IO[str], rows: list[dict[str, Any]], end: bool = False) -> None:
    """Rows as JSON Lines; an empty line says that no more come for now."""
    try:
        for row in rows:
            stream.write(json.dumps(row) + "\n")
        if end:
            stream.write("\n")
        stream.flush()
    except (BrokenPipeError, ValueError):
        return  # the engine ended: who reads its replies sees that


class VLLMBackend(Backend):
    """vLLM's offline engine."""

    name = "vllm"
    sends_out = False
    reports_residency = True

    @override
    def check(self, settings: GeneratorSettings) -> None:
        for name in settings.params:
            if name not in PARAMS:
                raise ValueError(f"'{name}' is no setting of params here: {', '.join(PARAMS)}")
        if settings.residency not in ("any", "local"):
            raise ValueError(f"the backend 'vllm' runs here: residency is local, not {settings.residency}")

    @override
    def open(self, settings: GeneratorSettings) -> VLLMEngine:
        if PYTHON not in settings.engine:
            need("vllm", "the backend 'vllm'")
        return VLLMEngine(settings)


BACKEND = VLLMBackend()
