"""A base proved on the loaded model: complete and finite weights, causal attention, packing, padding, saving, gradients.

A model that is too big for that is proved on a small random twin of its configuration, and what only the weights could
tell is said to be not examined.
"""

from __future__ import annotations

import errno
import os
import re
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import torch

from specsci.core.findings import Finding
from specsci.intake.twin import twin_of
from specsci.models import proofs
from specsci.models.generation import settle_generation
from specsci.models.structure import blocks_of, positions_of
from specsci.sources.examination import FILES, ITSELF, TWIN, Examination, ok, refuse, some, warn
from specsci.sources.folder import weight_files

GIB = 2**30
QUICK_GIB = 1.0
"""Weights in fp32 up to which a plan proves the model itself; above, a twin does until the base step."""
MEMORY_SHARE = 0.25
"""Share of free memory that a model's weights may take; comparing and saving takes a second copy."""
SAVED_GIB = 8.0
SAME_LOGITS = 1e-5
NAMED = {"use_safetensors": True, "output_loading_info": True, "ignore_mismatched_sizes": True}
"""How transformers loads so that it names what is missing, left over or of another shape, and reads no pickle."""
PREFIXES = ("_orig_mod.", "module.", "base_model.model.", "transformer.module.")
_NUMBERED = re.compile(r"^(.*)\.\d+(\.|$)")


def examine_model(folder: Path, *, trusted: bool = False, quick: bool = False) -> Examination:
    """The examination of a model directory by loading it.

    Args:
        trusted: whether Python code that the model brings may run.
        quick: prove a model above `QUICK_GIB` on its twin.
    """
    from transformers import AutoConfig

    try:
        config = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=trusted)
    except Exception as error:  # noqa: BLE001 - whatever a stranger's configuration raises, it cannot be read
        return Examination((_unread_config(error),))
    if (wrong := _not_causal(config, trusted=trusted)) is not None:
        return Examination((wrong,))
    try:
        shapes = _shapes(config, trusted)
    except Exception as error:  # noqa: BLE001 - see above
        hint = "check config.json; a model of its own code needs trust_remote_code: true"
        return Examination((refuse("config", f"no model can be built from config.json ({_first(error)})", hint),))
    parameters = sum(p.numel() for p in shapes.parameters())
    facts = {"model_type": config.model_type, "parameters": parameters, "blocks": blocks_of(shapes), **_positions(shapes)}
    need_gib = parameters * 4 / GIB
    free_gib = psutil.virtual_memory().available / GIB
    if need_gib <= (QUICK_GIB if quick else MEMORY_SHARE * free_gib):
        return _on_itself(folder, config, facts, trusted=trusted)
    return _on_twin(folder, config, facts, need_gib, trusted=trusted, quick=quick)


def _shapes(config: Any, trusted: bool) -> Any:
    from transformers import AutoModelForCausalLM

    with torch.device("meta"):
        return AutoModelForCausalLM.from_config(config, dtype=torch.float32, trust_remote_code=trusted)


def _positions(model: Any) -> dict[str, Any]:
    limit, fixed = positions_of(model)
    return {"positions": limit, "fixed_positions": fixed}


