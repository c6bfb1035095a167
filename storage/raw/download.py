"""Downloads a raw dump over HTTP: it arrives whole or not at all, and what has arrived once is not fetched again.

What has arrived so far lies in the work folder, with a note of which state of the upstream file it belongs to; a killed
download goes on there. The file gets its name when its length and its gzip are sound, and a receipt beside it says what
was fetched.
"""

import logging
import os
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

import requests
import urllib3

from storage.errors import InputError, OutOfReachError
from storage.files.atomic import publish_bytes, publishing, sha256_of
from storage.files.checksums import add_checksum
from storage.files.mirror import Mirror
from storage.http_policy import HEADERS, PASSING_CODES, Retries, retry_after_s, without_secrets
from storage.progress import Progress
from storage.raw.partial import Partial, Receipt, State, find_receipt, is_whole, name_partial, receipt_path

CONNECT_TIMEOUT_S, READ_TIMEOUT_S = 10, 60
CHUNK_BYTES = 1 << 16
INSTEAD = "name another URL or a local path in its place"

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Download:
    """A file that is there, and whether it had to be fetched for that."""

    receipt: Receipt
    fetched: bool


def download(
    url: str,
    target: Path,
    work: Path,
    max_bytes: int,
    progress: Progress,
    *,
    force: bool = False,
    retries: Retries | None = None,
    mirror: Mirror | None = None,
) -> Download:
    """Bring `url` to `target`, unless what is there is what the server has.

    Args:
        work: a local folder, the same at the next call, for what has arrived so far.
        force: fetch it all again, whatever is there.
        mirror: of the data root, if it has one.

    Raises:
        InputError: it is larger than `max_bytes` or the free disk, damaged where it lies, refused, or out of reach.
    """
    partial = Partial(url, work)
    try:
        work.mkdir(parents=True, exist_ok=True)
        target.parent.mkdir(parents=True, exist_ok=True)
        with partial.locked(), requests.Session() as session:
            session.headers.update(HEADERS)
            if force:
                partial.discard()
            known = None if force else find_receipt(target, url)
            fetch = _Fetch(url, target, partial, known, max_bytes, progress, retries or Retries(), session, mirror)
            return fetch.run()
    except OSError as error:  # requests' own are OSErrors too, and are told apart in _Fetch
        where = f"{error.strerror} ({error.filename or work})"
        raise InputError(
            f"{without_secrets(url)} cannot be kept: {where}; REC_WORK and REC_DATA say where it goes"
        ) from error


class _PassingError(Exception):
    """What another try may mend; the message says what the URL did."""

    def __init__(self, what: str, wait_s: float = 0.0):
        super().__init__(what)
        self.wait_s = wait_s


