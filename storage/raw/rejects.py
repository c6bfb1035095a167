"""Records and values that could not be read: all are counted, the first of each kind are kept; memory is bounded."""

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pyarrow as pa

from storage.artifacts.data_root import DataRoot
from storage.artifacts.manifest import Manifest
from storage.artifacts.tables import facts_of, write_table
from storage.errors import InputError
from storage.files.mirror import Mirror
from storage.raw.fields import KNOWN_NOISE
from storage.raw.gzip_reader import DAMAGED, TRUNCATED
from storage.schemas import SCHEMAS

KEPT_OF_A_REASON = 5_000
KEPT_OF_A_VALUE = 100
RAW_CHARACTERS = 2_000

DUPLICATE = "item was there already"


def rejects_path(root: DataRoot, asset: str, dataset: str) -> Path:
    """Where the rejects of `reviews` or `items` lie: beside the table."""
    return root.path(asset, dataset, ".rejects.parquet")


def rejects_of(root: DataRoot, table: Manifest) -> Path:
    """Where the rejects lie that belong to a table that is there."""
    return rejects_path(replace(root, variant=table.variant), table.asset, table.dataset)


class Rejects:
    """Records of one file that were left out, and values of others that were not read: line, why, and the beginning.

    All are counted; of each reason the first 5,000 are kept, with up to 2,000 characters of the line, so that a file
    without one good line takes no more than about 100 MB. Readers know a handful of reasons. Of values that were not
    read, the first 100 of each key and reason are kept.
    """

    def __init__(self) -> None:
        self._rows: list[tuple[int, str, str]] = []
        self._counts: Counter[str] = Counter()
        self._not_read: Counter[str] = Counter()

    def add(self, line: int, reason: str, raw: str) -> None:
        self._counts[reason] += 1
        if self._counts[reason] <= KEPT_OF_A_REASON:
            self._rows.append((line, reason, raw[:RAW_CHARACTERS].rstrip("\r\n")))

    def noting(self, line: int) -> Callable[[str, str, object], None]:
        """What is called with the key, the reason and the value, for each value of a record that was not read.

        A record counts once for each key and reason.
        """

        noted: set[str] = set()

        def note(key: str, why: str, value: object) -> None:
            reason = f"{key}: {why}"
            if reason in noted:
                return
            noted.add(reason)
            self._not_read[reason] += 1
            if self._not_read[reason] <= KEPT_OF_A_VALUE:
                self._rows.append((line, f"{reason} (not read)", _shown(value)))

        return note

    def __len__(self) -> int:
        """How many records were left out, kept here or not."""
        return self._counts.total()

    def by_reason(self) -> dict[str, int]:
        """How many records were left out, by reason."""
        return dict(self._counts)

    def not_read(self) -> dict[str, int]:
        """In how many records there was a value that was not read, by "key: reason"."""
        return dict(self._not_read)

    def first_of(self, reason: str) -> tuple[int, str]:
        """The line, and its beginning, of the first record that was left out for a reason."""
        return min((line, raw) for line, why, raw in self._rows if why == reason)

    def table(self) -> pa.Table:
        """The table `rejects`, by line: what was kept."""
        columns = zip(*sorted(self._rows), strict=True) if self._rows else ((), (), ())
        return pa.table([list(column) for column in columns], schema=SCHEMAS["rejects"])

    def write(self, target: Path, mirror: Mirror | None = None) -> None:
        """Publish the table `rejects`, with the counts in the file's own metadata."""
        counts = {"by_reason": self.by_reason(), "not_read": self.not_read()}
        about = {name: json.dumps(found, sort_keys=True) for name, found in counts.items()}
        write_table(target, "rejects", self.table(), about, mirror)


def _shown(value: object) -> str:
    """The beginning of a value as text that UTF-8 can write."""
    try:
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=repr)
    except (TypeError, ValueError, RecursionError):  # keys that are no texts, numbers of too many digits
        text = f"a value of type {type(value).__name__}"
    return text[:RAW_CHARACTERS].encode(errors="backslashreplace").decode()[:RAW_CHARACTERS]


class RejectCounts:
    """What a rejects file says of the dump that its table was read from.

    Attributes:
        by_reason: how many records were left out, by reason.
        not_read: in how many of the other records there was a value that was not read, by "key: reason".

    Raises:
        InputError: it is gone or damaged.
    """

    def __init__(self, rejects_file: Path) -> None:
        try:
            facts = facts_of(rejects_file)
            self.by_reason: dict[str, int] = json.loads(facts["by_reason"])
            self.not_read: dict[str, int] = json.loads(facts.get("not_read", "{}"))
        except (OSError, ValueError, KeyError, pa.ArrowException) as error:
            asset = rejects_file.parent.name
            raise InputError(f"{rejects_file} is missing or damaged; materialize {asset} again") from error

    @property
    def duplicates(self) -> int:
        """Sound records of an item that was there already: the real 2018 metadata has many, and nothing is lost."""
        return self.by_reason.get(DUPLICATE, 0)

    @property
    def rejected(self) -> int:
        """Records that could not be used."""
        return sum(self.by_reason.values()) - self.duplicates

    @property
    def damaged(self) -> bool:
        """Whether nobody knows how many lines are missing, because the gzip stream itself is damaged."""
        return TRUNCATED in self.by_reason or DAMAGED in self.by_reason

    @property
    def unexpected(self) -> dict[str, int]:
        """As `not_read`, but for what the official dumps are known to hold in place of values."""
        return {what: count for what, count in self.not_read.items() if what.partition(": ")[2] not in KNOWN_NOISE}

    @property
    def unexpected_by_key(self) -> dict[str, int]:
        """The same by key alone."""
        found: Counter[str] = Counter()
        for what, count in self.unexpected.items():
            found[what.partition(": ")[0]] += count
        return dict(found)

    def in_words(self) -> str:
        """Why records could not be used, the most frequent reason first, as a part of a sentence."""
        reasons = sorted(self.by_reason.items(), key=lambda found: -found[1])
        return ", ".join(f"{count:,} {reason}" for reason, count in reasons if reason != DUPLICATE) or "none"

    def rate(self, kept: int) -> float:
        """Share of unusable records among all that were read, of which `kept` became rows."""
        return self.rejected / max(kept + self.duplicates + self.rejected, 1)
