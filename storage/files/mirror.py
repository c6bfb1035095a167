"""The local folder that stands for a data root at a URL: everybody reads and writes it, and the remote is what counts.

A file is sent before it takes its place here, so that a mirror never holds what its remote does not; and it is fetched
whole or not at all. A mirror can be deleted at any time.
"""

import fcntl
import filecmp
import hashlib
import os
import shutil
import threading
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from storage.files.mirror_index import IndexEntry, MirrorIndex
from storage.files.remote import Found, Remote, batches
from storage.progress import Progress

SHARED = "embeddings"  # what lies here belongs to every dataset
MANIFEST = ".manifest.json"


class Mirror:
    """A remote, and the folder below `work` that follows it. A key is a path below either.

    Raises:
        InputError: from every method, where the remote is unavailable.
    """

    def __init__(self, remote: Remote, work: Path):
        self.remote, self.work = remote, work
        self.folder = work / "mirror" / hashlib.sha256(remote.url.rstrip("/").encode()).hexdigest()[:16]
        self._index = MirrorIndex(self.folder.with_suffix(".sqlite"))
        self._pulled: set[str] = set()
        self._pulling = threading.Lock()

    def holds(self, path: Path) -> bool:
        """Whether a path is one of the mirror's."""
        return path.is_relative_to(self.folder)

    def key(self, path: Path) -> str:
        return path.relative_to(self.folder).as_posix()

    def upload(self, source: Path, target: Path) -> None:
        """Make the remote hold, for a path of the mirror, what is about to take that place: a file or a folder.

        What it holds already is not sent again. What a folder no longer has is deleted last.
        """
        parts = [source] if source.is_file() else [path for path in source.rglob("*") if path.is_file()]
        files = {self.key(target / part.relative_to(source)): part for part in parts}
        entries = self._index.read()
        may_be_there = source.is_dir() or self.key(target) in entries
        found = self.remote.find(self.key(target), source.is_dir()) if may_be_there else {}
        new = {key: part for key, part in files.items() if not self._holds(key, part, found, entries)}
        self.remote.send(new)
        self.remote.delete(found.keys() - files.keys())
        found = self.remote.find(self.key(target), source.is_dir()) if new else found
        self._index.write({key: IndexEntry.of(found[key].mark, part) for key, part in files.items() if key in found})

    def remove(self, target: Path) -> None:
        """Delete from the remote what lies at a path of the mirror, which stays here."""
        self.remote.delete(self.remote.find(self.key(target), target.is_dir()))

    def pull_once(self, dataset: str, assets: Collection[str] | None = None) -> None:
        """Pull what belongs to a dataset, or to some of its assets alone, at the first call of this process."""
        with self._pulling:
            if dataset not in self._pulled:
                self.pull(lambda key: belongs(key, dataset, assets))
                self._pulled.add(dataset)

    def pull(self, wanted: Callable[[str], bool], wait: bool = True) -> None:
        """Hold, of the keys that are wanted, what the remote holds: no less, and no longer more.

        What is here with the mark that it has there is not fetched again. A pull that is killed goes on at the next.

        Args:
            wait: for another process that pulls; else nothing is done meanwhile.
        """
        with self._alone(wait) as alone:
            if not alone:
                return
            # Before the remote is listed: what is published meanwhile is not taken for what somebody deleted.
            entries = {key: entry for key, entry in self._index.read().items() if wanted(key)}
            found = {key: one for key, one in self.remote.find().items() if wanted(key)}
            new = {key: one for key, one in found.items() if not self._is_here(key, one, entries)}
            if new:
                self._fetch({key: new[key] for key in sorted(new, key=is_manifest)})
            gone = entries.keys() - found.keys()
            for key in gone:
                (self.folder / key).unlink(missing_ok=True)
            self._index.forget(gone)

    def _holds(self, key: str, part: Path, found: Mapping[str, Found], entries: Mapping[str, IndexEntry]) -> bool:
        """Whether the remote has this content: it is in the mirror, and was not touched since, here or there."""
        entry, place = entries.get(key), self.folder / key
        if entry is None or key not in found or entry.remote != found[key].mark or not entry.fits(place):
            return False
        return filecmp.cmp(place, part, shallow=False)

    def _is_here(self, key: str, found: Found, entries: Mapping[str, IndexEntry]) -> bool:
        """Whether a file need not be fetched. One that a reader found damaged must, whatever its mark says."""
        entry, place = entries.get(key), self.folder / key
        if entry is None or is_always_compared(key) or place.with_name(f"{place.name}.damaged").exists():
            return False
        return entry.remote == found.mark and entry.fits(place)

    def _fetch(self, files: Mapping[str, Found]) -> None:
        """Bring files here in this order; each appears whole."""
        aside = self.folder.with_suffix(".pulling")
        shutil.rmtree(aside, ignore_errors=True)  # of a process that was killed: nobody else pulls now
        sizes = {key: one.size for key, one in files.items()}
        with Progress(f"from {self.remote.url}", sum(sizes.values()), "bytes") as progress:
            for batch in batches(sizes):
                aside.mkdir(parents=True)
                arrived = {key: aside / str(number) for number, key in enumerate(batch)}
                self.remote.fetch(arrived)
                for key, path in arrived.items():
                    self._place(path, self.folder / key)
                self._index.write({key: IndexEntry.of(files[key].mark, self.folder / key) for key in batch})
                shutil.rmtree(aside)
                progress.advance(sum(sizes[key] for key in batch))

    def _place(self, arrived: Path, place: Path) -> None:
        """Give a file its place, unless the same is there."""
        if place.is_file() and filecmp.cmp(place, arrived, shallow=False):
            return
        place.parent.mkdir(parents=True, exist_ok=True)
        with arrived.open("rb") as file:
            os.fsync(file.fileno())
        arrived.replace(place)

    @contextmanager
    def _alone(self, wait: bool) -> Iterator[bool]:
        """Whether nobody else on this machine pulls meanwhile."""
        self.folder.parent.mkdir(parents=True, exist_ok=True)
        with self.folder.with_suffix(".lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
            except BlockingIOError:
                yield False
                return
            yield True


def belongs(key: str, dataset: str, assets: Collection[str] | None = None) -> bool:
    """Whether a file is one of a dataset's, such as ASSET/DATASET.parquet or ASSET/DATASET/…, or shared by all."""
    asset, *rest = key.split("/")
    if assets is not None and asset not in assets:
        return False
    return asset == SHARED or any(part == dataset or part.startswith((f"{dataset}.", f"{dataset}@")) for part in rest)


def is_manifest(key: str) -> bool:
    return key.endswith(MANIFEST)


def is_always_compared(key: str) -> bool:
    """Whether a file is small, and may change while its size stays: it is fetched whatever its mark says."""
    return is_manifest(key) or key.split("/")[0] in ("history", "current", "variants")