@dataclass(frozen=True)
class _Fetch:
    """One download: request after request until the file is whole."""

    url: str
    target: Path
    partial: Partial
    known: Receipt | None
    max_bytes: int
    progress: Progress
    retries: Retries
    session: requests.Session
    mirror: Mirror | None

    @property
    def shown(self) -> str:
        """The URL as it may be shown."""
        return without_secrets(self.url)

    def run(self) -> Download:
        damaged: set[str] = set()
        while True:
            state = self._receive()
            if isinstance(state, Receipt):
                self._check_limit(state.bytes)
                self.partial.discard()
                return Download(state, fetched=False)
            digest = sha256_of(self.partial.path)
            if is_whole(self.partial.path):
                return self._publish(state, digest)
            self.partial.discard()
            if digest in damaged:
                raise InputError(
                    f"{self.shown} is damaged where it lies: its gzip does not inflate to the end; {INSTEAD}"
                )
            damaged.add(digest)
            if len(damaged) == self.retries.attempts:
                raise InputError(f"{self.shown} arrives damaged, each time in another way; {INSTEAD}")
            logger.warning(f"{self.shown} arrived damaged; it is downloaded afresh")

    def _publish(self, state: State, digest: str) -> Download:
        """Give the file its name. The work file goes last, so that a kill on the way costs nothing."""
        with publishing(self.target, self.mirror) as path:
            try:
                os.link(self.partial.path, path)
            except OSError:  # another file system, or one without links
                shutil.copyfile(self.partial.path, path)
        known = state.model_dump(exclude={"bytes"})
        receipt = Receipt(**known, bytes=self.partial.size, url=name_partial(self.url), sha256=digest)
        publish_bytes(receipt_path(self.target), add_checksum(receipt.model_dump_json()), self.mirror)
        self.partial.discard()
        return Download(receipt, fetched=True)

    def _receive(self) -> State | Receipt:
        """Ask until all bytes are in the work file, and give their state, or until what is known proves unchanged."""
        failures, most = 0, self.partial.size
        while True:
            try:
                return self._request()
            except _PassingError as error:
                failures = 1 if self.partial.size > most else failures + 1
                most = max(most, self.partial.size)
                wait_s = max(error.wait_s, self.retries.wait_s(failures))
                if failures == self.retries.attempts:
                    raise OutOfReachError(f"{self.shown} {error}, {failures} times in a row; {INSTEAD}") from error
                if error.wait_s > self.retries.patience_s:
                    raise OutOfReachError(
                        f"{self.shown} {error} and asks to wait {wait_s:,.0f} s; run it later"
                    ) from error
                logger.info(f"{self.shown} {error}; tried again in {wait_s:.1f} s")
                self.retries.sleep(wait_s)

    def _request(self) -> State | Receipt:
        timeout = (CONNECT_TIMEOUT_S, READ_TIMEOUT_S)
        try:
            with self.session.get(self.url, headers=self._conditions(), stream=True, timeout=timeout) as answer:
                return self._take(answer)
        except (requests.ConnectionError, requests.Timeout, urllib3.exceptions.HTTPError) as error:
            if "CERTIFICATE_VERIFY_FAILED" in str(error):
                raise InputError(f"{self.shown} shows a certificate that is not valid; {INSTEAD}") from error
            raise _PassingError(f"cannot be reached ({type(error).__name__})") from error
        except requests.RequestException as error:
            raise InputError(f"{self.shown} cannot be downloaded ({type(error).__name__}); {INSTEAD}") from error

    def _conditions(self) -> dict[str, str]:
        """Headers that ask for the rest of what has begun to arrive, or else only for what is not known yet."""
        state = self.partial.state
        if state and state.validator:
            return {"Range": f"bytes={self.partial.size}-", "If-Range": state.validator}
        asked = {"If-None-Match": self.known.etag, "If-Modified-Since": self.known.last_modified} if self.known else {}
        return {name: value for name, value in asked.items() if value is not None}

    def _take(self, answer: requests.Response) -> State | Receipt:
        status, size, begun = answer.status_code, self.partial.size, self.partial.state
        if status == 304 and self.known:
            return self.known
        if status in PASSING_CODES:
            wait_s = retry_after_s(answer.headers.get("Retry-After"), answer.headers.get("Date"))
            raise _PassingError(f"answers {status} {answer.reason}", wait_s)
        if status == 200:
            total = answer.headers.get("Content-Length", "")
            state = _state(answer, total)
            if self.known and state.proves(self.known):
                return self.known
            self._check_room(state, arrived=0)
            self.partial.start(state)
            self.progress.resume(0)
            return self._append(answer, state)
        if status in (206, 416) and begun:
            first, total = _content_range(answer)
            state = _state(answer, total)
            if status == 416 and state.bytes == size:
                return begun
            if status == 206 and first == size and not state.differs(begun):
                self._check_room(state, arrived=size)
                self.progress.resume(size)
                return self._append(answer, begun)
            self.partial.discard()
            raise _PassingError("changed while it was downloaded")
        raise InputError(f"{self.shown} answers {status} {answer.reason}; {INSTEAD}")

    def _append(self, answer: requests.Response, state: State) -> State:
        """Write what comes, as it comes over the wire, behind what has arrived."""
        self.progress.total = state.bytes
        try:
            with self.partial.path.open("ab") as file:
                for chunk in answer.raw.stream(CHUNK_BYTES, decode_content=False):
                    file.write(chunk)
                    self.progress.advance(len(chunk))
                    self._check_limit(file.tell())
        except urllib3.exceptions.HTTPError as error:
            raise _PassingError(self._broke_off(state)) from error
        if state.bytes is not None and self.partial.size != state.bytes:
            raise _PassingError(self._broke_off(state))
        return state

    def _broke_off(self, state: State) -> str:
        of_all = "" if state.bytes is None else f" of {state.bytes:,}"
        return f"broke off after {self.partial.size:,}{of_all} bytes"

    def _check_limit(self, size: int) -> None:
        if size > self.max_bytes:
            self.partial.discard()
            raise InputError(f"{self.shown} is larger than max_dump_bytes ({self.max_bytes:,})")

    def _check_room(self, state: State, arrived: int) -> None:
        """Refuse a file that will not fit before any of it is fetched."""
        if state.bytes is None:
            return
        self._check_limit(state.bytes)
        needs = {"REC_WORK": (self.partial.path.parent, state.bytes - arrived)}
        if self.partial.path.parent.stat().st_dev != self.target.parent.stat().st_dev:
            needs["REC_DATA"] = (self.target.parent, state.bytes)
        for setting, (folder, needed) in needs.items():
            free = shutil.disk_usage(folder).free
            if needed > free:
                raise InputError(f"{self.shown} needs {needed:,} bytes where {setting} has {free:,} left ({folder})")


def _state(answer: requests.Response, total: str) -> State:
    headers = answer.headers
    size = int(total) if total.isascii() and total.isdigit() else None
    return State(etag=headers.get("ETag"), last_modified=headers.get("Last-Modified"), bytes=size)


def _content_range(answer: requests.Response) -> tuple[int | None, str]:
    """The first byte and the total that an answer tells (`bytes 5-9/10`, `bytes */10`)."""
    found = re.fullmatch(r"bytes (?:(\d+)-\d+|\*)/(\d+|\*)", answer.headers.get("Content-Range", ""))
    return (int(found[1]) if found and found[1] else None, found[2] if found else "")
