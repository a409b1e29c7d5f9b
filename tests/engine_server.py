"""A server that does what specsci uses of vLLM's, with real models: adapters loaded and let go, next-token log-probabilities, answers by token
ids; and the faults that such servers have had."""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import torch

from specsci.models.hf import load_model


@dataclass
class EngineServer:
    """Start it with `with`; `url` is its address.

    Attributes:
        base: the name of the base.
        folder: its artefact, asked for when it is needed.
        fault: `wrong` (every adapter is the first one), `base` (adapters do nothing), `reload` (one that is loaded again does nothing), `mixed`
            (an adapter is the other one where both are asked in turn), `unlisted`, `no log-probabilities`, `no ids`, `prose`, `500 on answers`.
        run: what its metrics say of when it began.
    """

    base: str
    folder: Callable[[], Path]
    fault: str = ""
    run: str = "1.5e9"
    calls: Counter[str] = field(default_factory=Counter)
    asked: Counter[str] = field(default_factory=Counter)

    def __enter__(self) -> EngineServer:
        self.models: dict[str, Any] = {}
        self.places: dict[str, Path] = {}
        self.before: set[str] = set()
        self.last = ""
        self.lock = threading.Lock()
        outer = self

        class Many(ThreadingHTTPServer):
            request_queue_size = 256

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                outer.calls[self.path] += 1
                if outer.fault == "prose":
                    self._send(200, "Welcome.", "text/plain")
                elif self.path == "/v1/models":
                    listed = [{"id": outer.base, "max_model_len": 64}, *({"id": n, "parent": outer.base} for n in outer.places if outer.fault != "unlisted")]
                    self._send(200, json.dumps({"data": listed}))
                elif self.path == "/version":
                    self._send(200, json.dumps({"version": "0.32.0"}))
                elif self.path == "/metrics" and outer.run:
                    self._send(200, f"# HELP x\nprocess_start_time_seconds {outer.run}\n", "text/plain")
                else:
                    self._send(404, "{}")

            def do_POST(self) -> None:
                outer.calls[self.path] += 1
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                with outer.lock:
                    code, answer = outer.answer(self.path, body)
                self._send(code, answer if isinstance(answer, str) else json.dumps(answer))

            def _send(self, code: int, text: str, kind: str = "application/json") -> None:
                data = text.encode()
                self.send_response(code)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *more: Any) -> None:
                pass

        self.server = Many(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *more: object) -> None:
        self.server.shutdown()
        self.server.server_close()

    def answer(self, path: str, body: dict[str, Any]) -> tuple[int, Any]:
        name = body.get("lora_name", "")
        if path == "/v1/load_lora_adapter":
            if name in self.places:
                return 400, {"message": f"The lora adapter '{name}' has already been loaded."}
            if not (Path(body["lora_path"]) / "adapter_config.json").is_file():
                return 404, {"message": "No adapter found"}
            self.places[name] = Path(body["lora_path"])
            return 200, f"Success: LoRA adapter '{name}' added successfully."
        if path == "/v1/unload_lora_adapter":
            self.places.pop(name)
            self.models.pop(name, None)
            self.before.add(name)
            return 200, f"Success: LoRA adapter '{name}' removed successfully."
        return self.complete(body)

    def complete(self, body: dict[str, Any]) -> tuple[int, Any]:
        name, prompt, most = body["model"], body["prompt"], body["max_tokens"]
        if name != self.base and name not in self.places:
            return 404, {"error": {"message": f"The model `{name}` does not exist."}}
        self.asked[name] += 1
        probing = "logprobs" in body
        missing = {"top_k", "min_p", "repetition_penalty", "presence_penalty", "frequency_penalty"} - body.keys()
        if missing and not probing:
            return 400, {"error": {"message": f"not said: {sorted(missing)}"}}  # vLLM would take the model's own
        if self.fault == "500 on answers" and not probing:
            return 500, {"error": "EngineCore encountered an issue."}
        model = self._model(self._meant(name))
        ids: list[int] = []
        stops, top = set(body.get("stop_token_ids", ())), {}
        with torch.inference_mode():
            while len(ids) < most and not (ids and ids[-1] in stops):
                logits = model(input_ids=torch.tensor([prompt + ids])).logits[0, -1].log_softmax(-1)
                if probing:
                    values, tokens = logits.topk(body["logprobs"])
                    top = {f"token_id:{t}": v for t, v in zip(tokens.tolist(), values.tolist(), strict=True)}
                ids.append(int(logits.argmax()))
        choice: dict[str, Any] = {"index": 0, "text": "", "finish_reason": "stop" if ids[-1] in stops else "length"}
        if probing and self.fault != "no log-probabilities":
            choice["logprobs"] = {"top_logprobs": [top]}
        if body.get("return_token_ids") and self.fault != "no ids":
            choice["token_ids"] = ids
        return 200, {"choices": [choice]}

    def _meant(self, name: str) -> str:
        """The model that really answers under a name."""
        before, self.last = self.last, name
        if name == self.base:
            return name
        if self.fault == "base" or (self.fault == "reload" and name in self.before):
            return self.base
        if self.fault == "wrong":
            return next(iter(self.places))
        if self.fault == "mixed" and before in self.places:
            return before
        return name

    def _model(self, name: str) -> Any:
        if name not in self.models:
            trained = None if name == self.base else self.places[name].parent
            self.models[name] = load_model(self.folder(), trained).eval()
        return self.models[name]
