"""What has arrived of a download, and the receipt of one that is whole: everything a later process needs to go on."""

import fcntl
import hashlib
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pydantic

from storage.files.atomic import publish_bytes, sha256_of
from storage.files.checksums import verify_checksum
from storage.http_policy import without_secrets
from storage.raw.gzip_reader import read_blocks

logger = logging.getLogger(__name__)


class State(pydantic.BaseModel):
    """One state of a file on its server, as far as the server tells."""

    model_config = pydantic.ConfigDict(frozen=True)

    etag: str | None
    last_modified: str | None
    bytes: int | None

    @property
    def validator(self) -> str | None:
        """What a range can be tied to: a weak ETag is not enough (RFC 9110, 13.1.5)."""
        return self.last_modified if self.etag is None or self.etag.startswith("W/") else self.etag

    def differs(self, other: "State") -> bool:
        """Whether anything that both tell is not the same."""
        pairs = ((self.etag, other.etag), (self.last_modified, other.last_modified), (self.bytes, other.bytes))
        return any(None not in pair and pair[0] != pair[1] for pair in pairs)

    def proves(self, other: "State") -> bool:
        """Whether this can only be the state `other`: the same size, and a validator that both tell."""
        shared = None not in (self.etag, other.etag) or None not in (self.last_modified, other.last_modified)
        return shared and self.bytes is not None and not self.differs(other)


class Receipt(State):
    """What was downloaded; kept beside the file, so that an unchanged upstream is not downloaded again."""

    bytes: int
    url: str
    sha256: str


def receipt_path(target: Path) -> Path:
    """Where the receipt of a file lies: beside it."""
    return target.with_name(f"{target.name}.receipt.json")


def name_partial(url: str) -> str:
    """A URL as a receipt names it: what may be a secret in it counts, and does not stand there."""
    shown = without_secrets(url)
    return url if shown == url else f"{shown}#{hashlib.sha256(url.encode()).hexdigest()[:16]}"


def find_receipt(target: Path, url: str) -> Receipt | None:
    """The receipt of a file that came from `url` and is still what it was."""
    try:
        receipt = Receipt.model_validate(verify_checksum(receipt_path(target).read_bytes()))
        unchanged = receipt.url == name_partial(url) and target.stat().st_size == receipt.bytes
        return receipt if unchanged and sha256_of(target) == receipt.sha256 else None
    except (OSError, ValueError):
        return None


class Partial:
    """What has arrived of a URL so far: its bytes, and the state of the upstream file that they belong to."""

    def __init__(self, url: str, work: Path):
        self.url = url
        stem = work / hashlib.sha256(url.encode()).hexdigest()[:16]
        self.path, self._note, self._lock = (stem.with_suffix(suffix) for suffix in (".part", ".json", ".lock"))

    @property
    def size(self) -> int:
        """Bytes that have arrived."""
        return self.path.stat().st_size if self.path.exists() else 0

    @property
    def state(self) -> State | None:
        """The state that the bytes belong to; None if there is nothing to go on with."""
        try:
            return State.model_validate_json(self._note.read_bytes()) if self.size else None
        except (OSError, ValueError):
            return None

    def start(self, state: State) -> None:
        """Begin again with a state; the old bytes go first, so that they never lie under the new note."""
        self.discard()
        publish_bytes(self._note, state.model_dump_json().encode())

    def discard(self) -> None:
        """Forget what has arrived."""
        self.path.unlink(missing_ok=True)
        self._note.unlink(missing_ok=True)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other processes from downloading the same URL; the lock ends with its process."""
        with self._lock.open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                logger.info(f"{without_secrets(self.url)} is being downloaded by another process; waiting for it")
                fcntl.flock(lock, fcntl.LOCK_EX)
            yield


def is_whole(path: Path) -> bool:
    """Whether a file is plain, or gzip whose members all inflate to a sound end; zeros may pad it."""
    with path.open("rb") as file:
        is_gzip = file.read(2) == b"\x1f\x8b"
    return not is_gzip or all(block.damage is None for block in read_blocks(path))
