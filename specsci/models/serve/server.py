"""A vLLM server of one base model, as far as specsci uses it: adapters, next-token log-probabilities, and answers by token ids."""

from __future__ import annotations

import re
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

from specsci.core.errors import StepFailed
from specsci.core.extras import need
from specsci.core.ids import digest

CONNECTIONS = 64
TIMEOUT_S = 600.0
TOP = 5
"""Log-probabilities that a server is asked for at once; vLLM allows 20 by default."""
_STARTED = re.compile(r"^process_start_time_seconds (\S+)", re.MULTILINE)
START = "start it with `specsci model serve STUDY`, and run the study again"
NEUTRAL = {"top_k": 0, "min_p": 0.0, "repetition_penalty": 1.0, "presence_penalty": 0.0, "frequency_penalty": 0.0}
"""Said with every request: what is left out, vLLM takes from the generation settings that came with the model."""
TopLogprobs = dict[int, float]
"""Token id to log-probability, of the most probable tokens."""


@dataclass
class Server:
    """A server at an address; every method raises StepFailed where it does not answer as a vLLM server does."""

    url: str
    api_key: str = ""
    _client: Any = field(default=None, repr=False)

    def __post_init__(self) -> None:
        """One spelling of one address, since locks and marks go by it."""
        root = self.url.rstrip("/").removesuffix("/v1").rstrip("/")
        scheme, mark, rest = root.partition("://")
        host, slash, path = rest.partition("/")
        name, colon, port = host.rpartition(":") if host.rpartition(":")[2].isdigit() else (host, "", "")
        name = {"localhost": "127.0.0.1"}.get(name.lower(), name.lower())
        self.url = f"{scheme.lower()}{mark}{name}{colon}{port}{slash}{path}"

    def __enter__(self) -> Server:
        need("httpx", "a served model")
        import httpx

        headers = {"Authorization": f"Bearer {self.api_key}"} if self.api_key else {}
        limits = httpx.Limits(max_connections=CONNECTIONS)
        self._client = httpx.Client(base_url=self.url, headers=headers, timeout=TIMEOUT_S, limits=limits, trust_env=False)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._client.close()

    def _call(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        import httpx

        try:
            answer = self._client.request(method, path, json=body)
        except httpx.HTTPError as error:
            raise StepFailed(f"the engine at {self.url} does not answer ({type(error).__name__})", hint=START) from error
        if answer.status_code >= 400:
            said = " ".join(answer.text.split())[:300]
            raise StepFailed(f"the engine at {self.url} answers {answer.status_code} to {path}: {said}", hint="look at the engine's log")
        return answer

    def _json(self, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        answer = self._call(method, path, body)
        try:
            found = answer.json()
        except ValueError as error:
            raise StepFailed(f"the engine at {self.url} answers {path} with no JSON", hint="is it a vLLM server?") from error
        if not isinstance(found, dict):
            raise StepFailed(f"the engine at {self.url} answers {path} with no object", hint="is it a vLLM server?")
        return found

    def models(self) -> dict[str, dict[str, Any]]:
        """What is served, by name: `parent` of an adapter is the base's name, `max_model_len` the positions of a base."""
        return {str(m.get("id")): m for m in self._json("GET", "/v1/models").get("data", []) if isinstance(m, dict)}

    def version(self) -> str:
        """The version of vLLM."""
        return str(self._json("GET", "/version").get("version", "unknown"))

    def started(self) -> str:
        """When the server's process began, which tells one run of it from another; empty where it does not say."""
        try:
            found = _STARTED.search(self._call("GET", "/metrics").text)
        except StepFailed:
            return ""
        return found[1] if found else ""

    def load(self, name: str, adapter: Path) -> None:
        """Load an adapter from a directory that the server can read."""
        try:
            self._call("POST", "/v1/load_lora_adapter", {"lora_name": name, "lora_path": str(adapter)})
        except StepFailed as error:
            raise StepFailed(f"an adapter cannot be loaded: {error.what}", hint=f"{START}; it then takes adapters, and must be able to read this store's disk") from error

    def unload(self, name: str) -> None:
        """Let an adapter go."""
        self._call("POST", "/v1/unload_lora_adapter", {"lora_name": name})

    def next_tokens(self, asked: Sequence[tuple[str, Sequence[int]]]) -> list[TopLogprobs]:
        """The most probable next tokens of (model, prompt ids) pairs, all of them in flight at once, so that models share batches."""
        return self._each(lambda one: self._next(*one), asked)

    def _next(self, model: str, prompt: Sequence[int]) -> TopLogprobs:
        body = {
            "model": model, "prompt": list(prompt), "max_tokens": 1, "temperature": 0.0, "logprobs": TOP, "return_tokens_as_token_ids": True,
        }  # fmt: skip
        choice = self._choice(body)
        try:
            top = choice["logprobs"]["top_logprobs"][0]
            return {int(token.removeprefix("token_id:")): float(value) for token, value in top.items()}
        except (KeyError, TypeError, IndexError, ValueError, AttributeError) as error:
            raise StepFailed(f"the engine at {self.url} gives no log-probabilities", hint="take vLLM 0.30 or newer") from error

    def generate(self, model: str, prompts: Sequence[Sequence[int]], seeds: Sequence[str], params: dict[str, Any], stops: Sequence[int]) -> list[list[int]]:
        """The tokens of answers to prompts of token ids, the token that ended each included; drawn ones by a seed of their own, whatever shares their batch."""

        def one(asked: tuple[Sequence[int], str]) -> list[int]:
            prompt, seed = asked
            drawn = {"temperature": params["temperature"], "top_p": params.get("top_p", 1.0), "seed": int(digest(seed)[:7], 16)} if params["temperature"] else {"temperature": 0.0}
            body = {
                **NEUTRAL, "model": model, "prompt": list(prompt), "max_tokens": params["max_tokens"], "stop_token_ids": list(stops), "return_token_ids": True,
                "skip_special_tokens": False, **drawn,
            }  # fmt: skip
            ids = self._choice(body).get("token_ids")
            if not isinstance(ids, list) or not all(isinstance(token, int) for token in ids):
                raise StepFailed(f"the engine at {self.url} gives no token ids", hint="take vLLM 0.30 or newer")
            return ids

        return self._each(one, list(zip(prompts, seeds, strict=True)))

    def _choice(self, body: dict[str, Any]) -> dict[str, Any]:
        choices = self._json("POST", "/v1/completions", body).get("choices")
        if not isinstance(choices, list) or len(choices) != 1 or not isinstance(choices[0], dict):
            raise StepFailed(f"the engine at {self.url} gives no answer", hint="look at the engine's log")
        found: dict[str, Any] = choices[0]
        return found

    @staticmethod
    def _each(ask: Any, things: Sequence[Any]) -> list[Any]:
        with ThreadPoolExecutor(max_workers=max(1, min(CONNECTIONS, len(things)))) as pool:
            return list(pool.map(ask, things))
