"""What a killed process leaves in the data root: files half-written beside their targets, and folders put aside."""

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

LEFT = re.compile(r"\.(?P<name>.+?)(\.[0-9a-f]{8})?\.(?P<pid>\d+)\.(?P<kind>partial|aside)")


def clean_up(folder: Path) -> Iterator[str]:
    """Put back folders that were put aside for a new one that never came, and delete everything else left behind.

    For when nobody writes. Yields a sentence for each.
    """
    for path in sorted(folder.glob("*/**/.*"), reverse=True):  # the inner ones first
        found = LEFT.fullmatch(path.name)
        if not found or not _is_gone(int(found["pid"])):
            continue
        target, where = path.with_name(found["name"]), path.relative_to(folder)
        if found["kind"] == "aside" and not target.exists():
            path.rename(target)
            yield f"{where.parent / target.name} was being replaced when the process died: the old one is back."
        else:
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
            yield f"{where} was left half-written by a process that died: it is deleted."


def _is_gone(pid: int) -> bool:
    """Whether there is no process of this number here."""
    return not Path(f"/proc/{pid}").exists()
