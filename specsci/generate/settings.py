"""What a study says of a language model that writes, revises or judges: `generators:`."""

from __future__ import annotations

import os
from typing import Any, Literal
from urllib.parse import urlsplit

from pydantic import Field, field_validator, model_validator

from specsci.core.errors import UserError, nearest
from specsci.core.yaml_file import Strict
from specsci.generate.backend import BACKENDS

LOOPBACK = ("localhost", "127.0.0.1", "::1")
LOCAL: Literal["local"] = "local"
ANY: Literal["any"] = "any"
RESERVED = ("model", "messages", "max_tokens", "max_completion_tokens", "stream", "n", "inference_geo", "system", "extra_body")
"""Arguments that have a key of their own, or that would change what a reply is."""


class Price(Strict):
    """US dollars for a million tokens of one model."""

    input: float = Field(ge=0, description="US dollars for a million input tokens.")
    output: float = Field(ge=0, description="US dollars for a million output tokens.")
    cache_write: float | None = Field(
        default=None, ge=0, description="US dollars for a million tokens written to the prompt cache; the input price by default."
    )
    cache_read: float | None = Field(
        default=None, ge=0, description="US dollars for a million tokens read from the prompt cache; the input price by default."
    )
    batch_factor: float = Field(default=0.5, gt=0, le=1, description="What a batch costs of the online price, from 0 to 1.")
    us_factor: float = Field(default=1.0, ge=1, description="What a request with `residency: us` costs of the usual price.")
    long_from_tokens: int | None = Field(
        default=None, ge=1, description="Input tokens of a request above which `long_factor` applies; none by default."
    )
    long_factor: float = Field(default=1.0, ge=1, description="What a long request costs of the usual price.")


