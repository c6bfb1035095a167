"""Records that could not be used: every one is counted, the first of each kind are kept. Its memory is bounded."""

import json
from collections import Counter
from pathlib import Path

import pyarrow as pa

from storage.errors import InputError
from storage.inflate import DAMAGED, TRUNCATED
from storage.layout import DataRoot
from storage.schemas import SCHEMAS
from storage.tables import facts_of, write_table

KEPT_OF_A_REASON = 5_000
RAW_CHARACTERS = 2_000

DUPLICATE = "item was there already"


def rejects_path(root: DataRoot, asset: str, dataset: str) -> Path:
    """Where the rejects of `reviews` or `items` lie: beside the table."""
    return root.path(asset, dataset, ".rejects.parquet")


class Rejects:
    """Records of one file that were left out: their line, why, and the beginning of the line itself.

    All are counted; of each reason the first 5,000 are kept, with up to 2,000 characters of the line, so that a file
    without one good line takes no more than about 100 MB. Readers know a handful of reasons.
    """

    def __init__(self) -> None:
        self._rows: list[tuple[int, str, str]] = []
        self._counts: Counter[str] = Counter()

    def add(self, line: int, reason: str, raw: str) -> None:
        self._counts[reason] += 1
        if self._counts[reason] <= KEPT_OF_A_REASON:
            self._rows.append((line, reason, raw[:RAW_CHARACTERS].rstrip("\r\n")))

    def __len__(self) -> int:
        """How many there were, kept or not."""
        return self._counts.total()

    def by_reason(self) -> dict[str, int]:
        return dict(self._counts)

    def table(self) -> pa.Table:
        """The table `rejects`, by line: what was kept."""
        columns = zip(*sorted(self._rows), strict=True) if self._rows else ((), (), ())
        return pa.table([list(column) for column in columns], schema=SCHEMAS["rejects"])

    def write(self, target: Path) -> None:
        """Publish the table `rejects`, with the counts in the file's own metadata."""
        write_table(target, "rejects", self.table(), {"by_reason": json.dumps(self.by_reason(), sort_keys=True)})


class RejectCounts:
    """What a rejects file says of the dump that its table was read from.

    Attributes:
        by_reason: how many records were left out, by reason.

    Raises:
        InputError: it is gone or damaged.
    """

    def __init__(self, rejects_file: Path) -> None:
        try:
            self.by_reason: dict[str, int] = json.loads(facts_of(rejects_file)["by_reason"])
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

    def rate(self, kept: int) -> float:
        """Share of unusable records among all that were read, of which `kept` became rows."""
        return self.rejected / max(kept + self.duplicates + self.rejected, 1)
