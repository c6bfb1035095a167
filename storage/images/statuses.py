"""How asking for a picture ends: `ok`, or a status that says why there is none."""

from storage.http_policy import PASSING_CODES

OK = "ok"
MISSING = "missing"  # the item names no picture
NO_METADATA = "no_metadata"  # no metadata name the item
EXCLUDED = "excluded"  # by the setting picture_exclude
NOBODY_PROMISED = (MISSING, NO_METADATA)
INT32_MAX = 2**31 - 1  # the largest size that the table can hold

# What another try may mend: the same URL may give what it is asked for in a second, or at the next run.
PASSING = frozenset(["timeout", "unreachable", "broken_off", *(f"http_{code}" for code in PASSING_CODES)])


class RefusedError(Exception):
    """A picture that is not had.

    Attributes:
        status: why, as it stands in the table.
        size, width, height: bytes and pixels, as far as they are known; of a body that was not read to its end, how
            much it is at least.
    """

    def __init__(self, status: str, size: int | None = None, width: int | None = None, height: int | None = None):
        super().__init__(status)
        self.status, self.width, self.height = status, width, height
        self.size = None if size is None else min(size, INT32_MAX)