class GeneratorSettings(Strict):
    """A language model by its backend, with the limits of what it may spend and where it may run."""

    backend: str = Field(description="The backend: `openai` (any compatible server), `anthropic`, `vllm`, `hf`, or `microlab` (a judge of the toy world).")
    model: str = Field(min_length=1, description="The model, by the name that the backend knows it by, or a directory for `hf` and `vllm`.")
    provider: str = Field(
        default="",
        description="Who answers, as part of every request's identity; by default the host of `base_url`, else the backend.",
    )
    base_url: str = Field(default="", description="The server's address, such as http://localhost:8000/v1; the vendor's own by default.")
    base_url_env: str = Field(
        default="",
        pattern=r"[A-Za-z_][A-Za-z0-9_]*|",
        description="The environment variable that holds the server's address, for one that changes from run to run; name `provider` too.",
    )
    api_key_env: str = Field(
        default="",
        pattern=r"[A-Za-z_][A-Za-z0-9_]*|",
        description="The environment variable that holds the API key; the vendor's usual one by default. Keys are never written down.",
    )
    mode: Literal["online", "batch"] = Field(default="online", description="Requests one by one (`online`), or as batches, which cost less.")
    max_usd: float | None = Field(
        default=None, gt=0, description="The most US dollars that this generator may cost in this study; needed where a price is not 0."
    )
    price: Price | None = Field(default=None, description="What the model costs, where the shipped price file lacks it or is out of date.")
    residency: Literal["us", "global", "local", "any"] = Field(
        default=ANY,
        description="Where requests may be computed: `us`, `global`, `local` (this machine or network), or `any`. Part of every "
        "request's identity, and compared with what the reply says.",
    )
    host_residency: Literal["us", "global", "local"] | None = Field(
        default=None,
        description="Where the server computes, as you know it, for servers whose replies do not say; this machine is `local`.",
    )
    retention: Literal["standard", "short", "zdr"] = Field(
        default="standard",
        description="How long the provider may keep requests: as usual (`standard`), batches until their results are stored "
        "(`short`), or not at all (`zdr`, zero data retention, which your account must have; batches are then refused).",
    )
    max_tokens: int = Field(default=4096, ge=1, description="The longest reply, in tokens; a reply that reaches it is not used.")
    params: dict[str, Any] = Field(
        default_factory=dict, description="Further named arguments of the call, such as `temperature`; part of every request's identity."
    )
    extra_body: dict[str, Any] = Field(
        default_factory=dict, description="Further fields of the request's body, for servers that take some; part of every request's identity."
    )
    headers: dict[str, str] = Field(default_factory=dict, description="Further HTTP headers, without secrets.")
    prompt_cache: Literal["off", "5m", "1h"] = Field(
        default="off", description="Whether the system message is marked for the provider's prompt cache, and for how long."
    )
    connections: int = Field(default=32, ge=1, le=1024, description="The most requests in flight at once.")
    attempts: int = Field(default=6, ge=1, le=50, description="How often a request is sent where the connection or the server fails.")
    timeout_s: float | None = Field(
        default=None, gt=0, description="Seconds that a request may take; by default from the time that earlier ones took."
    )
    wait_min: float = Field(
        default=10, ge=0, description="Minutes to wait for batches before a run ends as not finished; the same command collects them later."
    )
    batch_requests: int = Field(default=5000, ge=1, le=50_000, description="The most requests of one batch.")
    engine: dict[str, Any] = Field(
        default_factory=dict, description="Settings of a local engine: `batch_sequences` and `dtype` for `hf`; arguments of `LLM` for `vllm`."
    )

    @field_validator("backend")
    @classmethod
    def _known(cls, name: str) -> str:
        if name not in BACKENDS:
            raise ValueError(f"no backend of that name; {nearest(name, BACKENDS.objects)}")
        return name

    @field_validator("base_url")
    @classmethod
    def _address(cls, url: str) -> str:
        parts = urlsplit(url)
        if url and (parts.scheme not in ("http", "https") or not parts.hostname):
            raise ValueError("must begin with http:// or https:// and name a host")
        if parts.username or parts.password or parts.query:
            raise ValueError("must hold no user, password or query: keys come from the environment variable of api_key_env")
        return url

    @field_validator("params", "extra_body")
    @classmethod
    def _not_reserved(cls, given: dict[str, Any]) -> dict[str, Any]:
        for name in given:
            if name in RESERVED:
                raise ValueError(f"'{name}' has a key of its own in the generator, or cannot be set")
        return given

    @field_validator("headers")
    @classmethod
    def _no_secret(cls, given: dict[str, str]) -> dict[str, str]:
        for name in given:
            if any(part in name.lower() for part in ("authorization", "api-key", "apikey", "token", "secret", "cookie")):
                raise ValueError(f"'{name}' looks like a secret: keys come from the environment variable of api_key_env")
        return given

    @model_validator(mode="after")
    def _routes(self) -> GeneratorSettings:
        backend = BACKENDS[self.backend]
        if self.mode == "batch" and not backend.batches:
            raise ValueError(f"the backend '{self.backend}' has no batches: write mode: online")
        if self.mode == "batch" and self.retention == "zdr":
            raise ValueError("batches are kept by the provider and are not eligible for zero data retention: write mode: online")
        if (self.base_url or self.base_url_env) and not backend.sends_out:
            raise ValueError(f"the backend '{self.backend}' runs on this machine and takes no base_url")
        if self.base_url_env and (self.base_url or not self.provider):
            raise ValueError("base_url_env stands for base_url, and needs `provider`: a name for whoever answers there")
        backend.check(self)
        return self

    @property
    def address(self) -> str:
        """The server's address; empty for the vendor's own.

        Raises:
            UserError: the environment variable that should hold it does not, or holds no address.
        """
        if not self.base_url_env:
            return self.base_url
        found = os.environ.get(self.base_url_env, "")
        if urlsplit(found).scheme not in ("http", "https") or not urlsplit(found).hostname:
            said = "is not set" if not found else "holds no address that begins with http:// or https://"
            raise UserError(f"the environment variable {self.base_url_env} {said}", hint=f"export {self.base_url_env}=http://...")
        return found

    @property
    def host(self) -> str:
        """The server's host; empty where the vendor's own is used."""
        return urlsplit(self.address).hostname or ""

    @property
    def is_here(self) -> bool:
        """Whether requests stay on this machine."""
        return not BACKENDS[self.backend].sends_out or self.host in LOOPBACK

    @property
    def who(self) -> str:
        """The provider, as part of identities."""
        return self.provider or (LOCAL if self.is_here else self.host) or self.backend

    def identity(self) -> dict[str, Any]:
        """What decides its replies beside the messages."""
        return {
            "backend": self.backend,
            "provider": self.who,
            "model": self.model,
            "max_tokens": self.max_tokens,
            "params": {**self.params, **({"extra_body": self.extra_body} if self.extra_body else {})},
            "residency": self.residency,
            "retention": self.retention,
        }
