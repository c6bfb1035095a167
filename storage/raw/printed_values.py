"""Reads lists and dicts that somebody has kept as text: as JSON, or as Python, pandas or numpy print them.

A table that went through a CSV file has such texts in place of its lists: `['a', 'b']`, numpy's `['a' 'b']`, or
`array([None], dtype=object)`. Nothing is evaluated.
"""

import ast
import json
import re
import warnings

MAX_CHARACTERS = 1 << 20  # a syntax tree takes about a hundred times its text

_TOKEN = re.compile(
    r"""\s*+(?:(?P<text>[uU]?'(?:[^'\\]|\\.)*+'|[uU]?"(?:[^"\\]|\\.)*+")|(?P<opens>[\[{(])|(?P<closes>[\]})])"""
    r"""|(?P<between>[,:=])|(?P<number>[-+]?(?:[0-9]++\.?[0-9]*+|\.[0-9]++)(?:[eE][-+]?[0-9]++)?)|(?P<word>[A-Za-z_][A-Za-z_0-9.]*+))""",
    re.DOTALL,
)
_WORDS = {"nan": "None", "NaN": "None", "null": "None", "true": "True", "false": "False", "array": "", "dtype": ""}
_VALUES = {"None", "True", "False"}


def is_printed(text: str) -> bool:
    """Whether a text may be a list or a dict, by its first and its last character."""
    start = text[:1]
    if start not in ("[", "{") and not start.isspace():
        return False
    stripped = text.strip()
    return stripped[:1] + stripped[-1:] in ("[]", "{}")


def read_printed(text: str) -> object:
    """The list or dict that a text stands for.

    Raises:
        ValueError: it stands for none, it is longer than 1 MiB, or it nests too deep.
    """
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("it nests too deep") from None
    except ValueError:
        return read_literal(_as_python(text))


def read_literal(text: str) -> object:
    """The Python literal that a text is.

    Raises:
        ValueError: it is none, it is longer than 1 MiB, or it nests too deep.
    """
    if len(text) > MAX_CHARACTERS:
        raise ValueError("it is too long")
    try:
        with warnings.catch_warnings(action="ignore"):  # of escapes that Python no longer likes
            return ast.literal_eval(text.strip())
    except (SyntaxError, TypeError, MemoryError, RecursionError, OverflowError) as error:
        raise ValueError("it is no literal") from error


def _as_python(text: str) -> str:
    """The same as a Python literal: commas where numpy prints none, no `array(…, dtype=…)`, None for nan."""
    if len(text) > MAX_CHARACTERS:
        raise ValueError("it is too long")
    written: list[str] = []
    place, after_value, is_type = 0, False, False
    text = text.strip()
    while place < len(text):
        token = _TOKEN.match(text, place)
        if token is None:  # among others `...`, where numpy has left something out
            raise ValueError("it is no list or dict")
        place, kind, given = token.end(), token.lastgroup, token.group().strip()
        if kind == "word":
            if is_type:  # of dtype=object
                is_type = False
                continue
            is_type = given == "dtype"
            if is_type and written[-1:] == [","]:
                written.pop()
            given = _WORDS.get(given, given)
            if given not in _VALUES:
                if given:
                    raise ValueError("it holds a name")
                continue
        if is_type and (given == "=" or kind == "text"):
            is_type = given == "="
            continue
        if after_value and kind in ("text", "number", "word", "opens"):
            written.append(",")
        written.append(given)
        after_value = kind in ("text", "number", "word", "closes")
    return " ".join(written)
