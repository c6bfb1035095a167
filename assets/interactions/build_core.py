"""Reviews become the table `interactions`: filtered, one row a pair, k-core, numbered and sorted by user."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from assets.core.settings import CoreSettings
from assets.interactions.kcore import first_of_pairs, k_core, number_ids
from storage.artifacts.tables import CodedReviews
from storage.errors import InputError
from storage.schemas import SCHEMAS

BATCH_ROWS = 1 << 16


@dataclass(frozen=True)
class Interactions:
    """The rows of the table `interactions`, by user and then as in the dump, and how many each step has left."""

    rows: CodedReviews
    funnel: dict[str, int | float]

    def stream(self) -> pa.RecordBatchReader:
        """The table in batches: strings exist for one batch at a time."""
        return pa.RecordBatchReader.from_batches(SCHEMAS["interactions"], self._batches())

    def _batches(self) -> Iterator[pa.RecordBatch]:
        rows = self.rows
        for first in range(0, len(rows.user), BATCH_ROWS):
            batch = slice(first, first + BATCH_ROWS)
            user, item = pa.array(rows.user[batch]), pa.array(rows.item[batch])
            ids = (rows.user_ids.take(user), rows.item_ids.take(item))
            columns = [user, item, *ids, pa.array(rows.rating[batch]), pa.array(rows.timestamp[batch])]
            yield pa.record_batch(columns, schema=SCHEMAS["interactions"])


def core_interactions(reviews: CodedReviews, settings: CoreSettings) -> Interactions:
    """Rating filter, then one row a pair (the earliest), then the k-core.

    Raises:
        InputError: nothing is left.
    """
    user, item = reviews.user, reviews.item
    rated = np.arange(len(user))
    if settings.min_rating is not None:
        rated = np.flatnonzero(reviews.rating >= settings.min_rating)
    first = rated[first_of_pairs(user[rated], item[rated], reviews.timestamp[rated])]
    core = first[k_core(user[first], item[first], settings.user_core, settings.item_core)]
    if not len(core):
        raise InputError(
            f"none of the {len(first):,} interactions is in the core "
            f"(user_core {settings.user_core}, item_core {settings.item_core}, min_rating {settings.min_rating})"
        )
    user, user_ids = number_ids(user[core], reviews.user_ids)
    item, item_ids = number_ids(item[core], reviews.item_ids)
    order = np.argsort(user, kind="stable")
    rows = core[order]
    funnel = {
        "reviews": len(reviews.user),
        "after_rating_filter": len(rated),
        "after_deduplication": len(first),
        "in_core": len(core),
        "users": len(user_ids),
        "items": len(item_ids),
        "sparsity": 1 - len(core) / (len(user_ids) * len(item_ids)),
    }
    coded = CodedReviews(user[order], item[order], reviews.rating[rows], reviews.timestamp[rows], user_ids, item_ids)
    return Interactions(coded, funnel)


def user_ids_of(interactions: pa.Table) -> pa.Array:
    """The id of every user number."""
    user = interactions["user"].to_numpy()
    first = np.searchsorted(user, np.arange(int(user.max()) + 1))
    return interactions["user_id"].combine_chunks().take(pa.array(first))


def keys_of(ids: pa.Array) -> np.ndarray:
    """A hash of each id, uint64."""
    import pandas as pd

    return pd.util.hash_array(ids.to_numpy(zero_copy_only=False), categorize=False)
