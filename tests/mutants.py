"""Mutants of YAML and JSON Lines files, and calls of the command line in this process: what the fuzzers share."""

from __future__ import annotations

import io
import json
import random
import re
import sys
import time
import traceback
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from specsci.cli.main import main

PLACE = re.compile(r":\d+:\d+: ")
MOST_CPU_S = 5.0

SCALARS = (
    "1e400", "9" * 400, "9" * 5000, "0x" + "f" * 5000, "0x", "!!int ''", "!!int 0x", "!!bool maybe", "!!omap {a: 1}", "!!set {a}",
    "!!binary aGk=", "!own x", '"\\0"', '"a\\0b"', '"\\ud800"', '"\\ud83d\\ude00"', "y" * 300, "y" * 5000, "[]", "{}", "null", "~",
    ".nan", ".inf", "-1", "0", "1", "2", "1.5", "true", "no", "2001-02-30", "2001-01-01", "1e308", "-1e308", "1e-320", "[" * 120,
    '"\\e]0;pwn\\a"', '"[/b]"', "../../etc/passwd", "/etc/passwd", "/dev/zero", "/", ".", "microlab:nope", "microlab:conduct",
    "microlab:conduct/999999", "microlab:conduct/x", "hub:a/b", "hub:", "package:nope", "*nothing", "&a {<<: *a}", "{<<: {titel: x}}",
    "{<<: 3}", "{<<: [{a: 1}, {b: 2}]}", "<<", '""', '" "', "1_000", "0o17", "caf\u00e9", '"\u202e"', '"a\u2028b"', "x" * 50000,
    "9223372036854775807", "9223372036854775808", "-9223372036854775808", "[1, 2, 3]", "{a: {b: {c: d}}}", '"{model_name}"', '"{"',
    "it_mix", "rules", "pretraining", "NaN", "Infinity", "=", '"$x"', "'{first} {second}'",
)  # fmt: skip
"""Fragments of YAML that stand in place of values."""


class Fragment(str):
    """YAML that is written as it is."""


@dataclass(frozen=True)
class Call:
    """What a command did: its exit code, what it said, its CPU seconds, and the traceback of what nobody foresaw."""

    args: tuple[str, ...]
    code: int
    out: str
    err: str
    cpu_s: float
    raised: str

    def fault(self, *, located: bool) -> str:
        """Why a call is not as it should be; empty where it is."""
        if self.raised:
            return self.raised
        if self.cpu_s > MOST_CPU_S:
            return f"{self.cpu_s:.1f} s of CPU"
        if self.code not in (0, 2, 3):
            return f"exit {self.code}: {self.err[:300]}"
        if "Traceback" in self.out + self.err:
            return "prints a traceback"
        if self.code == 2 and located and not PLACE.search(self.err + self.out):
            return f"no place: {self.err[:300]}"
        if self.code == 2 and not self.err.strip() and not self.out.strip():
            return "says nothing"
        if re.search("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]", self.out + self.err):
            return "prints a control character"
        return ""


def call(*args: str | Path) -> Call:
    """Run a command in this process. SPECSCI_RAISE is set in tests, so that the unforeseen is seen."""
    out, err, raised, code = io.StringIO(), io.StringIO(), "", 0
    before = sys.argv
    sys.argv = ["specsci", *map(str, args)]
    begin = time.process_time()
    try:
        with redirect_stdout(out), redirect_stderr(err):
            main()
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(bool(end.code))
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt):
            raise
        raised = "".join(traceback.format_exception(error))
    finally:
        sys.argv = before
    return Call(tuple(map(str, args)), code, out.getvalue(), err.getvalue(), time.process_time() - begin, raised)


def site(raised: str) -> str:
    """The innermost line of specsci's in a traceback, and the error: what makes two failures one."""
    lines = [line.strip() for line in raised.splitlines() if line.strip()]
    ours = [line for line in lines if "/specsci/" in line and line.startswith("File")]
    return f"{ours[-1] if ours else ''} {lines[-1][:160] if lines else ''}"


def emitted(value: Any) -> str:
    """A tree as YAML in flow style, its fragments as they are."""
    if isinstance(value, Fragment):
        return str(value)
    if isinstance(value, dict):
        return (
            "{"
            + ",\n ".join(f"{k if isinstance(k, Fragment) else json.dumps(k)}: {emitted(v)}" for k, v in value.items())
            + "}"
        )
    if isinstance(value, list):
        return "[" + ", ".join(map(emitted, value)) + "]"
    return json.dumps(value, allow_nan=False)


