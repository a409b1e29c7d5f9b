"""What reaches a terminal: a user's control characters are shown, not obeyed, and no encoding is too small for a table.

Names and texts of studies, families and imports may hold anything. Whatever the command line prints goes through
`plain_streams`; rich, which writes escape sequences of its own, takes `raw(stream)` and shows users' text by `visible`.
"""

from __future__ import annotations

import codecs
import os
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO, cast

_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]|\r(?!\n)")
"""C0 and C1 controls but tab and line feed, a carriage return alone, marks that turn text round, half characters."""
_ASCII = {
    "–": "-", "—": "-", "−": "-", "±": "+-", "×": "x", "→": "->", "≤": "<=", "≥": ">=", "≈": "~", "…": "...",
    "‘": "'", "’": "'", "“": '"', "”": '"', "·": ".", "•": "*", "\u00a0": " ",
}  # fmt: skip
ERRORS = "specsci-plain"


def visible(text: str) -> str:
    r"""A text as a terminal may show it: control characters spelt out, as `\x1b`."""
    return _CONTROL.sub(_spelt, text)


def _spelt(found: re.Match[str]) -> str:
    code = ord(found[0])
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"


def _nearest(error: UnicodeError) -> tuple[str | bytes, int]:
    """What stands for characters that an encoding lacks: the dash of a table is a hyphen there."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    lacking = error.object[error.start : error.end]
    return "".join(_ASCII.get(c) or c.encode("ascii", "backslashreplace").decode() for c in lacking), error.end


codecs.register_error(ERRORS, _nearest)


class OutputFailed(OSError):
    """Standard output or error cannot be written: its disk is full."""


class Visible:
    """A text stream that spells control characters out; all else is the stream's own."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream
        self.gone = False
        """Whether the reader is gone."""

    @property
    def encoding(self) -> str:
        """The stream's; for ASCII another name, since click would go round such a stream."""
        found = getattr(self.stream, "encoding", None) or "utf-8"
        return "utf-8" if codecs.lookup(found).name == "ascii" else found

    def write(self, text: str) -> int:
        """Write text, with control characters spelt out."""
        if not isinstance(text, str):
            raise TypeError("a text is written, not bytes")
        self._do(lambda: self.stream.write(visible(text)))
        return len(text)

    def flush(self) -> None:
        """Hand on what was written."""
        self._do(self.stream.flush)

    def _do(self, action: Callable[[], object]) -> None:
        try:
            action()
        except BrokenPipeError:
            self.gone = True
            raise
        except OSError as error:
            raise OutputFailed(error.errno, error.strerror) from error

    def writelines(self, lines: Any) -> None:
        """Write several texts."""
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)

    def __iter__(self) -> Iterator[str]:
        return iter(self.stream)


def raw(stream: TextIO) -> TextIO:
    """The stream itself, for rich: users' text goes there through `visible`."""
    return stream.stream if isinstance(stream, Visible) else stream


@contextmanager
def plain_streams() -> Iterator[Visible]:
    """Standard output and error for users' text; a closed one swallows what is written. Yields standard output."""
    before = sys.stdout, sys.stderr
    out, err = _guarded(before[0]), _guarded(before[1])
    sys.stdout, sys.stderr = cast(TextIO, out), cast(TextIO, err)
    try:
        yield out
    finally:
        sys.stdout, sys.stderr = before


def _guarded(stream: TextIO | None) -> Visible:
    if stream is None:
        stream = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115 - it stays open as the process does
    encoding = codecs.lookup(getattr(stream, "encoding", None) or "utf-8").name
    if not encoding.startswith("utf") and hasattr(stream, "reconfigure"):
        stream.reconfigure(errors=ERRORS)
    return Visible(stream)
