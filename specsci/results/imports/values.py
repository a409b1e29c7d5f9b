"""Cells of an import as names and whole numbers: read right, or an error that says why not."""

from __future__ import annotations

import re
import unicodedata
from decimal import Decimal
from typing import Any

from specsci.results.sheet import BLANKS, MISSING

MOST = 2**63 - 1
"""The largest whole number of the database's columns."""
_NUMBER = re.compile(r"[+-]?\d+(?:\.\d*)?(?:[eE][+-]?\d{1,4})?", re.ASCII)
_DECIMAL_COMMA = re.compile(r"[+-]?\d+,(?:\d{1,2}|\d{4,})", re.ASCII)
_THOUSANDS = re.compile(r"[+-]?\d{1,3}(?:([.,' \u00a0\u2009\u202f_])\d{3})+", re.ASCII)
_DIGITS = 400
"""Longer numbers are none that anybody counted."""
JOINERS = "\u200c\u200d"
"""Zero-width characters that words of some scripts, and emoji, are written with."""
CONTROL = ("Cc", "Cs", "Zl", "Zp")
LONGEST = {"item_id": 4096, "cluster_id": 4096}
LONGEST_NAME = 256


class Refused(ValueError):
    """What is wrong with a value: the sentence about its column, and the hint."""

    def __init__(self, what: str, hint: str = "") -> None:
        super().__init__(what)
        self.what, self.hint = what, hint


def whole_number(name: str, value: Any, decimal_comma: bool = False) -> int | None:
    """A cell as a whole number; None where there is none.

    `80`, `80.0`, `1e+05` and, where a semicolon or tab divides the columns, `80,0` are whole numbers.

    Raises:
        Refused: it is not a whole number, or one too large for the database.
    """
    if value is None or isinstance(value, bool):
        if value is None:
            return None
        raise Refused(f"'{name}' is not a whole number", "write 1 and 0")
    if not isinstance(value, str):
        return _exact(name, Decimal(value) if isinstance(value, (int, float)) else value)
    text = value.strip(BLANKS)
    if text in MISSING:
        return None
    ambiguous = _THOUSANDS.fullmatch(text)
    if decimal_comma and _DECIMAL_COMMA.fullmatch(text):
        text, ambiguous = text.replace(",", "."), None
    if ambiguous and (ambiguous[1] != "." or decimal_comma):
        raise Refused(f"'{name}' is not a whole number", f"'{text}' may be a thousand or a fraction: write digits alone")
    if not _NUMBER.fullmatch(text) or len(text) > _DIGITS:
        hint = "write 1 and 0" if text.lower() in ("true", "false", "t", "f", "yes", "no") else ""
        raise Refused(f"'{name}' is not a whole number", hint)
    return _exact(name, Decimal(text))


def _exact(name: str, value: Decimal) -> int:
    """A decimal number that is whole and fits; nothing is rounded."""
    if not value.is_finite():
        raise Refused(f"'{name}' is not a whole number")
    if value and value.adjusted() > 18:
        raise Refused(f"'{name}' is too large", f"at most {MOST:,}")
    if value != value.to_integral_value():
        raise Refused(f"'{name}' is not a whole number")
    number = int(value)
    if abs(number) > MOST:
        raise Refused(f"'{name}' is too large", f"at most {MOST:,}")
    return number


def clean_name(name: str, value: Any) -> str | None:
    """A cell as a name: without blanks around it, in Unicode's composed form (NFC); None where there is none.

    Raises:
        Refused: it holds what nobody sees, or is too long.
    """
    if value is None:
        return None
    if isinstance(value, float) or (not isinstance(value, (str, int)) or isinstance(value, bool)):
        raise Refused(f"'{name}' is a column of fractions", "write names as text")
    text = unicodedata.normalize("NFC", str(value).strip(BLANKS))
    if text in MISSING:
        return None
    if not text.isascii() or not text.isprintable():
        for character in text:
            kind = unicodedata.category(character)
            if kind in CONTROL or character == "\ufffd" or (kind == "Cf" and character not in JOINERS):
                said = unicodedata.name(character, "a control character")
                raise Refused(f"'{name}' holds U+{ord(character):04X} ({said})", "take it out")
    if len(text) > LONGEST.get(name, LONGEST_NAME):
        raise Refused(f"'{name}' has {len(text):,} characters", f"at most {LONGEST.get(name, LONGEST_NAME):,}")
    return text


def looks(text: str) -> str:
    """What a name looks like: names that differ in blanks or in compatible forms of one letter look the same."""
    return " ".join(unicodedata.normalize("NFKC", text).split())