def _paths(value: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    found = [at] if at else []
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        found += _paths(inner, (*at, key))
    return found


def _at(value: Any, path: tuple[Any, ...]) -> Any:
    for part in path:
        value = value[part]
    return value


def mutated_tree(tree: Any, rng: random.Random) -> str:
    """A tree with one to four changes, as YAML."""
    tree = json.loads(json.dumps(tree))
    for _ in range(rng.randint(1, 4)):
        paths = _paths(tree)
        if not paths:
            break
        *above, last = rng.choice(paths)
        holder = _at(tree, tuple(above))
        way = rng.randrange(9)
        if way <= 3:
            holder[last] = Fragment(rng.choice(SCALARS))
        elif way == 4:
            del holder[last]
        elif way == 5:
            other = _at(tree, rng.choice(paths))
            holder[last] = json.loads(json.dumps(other)) if not _holds_fragment(other) else 0
        elif way == 6 and isinstance(holder, dict):
            name = rng.choice((f"{last}x", str(last)[1:], Fragment(rng.choice(SCALARS)), "zz", "<<", str(last).upper()))
            holder[name] = holder.pop(last)
        elif way == 7:
            holder[last] = [holder[last]]
        elif isinstance(holder, list):
            holder.insert(rng.randrange(len(holder) + 1), holder[last])
        else:
            holder[last] = {"x": holder[last]}
    return emitted(tree) + "\n"


def _holds_fragment(value: Any) -> bool:
    if isinstance(value, dict):
        return any(isinstance(k, Fragment) or _holds_fragment(v) for k, v in value.items())
    return any(map(_holds_fragment, value)) if isinstance(value, list) else isinstance(value, Fragment)


def mutated_text(text: str, rng: random.Random) -> str:
    """A text with one to four changes of lines, words and characters."""
    for _ in range(rng.randint(1, 4)):
        lines = text.split("\n")
        number = rng.randrange(len(lines))
        line, way = lines[number], rng.randrange(9)
        if way == 0:
            del lines[number]
        elif way == 1:
            lines.insert(number, rng.choice(lines))
        elif way == 2:
            lines[number] = " " * rng.randint(1, 3) + line
        elif way == 3:
            lines[number] = line.lstrip()
        elif way in (4, 5) and ": " in line:
            lines[number] = line.split(": ")[0] + ": " + rng.choice(SCALARS)
        elif way == 6 and (words := re.findall(r"\w+", text)):
            old = rng.choice(words)
            lines[number] = line.replace(rng.choice(re.findall(r"\w+", line) or [old]), rng.choice([old, *SCALARS]), 1)
        elif way == 7:
            at = rng.randrange(len(line) + 1)
            lines[number] = line[:at] + rng.choice("{}[]:,&*!|>'\"%@`#?-\t\\\u0085\u2028\u00e9\u0000\u001b<= ") + line[at:]
        else:
            at = rng.randrange(len(line) + 1)
            lines[number] = line[:at] + line[at + 1 :]
        text = "\n".join(lines)
    return text


def mutated_bytes(raw: bytes, rng: random.Random) -> bytes:
    """Bytes with one to four changes: flipped, cut out, put in, cut short; another encoding."""
    for _ in range(rng.randint(1, 4)):
        at, way = rng.randrange(len(raw) + 1), rng.randrange(7)
        if way == 0:
            raw = raw[:at] + bytes([rng.randrange(256)]) + raw[at + 1 :]
        elif way == 1:
            raw = raw[:at] + raw[at + rng.randint(1, 40) :]
        elif way == 2:
            raw = (
                raw[:at]
                + rng.choice((b"\xff", b"\0", b"\xef\xbb\xbf", b"\r", b"\r\n", b"\x1b", b"[" * 2000, b"{" * 300))
                + raw[at:]
            )
        elif way == 3:
            raw = raw[:at]
        elif way == 4:
            raw = raw.replace(b"\n", b"\r\n")
        elif way == 5:
            raw = b"\xef\xbb\xbf" + raw
        else:
            begin = rng.randrange(len(raw) + 1)
            raw = raw[:at] + raw[begin : begin + rng.randint(1, 200)] + raw[at:]
    return raw


def mutant(raw: bytes, tree: Any, rng: random.Random) -> bytes:
    """One mutant of a YAML file, of its tree (half of them), its text or its bytes."""
    way = rng.randrange(4)
    if way <= 1 and tree is not None:
        return mutated_tree(tree, rng).encode("utf-8", "surrogatepass")
    if way == 3:
        return mutated_bytes(raw, rng)
    return mutated_text(raw.decode("utf-8"), rng).encode("utf-8", "surrogatepass")
