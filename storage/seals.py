"""A checksum inside a JSON file, so that whatever has changed in it since it was written is noticed."""

import hashlib
import json
from typing import Any

SEAL = "seal"


def sealed(content: str) -> bytes:
    """A JSON object, as text, with a checksum of all its other fields as the last one."""
    fields = json.loads(content)
    return json.dumps({**fields, SEAL: _checksum(fields)}, indent=1).encode()


def unsealed(content: bytes) -> dict[str, Any]:
    """The fields of a JSON object, but for its seal; one without a seal is taken as it is.

    Raises:
        ValueError: it is no JSON object, or no longer what was sealed.
    """
    fields = json.loads(content)
    if not isinstance(fields, dict):
        raise ValueError("it is no JSON object")
    seal = fields.pop(SEAL, None)
    if seal is not None and seal != _checksum(fields):
        raise ValueError("it has changed since it was written")
    return fields


def _checksum(fields: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(fields, sort_keys=True).encode()).hexdigest()
