"""Breaks sound things: bytes anywhere, and records by what their fields hold."""

import json
import math
from random import Random
from typing import Any

TOKENS = (
    b"\0", b"\n", b"\r\n", b"\t", b'"', b"'", b"\\", b"{", b"}", b"[", b"]", b",", b":", b"\\u0000", b"\\ud800", b"\\x",
    b"\xff", b"\xef\xbb\xbf", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"null", b"NaN", b"-Infinity", b"1e999", b"-0",
    b"9" * 5000, b"9" * 40, b"0x1", b"1_0", b"f'{1}'", b"b''", b"{*()}", b"<script", b"&#x110000;", b"&lt;",
    b"\xe2\x80\xa8", b"\x1c", b"\xc2\x85", b"&a [*a]", b"!!python/object:os.system", b"? :", b"---\n", b"%TAG", b"<<: ",
)  # fmt: skip

VALUES: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 10**30, -(10**30), 2**63, 1e308, 5e-324, math.nan, math.inf, "", " ", "\0", "\ud800",
    "\u2028", "\U0010ffff", "A\nB", "B" * 5000, "-1", "1e3", "0x10", "$1,234.56", "9" * 39, "<b" * 50, "&amp;lt;b&gt;",
    "getTime()", [], {}, [None], [[]], [[[["deep"]]]], ["", None, 1, {}], [{"large": None}], [{"large": ["x"]}],
    [{"hi_res": "\ud800", "variant": 3}], {"a": {"b": None}}, "http://[::1", "../../etc/passwd",
    {"hi_res": [None, "h"], "large": ["l"], "variant": ["PT01", "MAIN"]}, {"0": "a", "2": "c", "1": "b"}, "['a' 'b']",
    "{'large': array(['l.jpg'], dtype=object)}", "['a' ... 'z']", "[" * 2000 + "]" * 2000, ["a", {"b": 1}], [True],
    {"url": "u.jpg"}, [{"360w": "s", "1920w": "l"}], "http://a.test/1 http://a.test/2", "data:image/gif;base64,R0lG",
    "x" * 10_000, ["u"] * 600, 1984, 7.5, "12,99", "1.250,00", "\u20ac5", "$1 - $2", "from 3", "\u2014", 2**64,
    "u" * 600, 1_600_000_000_123_456, 1_600_000_000_123_456_789, "2020-09-13T12:26:40Z", "2020-09-13", "2020-99-99",
    10**13,
    10**400, {"9" * 5000: "x"}, "{1: 'a', 'b': 'c'}", "{'a', 'b'}", "x" + " " * 20_000 + "y", [["u"] * 600],
    {"large": " "},
    "[u'a', u'b']", " ['a', 'b'] ", {"images": {"hi_res": ["a"]}}, {"0": {"large": "a"}},
)  # fmt: skip


def mutated(content: bytes, draw: Random, most: int = 4) -> bytes:
    """`content` with up to `most` things done to it."""
    changed = bytearray(content)
    for _ in range(draw.randint(1, most)):
        _change(changed, draw)
    return bytes(changed)


def _change(content: bytearray, draw: Random) -> None:
    place = draw.randrange(len(content) + 1)
    end = min(place + draw.choice((1, 2, 8, 64)), len(content))
    match draw.randrange(8):
        case 0:
            content[place:end] = b""
        case 1:
            content[place:place] = content[place:end]
        case 2:
            content[place:place] = draw.randbytes(draw.choice((1, 3, 20)))
        case 3:
            content[place:end] = draw.randbytes(end - place)
        case 4 | 5:
            content[place:place] = draw.choice(TOKENS)
        case 6:
            other = draw.randrange(len(content) + 1)
            content[place:end] = content[other : other + end - place]
        case _ if place < len(content):
            content[place] ^= 1 << draw.randrange(8)


def odd(record: dict[str, Any], draw: Random) -> dict[str, Any]:
    """`record` with some of its fields replaced, gone, or under another name."""
    changed = dict(record)
    for _ in range(draw.randint(1, 3)):
        key = draw.choice(list(changed) or ["none"])
        match draw.randrange(6):
            case 0:
                changed.pop(key, None)
            case 1:
                changed[draw.choice((key.upper(), key + "\0", ""))] = changed.pop(key, None)
            case _:
                changed[key] = draw.choice(VALUES)
    return changed


def nested(draw: Random) -> bytes:
    """Brackets without end, which break a parser that calls itself."""
    return draw.choice((b"[", b'{"a":', b"(", b"-", b"~", b"[[", b"{1:")) * draw.choice((50, 1_000, 50_000))


def line_of(record: dict[str, Any], draw: Random, literal: bool = False) -> bytes:
    """A record as a line of a dump, sound or odd or broken."""
    match draw.randrange(10):
        case 0:
            return draw.randbytes(draw.randrange(60))
        case 1:
            return mutated(draw.choice(TOKENS), draw) if draw.random() < 0.95 else nested(draw)
    record = odd(record, draw) if draw.random() < 0.7 else record
    written = repr(record) if literal else json.dumps(record, ensure_ascii=draw.random() < 0.5)
    content = written.encode(errors="surrogatepass")
    return mutated(content, draw) if draw.random() < 0.5 else content