def _first(error: BaseException) -> str:
    """An error in one line."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[0][:200]}" if lines else type(error).__name__


def _unread_config(error: Exception) -> Finding:
    text = str(error)
    if "trust_remote_code" in text:
        return refuse(
            "code",
            "the model brings Python code of its own, which is not run",
            "read that code; then write trust_remote_code: true under the base model, pinned to a commit",
        )
    if "does not recognize this architecture" in text or "Unrecognized model" in text:
        found = re.search(r"model type `([^`]+)`", text)
        kind = f" '{found[1]}'" if found else ""
        return refuse("architecture", f"transformers does not know the model type{kind}", "choose a base that it knows")
    return refuse("config", f"config.json describes no model ({_first(error)})", "save the model with save_pretrained")


def _not_causal(config: Any, *, trusted: bool) -> Finding | None:
    """Whether transformers has a causal language model for a configuration."""
    from transformers import AutoModelForCausalLM

    known = type(config) in AutoModelForCausalLM._model_mapping
    auto_map = getattr(config, "auto_map", None) or {}
    if known and not getattr(config, "is_encoder_decoder", False):
        return None
    if "AutoModelForCausalLM" in auto_map:
        return None if trusted else _unread_config(ValueError("trust_remote_code"))
    return refuse("architecture", f"'{config.model_type}' is not a causal language model", "choose a causal base")


def _load(folder: Path, trusted: bool) -> tuple[Any, dict[str, Any]]:
    """The model in fp32 with what loading it says."""
    from transformers import AutoModelForCausalLM

    more: dict[str, Any] = {"local_files_only": True, "trust_remote_code": trusted, "dtype": torch.float32, **NAMED}
    loaded: Any = AutoModelForCausalLM.from_pretrained(folder, **more)
    model, info = loaded
    return model, info


def _on_itself(folder: Path, config: Any, facts: dict[str, Any], *, trusted: bool) -> Examination:
    try:
        model, info = _load(folder, trusted)
    except Exception as error:  # noqa: BLE001 - whatever loading raises, the base cannot be used
        return Examination((_unloaded(folder, error),), facts)
    names = {name for name, _ in model.named_modules()}
    found = [weights_finding(info, names)]
    if found[0].judgement == "refuse":
        return Examination(tuple(found), facts)
    model.eval()
    bad = proofs.finite(model)
    if bad:
        hint = "the checkpoint is damaged, or was saved in a precision that its numbers overflow: fetch it again"
        return Examination((*found, refuse("finite", f"weights hold NaN or infinity: {some(bad)}", hint)), facts)
    settled = settle_generation(model)
    if settled:
        text = f"generation_config.json sets {', '.join(settled)}, which save_pretrained refuses: left out of what is saved"
        found.append(warn("generation_config", text, "nothing is generated by them; put the file right to be rid of this"))
    found += _proved(model, facts, on=ITSELF)
    if not any(f.judgement == "refuse" for f in found):
        found.append(_saved(model, trusted=trusted))
    return Examination(tuple(found), {**facts, "on": ITSELF})


def _unloaded(folder: Path, error: Exception) -> Finding:
    if "trust_remote_code" in str(error):
        return _unread_config(error)
    if "generation" in str(error).lower() and (folder / "generation_config.json").is_file():
        text = f"generation_config.json cannot be read ({_first(error)})"
        return refuse("generation_config", text, "put the file right, or remove it")
    return refuse("weights", f"the model cannot be loaded ({_first(error)})", "save the model with save_pretrained")


def weights_finding(info: dict[str, Any], modules: set[str]) -> Finding:
    """Whether a checkpoint has every weight of the model, and none that belongs to it and would be left unused.

    Args:
        info: what transformers says of loading (`missing_keys`, `unexpected_keys`, `mismatched_keys`, `error_msgs`).
        modules: names of the model's modules.
    """
    missing, left = sorted(info.get("missing_keys") or ()), sorted(info.get("unexpected_keys") or ())
    other = sorted(str(key[0]) for key in info.get("mismatched_keys") or ())
    hint = "save the model itself with save_pretrained (of a wrapped one: its inner module), and name that"
    if missing:
        text = f"{len(missing)} weights are missing, and would be random numbers: {some(missing)}"
        text += f"; {len(left)} are left over: {some(left)}" if left else ""
        prefix = next((p for p in PREFIXES if left and all(name.startswith(p) for name in left)), None)
        if prefix:
            hint = f"the names begin with '{prefix}', as a wrapper leaves them: save the model inside the wrapper"
        return refuse("weights_complete", text, hint)
    if other:
        return refuse("weights_complete", f"weights have another shape than config.json says: {some(other)}", hint)
    if info.get("error_msgs") or info.get("conversion_errors"):
        said = str(info.get("error_msgs") or info.get("conversion_errors"))
        return refuse("weights_complete", f"weights cannot be taken in: {said[:200]}", hint)
    own = [name for name in left if _belongs(name, modules)]
    if own:
        text = f"{len(own)} weights of the checkpoint would be left unused: {some(own)}"
        return refuse("weights_complete", text, "config.json describes another model than the weights: put it right")
    if left:
        return warn("weights_complete", f"{len(left)} weights are not part of the model, and are left out: {some(left)}")
    return ok("weights_complete", "every weight is there, and none is left over")


def _belongs(name: str, modules: set[str]) -> bool:
    """Whether a weight's name lies in a part that the model has: a bias that its configuration leaves out, a further layer."""
    parent = name.rsplit(".", 1)[0] if "." in name else ""
    if parent and parent in modules:
        return True
    numbered = _NUMBERED.match(name)
    return bool(numbered and numbered[1] in modules)


