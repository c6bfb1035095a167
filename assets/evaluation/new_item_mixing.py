"""What lists gain and lose when items that nobody has bought enter them, measured on items that were held out."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import scipy.sparse as sp

from assets.evaluation.new_items import Cold, Views, place_vectors
from assets.evaluation.significance import bootstrap_intervals
from assets.interactions.splits import TEST, TRAIN
from assets.serving.recommend import NewItems, Recommending, places_for
from models.ranking.ranking import Scorer, Vectors, matrix_of, ranking_metrics
from storage.artifacts.saved_models import SavedModel
from storage.errors import InputError

TOP = 20
MIXED_METRICS = ("recall_of_new", "recall_of_others")
SHARES = (0.0, 0.1, 0.2, 0.3, 0.5)  # of a list that may be new


def mixed_rows(cold: Cold, chosen: Scorer, placing: SavedModel, views: Views, seed: int) -> Iterator[dict[str, Any]]:
    """Rows of `new_item_recall`: for each share, the recall of new items and of the others' test items in a list of 20.

    Args:
        chosen: scores the warm items.
        placing: the model that places the items held out; both know the warm items alone.

    Raises:
        InputError: nobody has a warm item in test.
    """
    train, test = (matrix_of(*cold.warm.pairs(part), cold.warm.users, cold.warm.items) for part in (TRAIN, TEST))
    tested = np.flatnonzero((np.diff(train.indptr) > 0) & (np.diff(test.indptr) > 0))
    if not len(tested):
        raise InputError("nobody has a test item among those that are not held out")
    vectors, users = place_vectors(cold, placing, views), placing.tensors["user_vectors"]
    known, new = (Vectors(users, part, placing.config["score"]) for part in np.split(vectors, [cold.warm.items]))
    nobody = pa.array([], pa.string())
    relevant = dict(zip(MIXED_METRICS, ((cold.users, _shifted(cold)), (tested, _widened(test, cold))), strict=True))
    for share in SHARES:
        numbers = np.arange(cold.warm.items, cold.warm.items + len(cold.items))
        entering = NewItems(numbers, new, known, places_for(share, TOP)) if share else None
        mixing = Recommending(train, chosen, nobody, nobody, TOP, new_items=entering)
        for metric, (whose, wanted) in relevant.items():
            found = ranking_metrics(mixing.ranking(whose), whose, wanted, (TOP,))["recall", TOP]
            low, high = bootstrap_intervals(found[:, None], seed)
            yield {
                "method": f"share {share:g}",
                "metric": metric,
                "k": TOP,
                "value": float(found.mean()),
                "ci_low": float(low[0]),
                "ci_high": float(high[0]),
                "n_users": len(whose),
                "n_items": len(cold.items),
            }


def _shifted(cold: Cold) -> sp.csr_matrix:
    """Who has which item held out, [users, warm and held out]: these are numbered after the warm ones."""
    nothing = sp.csr_matrix((cold.warm.users, cold.warm.items), dtype=np.float32)
    return sp.hstack([nothing, cold.wanted], format="csr")


def _widened(test: sp.csr_matrix, cold: Cold) -> sp.csr_matrix:
    """The warm test items, [users, warm and held out]."""
    return sp.hstack([test, sp.csr_matrix(cold.wanted.shape, dtype=np.float32)], format="csr")
