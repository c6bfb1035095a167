"""What a disk refuses, as one sentence that says where it was and what a person can do about it."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryFile

from storage.errors import InputError

PROBE_BYTES = 1 << 16

ROOM, LEAVE = "make room there", "make it writable"
TO_DO = {
    errno.ENOSPC: ROOM,
    errno.EDQUOT: ROOM,
    errno.EFBIG: "lift the limit on the size of a file",
    errno.EROFS: LEAVE,
    errno.EACCES: LEAVE,
    errno.EPERM: LEAVE,
}


@contextmanager
def explain_disk_errors(target: Path) -> Iterator[None]:
    """Turn what the disk refuses while `target` is written into a sentence; every other error passes as it is.

    Libraries that write by themselves do not always say why they could not. Then the disk is asked.

    Raises:
        InputError: the disk is full, may not be written, or takes no file so large.
    """
    try:
        yield
    except (OSError, RuntimeError) as error:
        refusal = error if isinstance(error, OSError) and error.errno else _refusal(target.parent)
        if refusal is None or refusal.errno not in TO_DO or _is_elsewhere(refusal.filename, target):
            raise
        reason, to_do, setting = os.strerror(refusal.errno), TO_DO[refusal.errno], setting_of(target)
        raise InputError(
            f"{target} cannot be written ({reason}); {to_do}, or let {setting} name another place"
        ) from error


def setting_of(path: Path) -> str:
    """The setting that says where a path lies: REC_WORK for what is not finished yet, else REC_DATA."""
    work = os.environ.get("REC_WORK")
    in_work = path.is_relative_to(Path(work).absolute()) if work else ".work" in path.parts
    return "REC_WORK" if in_work else "REC_DATA"


def _refusal(folder: Path) -> OSError | None:
    """What the disk says when it is asked for a little room; None if it gives it."""
    try:
        with TemporaryFile(dir=folder) as probe:
            probe.write(bytes(PROBE_BYTES))
            probe.flush()
            os.fsync(probe.fileno())
    except OSError as refusal:
        return refusal
    return None


def _is_elsewhere(named: object, target: Path) -> bool:
    """Whether an error names a path that has nothing to do with the target: a file that was read for it."""
    if not isinstance(named, str):
        return False
    path = Path(named)
    return not (path.is_relative_to(target.parent) or target.is_relative_to(path))
