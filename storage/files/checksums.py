"""A checksum inside a JSON file, so that whatever has changed in it since it was written is noticed."""

import hashlib
import json
from typing import Any

CHECKSUM_KEY = "seal"


def add_checksum(content: str) -> bytes:
    """A JSON object, as text, with a checksum of all its other fields as the last one."""
    fields = json.loads(content)
    return json.dumps({**fields, CHECKSUM_KEY: _checksum(fields)}, indent=1).encode()


def verify_checksum(content: bytes) -> dict[str, Any]:
    """The fields of a JSON object, but for its seal.

    Raises:
        ValueError: it is no JSON object, it has no seal, or it is no longer what was sealed.
    """
    fields = json.loads(content)
    if not isinstance(fields, dict):
        raise ValueError("it is no JSON object")
    if fields.pop(CHECKSUM_KEY, None) != _checksum(fields):
        raise ValueError("it has changed since it was written")
    return fields


def _checksum(fields: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(fields, sort_keys=True).encode()).hexdigest()