def not_finite(folder: Path) -> list[str]:
    """Names of weights that hold NaN or infinity, read one after another."""
    from safetensors import safe_open

    found = []
    for file in weight_files(folder):
        with safe_open(folder / file, framework="pt") as weights:
            for name in weights.keys():  # noqa: SIM118 - an open file, not a dict
                tensor = weights.get_tensor(name)
                if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
                    found.append(name)
    return found


def _on_twin(
    folder: Path, config: Any, facts: dict[str, Any], need_gib: float, *, trusted: bool, quick: bool
) -> Examination:
    later = (
        "not examined here, is examined in the base step" if quick else "not examined: this machine has too little memory"
    )
    found = [_names_finding(folder, config, trusted)]
    if found[0].judgement == "refuse":
        return Examination(tuple(found), facts)
    if quick:
        found.append(warn("finite", f"whether its weights are finite is {later} ({need_gib:.1f} GiB in fp32)"))
    elif bad := not_finite(folder):
        hint = "the checkpoint is damaged: fetch it again"
        return Examination((*found, refuse("finite", f"weights hold NaN or infinity: {some(bad)}", hint)), facts)
    twin = twin_of(config, trusted=trusted)
    if twin is None:
        found.append(warn("structure", f"causal attention, packing and padding are {later}: no small twin can be made"))
        return Examination(tuple(found), {**facts, "on": FILES})
    settle_generation(twin)
    found += _proved(twin, facts, on=TWIN)
    if not any(f.judgement == "refuse" for f in found):
        found.append(_saved(twin, trusted=trusted))
    return Examination(tuple(found), {**facts, "on": TWIN})


def _names_finding(folder: Path, config: Any, trusted: bool) -> Finding:
    """Complete weights by name and shape alone: loaded onto the meta device, which holds no numbers."""
    from transformers import AutoModelForCausalLM

    more: dict[str, Any] = {"local_files_only": True, "trust_remote_code": trusted, "device_map": {"": "meta"}, **NAMED}
    try:
        loaded: Any = AutoModelForCausalLM.from_pretrained(folder, **more)
        model, info = loaded
    except Exception as error:  # noqa: BLE001 - whatever loading raises, the base cannot be used
        return _unloaded(folder, error)
    return weights_finding(info, {name for name, _ in model.named_modules()})


def _proved(model: Any, facts: dict[str, Any], *, on: str) -> list[Finding]:
    """The proofs on a model; what it may do and what not is added to `facts`."""
    try:
        sample = proofs.sample_for(model)
        noise = proofs.rounding(model, sample)
    except Exception as error:  # noqa: BLE001 - a model that cannot run a row of tokens cannot be used, whatever it raises
        return [refuse("forward", f"{on} cannot run a row of tokens ({_first(error)})", "choose another base")]
    checks: list[Callable[[], Finding]] = [
        lambda: _finite_logits(model, sample),
        lambda: _causal(proofs.later_change(model, sample), noise, on),
        lambda: _padding(proofs.padding_change(model, sample), noise, on),
        lambda: _packing(proofs.neighbour_change(model, sample), noise, facts, on),
        lambda: _scoring(model, facts, on),
        lambda: _gradients(proofs.gradient_problem(model, sample), on),
    ]
    found = []
    for check in checks:
        try:
            found.append(check())
        except Exception as error:  # noqa: BLE001 - see above
            found.append(refuse("forward", f"{on} fails in a proof ({_first(error)})", "choose another base"))
        if found[-1].judgement == "refuse":
            break
    return found


