"""Is what an engine serves under an adapter's name that adapter? Four checks, before anything is asked of it.

1. Every tensor of the adapter belongs to a matrix of the base: what a server does not match it may leave out.
2. Next-token log-probabilities are those of the trainer, with another adapter's requests between them in the same batches; and that one's are
   the same there as alone.
3. They are not the base's.
4. The same again after the adapter was let go and loaded anew.

Log-probabilities of a whole prompt would say more at once, but vLLM gives wrong ones, or ends, where adapters are loaded (its issues 16668,
29955 and 51594); those of next tokens are right.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from specsci.core.errors import StepFailed
from specsci.models.hf import ADAPTER, MODEL
from specsci.models.serve.reference import Reference
from specsci.models.serve.server import Server, TopLogprobs

MOST_NATS = 0.1
"""The largest mean difference of log-probabilities between a served model and the trainer's: bf16 on a GPU differs by some hundredths."""
OWN_SHARE = 0.25
"""A served adapter's difference from its reference is at most this share of that reference's difference from the served base."""
_WRAPPED = "base_model.model."
_PARTS = (".lora_A.weight", ".lora_B.weight", ".lora_A.default.weight", ".lora_B.default.weight")
HINT = "stop the engine and start it again; if it fails again, score without it (leave out `engines`)"


def check_keys(base: Path, trained: Path) -> int:
    """The number of matrices that an adapter changes.

    Args:
        base, trained: artefacts of a base and of an adapter over it.

    Raises:
        StepFailed: a tensor of the adapter belongs to no matrix of the base.
    """
    matrices = {name.removesuffix(".weight") for name in _names(base / MODEL)}
    found: set[str] = set()
    for name in _names(trained / ADAPTER):
        part = next((p for p in _PARTS if name.endswith(p)), "")
        module = name.removeprefix(_WRAPPED).removesuffix(part)
        if not part or module not in matrices:
            raise StepFailed(f"the adapter's tensor {name} belongs to no matrix of the base", hint="an engine cannot serve this adapter; leave out `engines`")
        found.add(module)
    if not found:
        raise StepFailed("the adapter holds no tensor", hint="train it again")
    return len(found)


def _names(folder: Path) -> list[str]:
    """The names of all tensors in a directory, read from the files' heads."""
    from safetensors import safe_open

    names: list[str] = []
    for file in sorted(folder.glob("*.safetensors")):
        with safe_open(file, "pt") as tensors:
            names += list(tensors.keys())
    return names


def distance(reference: Sequence[TopLogprobs], served: Sequence[TopLogprobs]) -> float:
    """The mean difference of log-probabilities, in nats, over the tokens that the server found most probable.

    A token that is not among those kept of the reference counts with the least of them, which is less than the true difference.
    """
    differences = []
    for mine, theirs in zip(reference, served, strict=True):
        least = min(mine.values())
        differences += [abs(value - mine.get(token, least)) for token, value in theirs.items()]
    return sum(differences) / len(differences)


def probe(server: Server, base: str, name: str, adapter: Path | None, reference: Reference) -> dict[str, float]:
    """Hold what is served under a name against its reference; returns the distances in nats.

    Args:
        base: the name that the base is served under.
        name: the adapter's, loaded; the base's own where `adapter` is None.

    Raises:
        StepFailed: it is another model.
    """
    mine = list(reference.following.values())
    own = distance(mine, _beside_another(server, base, name, reference))
    if own > MOST_NATS:
        raise StepFailed(f"the engine serves another model as {name}: its log-probabilities differ by {own:.3f} nats from the trainer's", hint=HINT)
    if adapter is None:
        return {"own_nats": own}
    to_base = distance(mine, _following(server, [base], reference)[base])
    if own > OWN_SHARE * to_base:
        said = f"the engine's {name} cannot be told from its base: {own:.4f} nats from the trainer's numbers, the base {to_base:.4f}"
        raise StepFailed(said, hint=f"serve it in float32, or {HINT}")
    server.unload(name)
    server.load(name, adapter)
    again = distance(mine, _beside_another(server, base, name, reference))
    if again > MOST_NATS or again > OWN_SHARE * to_base:
        raise StepFailed(f"after it was loaded anew, the engine's {name} differs by {again:.3f} nats from the trainer's numbers", hint=HINT)
    return {"own_nats": own, "base_nats": to_base, "reloaded_nats": again}


def _beside_another(server: Server, base: str, name: str, reference: Reference) -> list[TopLogprobs]:
    """What follows the reference's beginnings by a model, another adapter's requests between its own where one is loaded.

    Raises:
        StepFailed: the other one answers otherwise than alone.
    """
    other = next((n for n in server.models() if n not in (name, base)), None) if name != base else None
    if other is None:
        return _following(server, [name], reference)[name]
    alone = _following(server, [other], reference)[other]
    both = _following(server, [name, other], reference)
    mixed = distance(alone, both[other])
    if mixed > MOST_NATS:
        raise StepFailed(f"beside {name} the engine's {other} differs by {mixed:.3f} nats from its own numbers: adapters are mixed up", hint=HINT)
    return both[name]


def _following(server: Server, models: Sequence[str], reference: Reference) -> dict[str, list[TopLogprobs]]:
    asked = [(model, prompt) for prompt in reference.prompts for model in models]
    found = server.next_tokens(asked)
    return {model: [top for (of, _), top in zip(asked, found, strict=True) if of == model] for model in models}
