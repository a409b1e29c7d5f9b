"""The toy world's bases as a model source: it registers itself, and nothing else knows its prefix."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from specsci.core.context import Facts, StepContext
from specsci.core.errors import StepFailed, UserError, nearest
from specsci.core.user_files import shown_name
from specsci.sources.source import BaseFacts, ModelSource, Registered, Said

PREFIX = "microlab:"
REGISTRY = Path(__file__).parent / "bases" / "registry.json"


def registry() -> dict[str, Any]:
    """The shipped bases by `WORLD/SEED`, with digests of weights and tokenizer and training records."""
    data: dict[str, Any] = json.loads(REGISTRY.read_text(encoding="utf-8"))
    return data


class Microlab(ModelSource):
    """Toy models of about 0.7 M parameters with the toy world that they were trained in."""

    prefix = PREFIX
    example = "microlab:WORLD/SEED"
    disclaimer = (
        "The microlab is a designed toy world of 0.7M-parameter models: it exercises the whole method and says "
        "nothing about large models."
    )
    registered = Registered()

    def facts(self, name: str, study_folder: Path) -> BaseFacts:
        """A shipped base's identity, from the registry; raises UserError where it has none of that name."""
        known, short = registry(), name.removeprefix(PREFIX)
        if short not in known["bases"]:
            raise UserError(
                f"no shipped microlab base '{shown_name(short)}'", hint=nearest(shown_name(short), known["bases"])
            )
        record, world = known["bases"][short], short.split("/")[0]
        return BaseFacts(
            base={"source": name, "weights_sha256": record["weights_sha256"]},
            tokenizer={"microlab": world, "digest": known["tokenizers"][world]},
            parameters=record["parameters"],
        )

    def license(self, name: str) -> str:
        """That of specsci, whose own bases these are."""
        return "apache-2.0"

    def made(self, params: dict[str, Any]) -> bool:
        """Whether the params of a `base` or `tokenizer` step name the microlab."""
        return "microlab" in params or str(params.get("source", "")).startswith(PREFIX)

    def write_base(self, context: StepContext, target: Path) -> Facts:
        """Write a shipped base in the Hugging Face layout; returns facts for its record."""
        from specsci.microlab.base import write_base

        return write_base(context.params["source"], context.params["weights_sha256"], target)

    def write_tokenizer(self, context: StepContext, target: Path) -> None:
        """Write a world's tokenizer; raises StepFailed where it is not the one that the bases were trained with."""
        from specsci.microlab.base import write_tokenizer

        if write_tokenizer(context.params["microlab"], target) != context.params["digest"]:
            raise StepFailed(
                "the microlab's tokenizer is not the one its bases were trained with",
                hint="restore spec_variants/microlab_*, or rebuild the bases with `specsci microlab pretrain`",
            )

    def tokenizer(self, name: str) -> Any:
        """The word-level tokenizer of a base's world; raises UserError for an unknown world."""
        from specsci.microlab.worlds import WORLDS

        world = name.removeprefix(PREFIX).split("/")[0]
        if world not in WORLDS:
            raise UserError(f"no microlab world '{world}'", hint=nearest(world, WORLDS))
        return WORLDS[world].tokenizer()

    def text_identity(self, name: str) -> dict[str, Any]:
        """Version 1 of a world is left out, so that identities from before there were versions stay as they were."""
        from specsci.microlab.world import FAMILIES, VERSIONS, world_family

        world, _, seed = name.removeprefix(PREFIX).partition("/")
        if world not in VERSIONS:
            raise UserError(f"no microlab world '{shown_name(world)}'", hint=nearest(shown_name(world), VERSIONS))
        if not re.fullmatch(r"[0-9]{1,9}", seed):
            raise UserError(f"'{shown_name(name)}' names no base of a world", hint=f"write {PREFIX}{world}/SEED")
        later = {"world": VERSIONS[world]} if VERSIONS[world] > 1 else {}
        return {"source": name, "grammar": world_family(FAMILIES[world]).grammar_digest, **later}

    def texts(self, name: str, what: str, seed: int) -> Iterator[Said]:
        """Texts of one kind that a base's world says, as an endless stream drawn by the seed."""
        from specsci.microlab.worlds import pool_stream

        world, base_seed = name.removeprefix(PREFIX).split("/")
        return pool_stream(world, int(base_seed), what, seed)


SOURCE = Microlab()
