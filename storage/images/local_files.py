"""Pictures that lie in the dataset's own folder; no path leaves it but links into a folder that its owner names."""

import os
from dataclasses import dataclass
from pathlib import Path

from storage.images.statuses import RefusedError


@dataclass(frozen=True)
class LocalPictures:
    """The pictures below `base`; none at all where a dataset has no folder.

    Symbolic links may lead to files below `links` as well.
    """

    base: Path | None
    links: Path | None = None

    def mark(self, path: str) -> str:
        """The state of a file: another size or time of change is another file.

        Raises:
            RefusedError: `forbidden`, `symbolic_link` (that leads out), `not_found` or `bad_path`.
        """
        return self._find(path)[1]

    def read(self, path: str, max_bytes: int) -> bytes:
        """The content of a file.

        Raises:
            RefusedError: as above, or `too_large`.
        """
        file, _ = self._find(path)
        try:
            with file.open("rb") as opened:
                content = opened.read(max_bytes + 1)
                size = os.fstat(opened.fileno()).st_size
        except OSError:
            raise RefusedError("bad_path") from None
        if len(content) > max_bytes:
            raise RefusedError("too_large", size=size)
        return content

    def _find(self, path: str) -> tuple[Path, str]:
        if self.base is None:
            raise RefusedError("forbidden")
        try:
            file = (self.base / path).resolve()
            if not file.is_relative_to(self.base.resolve()):
                if not Path(os.path.normpath(self.base / path)).is_relative_to(os.path.normpath(self.base)):
                    raise RefusedError("forbidden")
                if self.links is None or not file.is_relative_to(self.links.resolve()):
                    raise RefusedError("symbolic_link")
            if not file.is_file():
                raise RefusedError("not_found")
            state = file.stat()
        except (OSError, ValueError, RuntimeError):  # a path that no file system takes, a loop of links, no permission
            raise RefusedError("bad_path") from None
        return file, f"{state.st_size}:{state.st_mtime_ns}"