def _finite_logits(model: Any, sample: proofs.Sample) -> Finding:
    found = proofs.logits(model, [sample.row(16, 11)])
    if not bool(torch.isfinite(found).all()):
        return refuse("finite", "its logits are NaN or infinite in fp32", "the checkpoint is damaged: fetch it again")
    return ok("finite", "weights and logits are finite")


def _causal(change: float, noise: float, on: str) -> Finding:
    if not change <= noise:
        text = f"a later token changes earlier logits (by {change:.2g} of their size, on {on}): attention is not causal"
        return refuse("causal", text, "choose a causal language model; config.json of some needs is_decoder: true")
    return ok("causal", f"a later token changes no earlier logit (on {on})")


def _padding(change: float, noise: float, on: str) -> Finding:
    if not change <= noise:
        text = f"padding on the right changes a row's logits (by {change:.2g} of their size, on {on})"
        return refuse("padding", text, "choose another base: batches would change what it says")
    return ok("padding", f"padding changes no logit (on {on})")


def _packing(change: float | None, noise: float, facts: dict[str, Any], on: str) -> Finding:
    facts["packs"] = change is not None and change <= noise
    if facts["packs"]:
        return ok("packing", f"packed rows do not see each other (on {on})")
    why = "it takes no positions" if change is None else f"a neighbour changes logits by {change:.2g} of their size"
    text = (
        f"rows of a packed sequence would see each other in {facts['model_type']} ({why}, on {on}): it is trained unpacked"
    )
    return warn("packing", text, "nothing to do: each row goes through the model by itself")


def _scoring(model: Any, facts: dict[str, Any], on: str) -> Finding:
    from specsci.evals.forward import shares_cache

    facts["shares_cache"] = shares_cache(model, 0)
    how = "over a shared cache, as whole passes score them" if facts["shares_cache"] else "by a whole pass each"
    return ok("scoring", f"options of several tokens are scored {how} (on {on})")


def _gradients(problem: str | None, on: str) -> Finding:
    if problem:
        return refuse("gradients", f"it cannot be trained: {problem} (on {on})", "choose another base")
    return ok("gradients", f"loss and gradients are finite (on {on})")


def _saved(model: Any, *, trusted: bool) -> Finding:
    """Whether the model, saved and loaded again, gives the same logits."""
    if sum(p.numel() for p in model.parameters()) * 4 > SAVED_GIB * GIB:
        return warn("saving", "whether it loads again as it is saved is not examined: it is too big for a trial")
    from specsci.models.hf import load_weights, save_model

    sample = proofs.sample_for(model)
    rows = [sample.row(16, 12)]
    before = proofs.logits(model, rows)
    with tempfile.TemporaryDirectory() as folder:
        try:
            save_model(model, Path(folder) / "model")
            again = load_weights(Path(folder) / "model", trusted=trusted).eval()
            after = proofs.logits(again, rows)
        except Exception as error:  # noqa: BLE001 - whatever saving raises after training would lose the stage
            if os.strerror(errno.ENOSPC) in str(error):
                return warn("saving", "whether it loads again as it is saved is not examined: no space for a trial")
            return refuse("saving", f"it cannot be saved and loaded again ({_first(error)})", "choose another base")
    change = float((before - after).abs().max()) / max(1.0, float(before.abs().max()))
    if not change <= SAME_LOGITS:
        text = f"saved and loaded again it gives other logits ({change:.2g} apart)"
        return refuse("saving", text, "choose another base: what is trained would not be what is scored")
    return ok("saving", "saved and loaded again it gives the same logits")
