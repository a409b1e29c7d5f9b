"""The files of a model directory, examined without loading it: no torch, headers and configurations only."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

from specsci.core.findings import Finding
from specsci.core.user_files import unhidden
from specsci.sources.examination import ok, refuse, some, warn

CONFIG, TOKENIZER, GENERATION = "config.json", "tokenizer.json", "generation_config.json"
INDEX, WEIGHTS = "model.safetensors.index.json", "model.safetensors"
LFS = b"version https://git-lfs"
LAYERS = ("num_hidden_layers", "n_layer", "n_layers", "num_layers")
FLOATS = ("F64", "F32", "F16", "BF16")
MOST_HEADER_BYTES = 200 * 2**20
OTHER_HEADS = ("SequenceClassification", "TokenClassification", "QuestionAnswering", "MaskedLM", "MultipleChoice", "Reward")
"""Ends of an architecture's name that say it was trained for something else than the next token."""
SENSES = ("vision_config", "audio_config", "vision_tower", "speech_config")


class Unreadable(Exception):
    """A file is not what its name says; the text is one sentence without its full stop."""


def read_json(path: Path) -> Any:
    """A JSON file.

    Raises:
        Unreadable: it is not valid UTF-8, not valid JSON, nested too deep, or cannot be opened.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise Unreadable(f"{path.name} cannot be read ({error.strerror})") from error
    if data.startswith(LFS):
        raise Unreadable(f"{path.name} is a Git LFS pointer, not the file itself")
    try:
        return json.loads(data.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise Unreadable(f"{path.name} is not UTF-8 (byte {error.start})") from error
    except json.JSONDecodeError as error:
        raise Unreadable(
            f"{path.name} is not valid JSON (line {error.lineno}, column {error.colno}: {error.msg})"
        ) from error
    except (RecursionError, ValueError) as error:
        raise Unreadable(f"{path.name} cannot be read as JSON ({type(error).__name__})") from error


def read_mapping(path: Path) -> dict[str, Any]:
    """A JSON file that holds one object.

    Raises:
        Unreadable: it holds something else.
    """
    found = read_json(path)
    if not isinstance(found, dict):
        raise Unreadable(f"{path.name} holds a {_kind(found)} where an object is due")
    return found


def _kind(value: Any) -> str:
    names = {list: "list", str: "string", int: "number", float: "number", bool: "truth value", type(None): "null"}
    return names.get(type(value), type(value).__name__)


def read_config(folder: Path) -> dict[str, Any]:
    """The configuration of a model directory, its sub-configurations objects.

    Raises:
        Unreadable: it is none.
    """
    config = read_mapping(folder / CONFIG)
    for name, value in config.items():
        if name.endswith("_config") and value is not None and not isinstance(value, dict):
            raise Unreadable(f"{CONFIG}: {name} holds a {_kind(value)} where an object is due")
    return config


def inner_config(config: dict[str, Any]) -> dict[str, Any]:
    """A configuration with that of its language model laid over it."""
    return {**config, **(config.get("text_config") or {})}


def examine_folder(folder: Path) -> list[Finding]:
    """What the files of a model directory tell without loading it."""
    try:
        config = read_config(folder)
    except Unreadable as error:
        return [refuse("config", str(error), "save the model with save_pretrained, or fetch its files again")]
    found = examine_config(config)
    if (folder / GENERATION).is_file():
        try:
            read_mapping(folder / GENERATION)
        except Unreadable as error:
            found.append(refuse("generation_config", str(error), "put the file right, or remove it"))
    weights, names = _examine_weights(folder, config)
    return [*found, *weights, *_examine_tokenizer_files(folder, config, names)]


def examine_config(config: dict[str, Any]) -> list[Finding]:
    """Whether a configuration is that of a causal language model in full precision."""
    kind = config.get("model_type")
    if (not isinstance(kind, str) or not kind) and not config.get("auto_map"):
        return [refuse("config", f"{CONFIG} names no model_type", "save the model with save_pretrained")]
    if config.get("is_encoder_decoder"):
        return [
            refuse("architecture", f"'{kind}' is an encoder-decoder, not a causal language model", "choose a causal base")
        ]
    sense = next((name for name in SENSES if config.get(name)), None)
    if sense:
        text = f"'{kind}' is a model of text and other input ({sense}), not a language model alone"
        return [refuse("architecture", text, "save its language model by itself, and name that directory")]
    quantised = config.get("quantization_config") or config.get("compression_config")
    if quantised:
        method = str(quantised.get("quant_method", "unknown")) if isinstance(quantised, dict) else "unknown"
        text = f"its weights are quantised ({method}), and cannot be trained or saved as they are"
        return [refuse("weights", text, "name the unquantised model; recipe.method: qlora quantises it for training")]
    return [_architecture(config, str(kind))]


def _architecture(config: dict[str, Any], kind: str) -> Finding:
    given = config.get("architectures") or []
    names = [a for a in given if isinstance(a, str)] if isinstance(given, list) else []
    other = [a for a in names if any(head in a for head in OTHER_HEADS)]
    if other and len(other) == len(names) and not config.get("auto_map"):
        text = f"the checkpoint is a {other[0]}, which predicts no next token"
        return refuse("head", text, "name the language model that it was made of")
    return ok("config", f"{CONFIG} describes {names[0] if names else kind}")


def code_elsewhere(folder: Path) -> str:
    """The first module that a configuration takes from another repository; empty where it takes none."""
    auto_map = read_config(folder).get("auto_map") or {}
    places = auto_map.values() if isinstance(auto_map, dict) else []
    return next((str(place) for place in places if "--" in str(place)), "")


def header_of(path: Path) -> dict[str, Any]:
    """The header of a safetensors file: name to dtype, shape and place, checked against the file's size.

    Raises:
        Unreadable: a Git LFS pointer, a cut file, or no safetensors file.
    """
    try:
        size = path.stat().st_size
        with path.open("rb") as handle:
            start = handle.read(max(8, len(LFS)))
            if start.startswith(LFS):
                raise Unreadable(f"{path.name} is a Git LFS pointer, not the weights (`git lfs pull` fetches them)")
            if len(start) < 8:
                raise Unreadable(f"{path.name} is cut short: it has {size} bytes")
            length = struct.unpack("<Q", start[:8])[0]
            if length > MOST_HEADER_BYTES:
                raise Unreadable(f"{path.name} is not a safetensors file")
            if length > size - 8:
                raise Unreadable(f"{path.name} is cut short inside its header: it has {size:,} bytes")
            handle.seek(8)
            header = json.loads(handle.read(length).decode("utf-8"))
    except OSError as error:
        raise Unreadable(f"{path.name} cannot be read ({error.strerror})") from error
    except (ValueError, RecursionError) as error:
        raise Unreadable(f"{path.name} is not a safetensors file") from error
    if not isinstance(header, dict):
        raise Unreadable(f"{path.name} is not a safetensors file")
    header.pop("__metadata__", None)
    return _checked_header(path.name, header, size - 8 - length)


def _checked_header(name: str, header: dict[str, Any], data_bytes: int) -> dict[str, Any]:
    try:
        ends = [int(tensor["data_offsets"][1]) for tensor in header.values()]
        shapes = [tuple(int(n) for n in tensor["shape"]) for tensor in header.values()]
        kinds = [str(tensor["dtype"]) for tensor in header.values()]
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise Unreadable(f"{name} is not a safetensors file") from error
    if max(ends, default=0) > data_bytes:
        missing = max(ends) - data_bytes
        raise Unreadable(f"{name} is cut short: {missing:,} bytes of its weights are missing")
    if max(ends, default=0) < data_bytes:
        raise Unreadable(
            f"{name} is not a safetensors file: {data_bytes - max(ends, default=0):,} bytes belong to no weight"
        )
    return {n: {"dtype": k, "shape": s} for n, k, s in zip(header, kinds, shapes, strict=True)}


def weight_files(folder: Path) -> list[str]:
    """The weight files that are loaded: the one file, or those that the index names.

    Raises:
        Unreadable: there is neither, or the index is broken or names a file elsewhere.
    """
    if (folder / WEIGHTS).is_file():
        return [WEIGHTS]
    if not (folder / INDEX).is_file():
        there = [p.name for p in unhidden(folder, "*.safetensors")]
        raise Unreadable(f"neither {WEIGHTS} nor {INDEX} is there (what lies there is not loaded: {some(there)})")
    mapping = read_mapping(folder / INDEX).get("weight_map")
    if not isinstance(mapping, dict) or not mapping or not all(isinstance(v, str) for v in mapping.values()):
        raise Unreadable(f"{INDEX} has no weight_map from names to files")
    files = sorted(set(mapping.values()))
    away = [f for f in files if Path(f).name != f or f in ("", ".", "..") or "\\" in f]
    if away:
        raise Unreadable(f"{INDEX} names a file outside the directory: '{away[0]}'")
    missing = [f for f in files if not (folder / f).is_file()]
    if missing:
        raise Unreadable(f"of the {len(files)} weight files that {INDEX} names, {len(missing)} are missing: {some(missing)}")
    return files


def headers(folder: Path) -> dict[str, Any]:
    """The headers of all weight files that are loaded: name to dtype and shape.

    Raises:
        Unreadable: see `weight_files` and `header_of`; or a file lacks what the index says it has.
    """
    out: dict[str, Any] = {}
    files = weight_files(folder)
    for file in files:
        out.update(header_of(folder / file))
    if files != [WEIGHTS]:
        absent = sorted(set(read_mapping(folder / INDEX)["weight_map"]) - set(out))
        if absent:
            raise Unreadable(f"no weight file has what {INDEX} names: {some(absent)}")
    return out


def _examine_weights(folder: Path, config: dict[str, Any]) -> tuple[list[Finding], dict[str, Any]]:
    if (folder / "adapter_config.json").is_file():
        text = "the directory holds an adapter (adapter_config.json), which would be laid over the weights unasked"
        return [refuse("weights", text, "merge the adapter into its model and name that, or remove its files")], {}
    try:
        names = headers(folder)
    except Unreadable as error:
        return [refuse("weights", str(error), "fetch the files again, or save the model with save_pretrained")], {}
    if not names:
        return [refuse("weights", "the weight files hold no weight", "save the model with save_pretrained")], {}
    whole = sorted(n for n, tensor in names.items() if tensor["dtype"].startswith("F8") or tensor["dtype"] in ("I8", "U8"))
    if whole and not any(names[n]["dtype"] in FLOATS for n in names if n not in whole):
        text = f"its weights are integers of 8 bits: {some(whole)}"
        return [refuse("weights", text, "name the unquantised model")], names
    layers = next((n for name in LAYERS if isinstance(n := inner_config(config).get(name), int)), 0)
    if layers > len(names):
        text = f"{CONFIG} says {layers:,} layers, and the weight files hold {len(names):,} tensors"
        return [refuse("weights", text, "put config.json right, or fetch the weights again")], names
    count = sum(_size(tensor["shape"]) for tensor in names.values())
    return [ok("weight_files", f"{len(names):,} tensors of {count:,} numbers, their files whole")], names


def _size(shape: tuple[int, ...]) -> int:
    out = 1
    for n in shape:
        out *= n
    return out


def _examine_tokenizer_files(folder: Path, config: dict[str, Any], weights: dict[str, Any]) -> list[Finding]:
    """The tokenizer's files: JSON, and no token beyond the embedding's rows."""
    for name in ("tokenizer_config.json", "special_tokens_map.json", "added_tokens.json"):
        if (folder / name).is_file():
            try:
                read_mapping(folder / name)
            except Unreadable as error:
                return [refuse("tokenizer", str(error), "save the tokenizer with save_pretrained")]
    if not (folder / TOKENIZER).is_file():
        text = f"there is no {TOKENIZER}: a slow tokenizer tells no places in the text"
        return [warn("tokenizer_files", text, "save it once with AutoTokenizer.from_pretrained(...).save_pretrained(...)")]
    try:
        largest = largest_token(read_mapping(folder / TOKENIZER))
    except Unreadable as error:
        return [refuse("tokenizer", str(error), "save the tokenizer with save_pretrained")]
    rows = embedding_rows(config, weights)
    if largest is not None and rows is not None and largest[0] >= rows:
        text = f"the tokenizer has a token {largest[0]} ('{largest[1]}'), and the embedding {rows} rows"
        return [refuse("vocabulary", text, "name the tokenizer that belongs to the model, or resize its embedding")]
    return [ok("tokenizer_files", f"{TOKENIZER} fits the embedding")]


def largest_token(tokenizer: dict[str, Any]) -> tuple[int, str] | None:
    """The largest token id of a tokenizer file, and its token; None where it cannot be told.

    Raises:
        Unreadable: the file has no vocabulary.
    """
    inner = tokenizer.get("model")
    if not isinstance(inner, dict):
        raise Unreadable(f"{TOKENIZER} has no model")
    vocabulary = inner.get("vocab")
    found: list[tuple[int, str]] = []
    if isinstance(vocabulary, dict):
        found = [(n, token) for token, n in vocabulary.items() if isinstance(n, int)]
    elif isinstance(vocabulary, list):
        found = [(len(vocabulary) - 1, str(vocabulary[-1][0] if isinstance(vocabulary[-1], list) else vocabulary[-1]))]
    added = tokenizer.get("added_tokens") or []
    if isinstance(added, list):
        found += [(t["id"], str(t.get("content"))) for t in added if isinstance(t, dict) and isinstance(t.get("id"), int)]
    return max(found, default=None)


def embedding_rows(config: dict[str, Any], weights: dict[str, Any]) -> int | None:
    """Rows of the input embedding: what the weights have, else what the configuration says."""
    said = inner_config(config).get("vocab_size")
    ends = ("embed_tokens.weight", "wte.weight", "word_embeddings.weight", "embed_in.weight", "backbone.embeddings.weight")
    found = [t["shape"][0] for n, t in weights.items() if n.endswith(ends) and len(t["shape"]) == 2]
    rows = [*found[:1], *([said] if isinstance(said, int) else [])]
    return min(rows, default=None)
