"""The best items for every user, a block of users at a time, and why."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import scipy.sparse as sp

from assets.training.restored import restored, weights_of
from models.config import RecommenderConfig
from models.explaining import Explainer
from models.fitting import TrainSet
from models.fusion import Modality
from models.new_items import placed
from models.ranking import Ranking, Scorer, Vectors, rank
from models.recommender import Recommender
from storage.models import SavedModel
from storage.schemas import SCHEMAS
from storage.tables import Embeddings

BLOCK_USERS = 4096  # of one batch of rows; ranking cuts them smaller
REASONS = ("because", "because_part", "visual", "textual")  # the columns that explain


def explainer_of(model: SavedModel, data: TrainSet) -> Explainer:
    """What takes the scores of a saved recommender apart; `data` is what it was trained on."""
    made = restored(model, data)
    assert isinstance(made, Recommender)
    edges = sp.csr_matrix((data.users, data.items), dtype=np.float32)
    if data.adjacency is not None:
        edges = data.adjacency[: data.users, data.users :].tocsr()
    return Explainer(made.anatomy(), model.config["score"], edges)


@dataclass(frozen=True)
class Recommending:
    """What recommendations are made with.

    Attributes:
        seen: float32 [users, items], what users have in train, and are not recommended.
        scorer: of users with something in train; fallback: of the others.
        user_ids, item_ids: the id of every number.
        top_k: how many items a user gets; explainer: of the scorer, where reasons are wanted.
    """

    seen: sp.csr_matrix
    scorer: Scorer
    fallback: Scorer
    user_ids: pa.Array
    item_ids: pa.Array
    top_k: int
    explainer: Explainer | None = None

    def ranking(self, users: np.ndarray) -> Ranking:
        """The best items of some users."""
        ranking = rank(self.scorer, users, self.seen, self.top_k)
        unknown = np.diff(self.seen[users].indptr) == 0
        if unknown.any():
            popular = rank(self.fallback, users[unknown], self.seen, self.top_k)
            ranking.items[unknown], ranking.scores[unknown] = popular.items, popular.scores
        return ranking

    @property
    def blocks(self) -> range:
        """The first user of every block."""
        return range(0, self.seen.shape[0], BLOCK_USERS)

    def batches(self) -> Iterator[pa.RecordBatch]:
        """The rows of `recommendations`, by user and then by rank."""
        return map(self.batch, self.blocks)

    def batch(self, start: int) -> pa.RecordBatch:
        """The rows of the block of users that begins with `start`."""
        users = np.arange(start, min(start + BLOCK_USERS, self.seen.shape[0]))
        ranking = self.ranking(users)
        columns = [*ranked_columns(users, ranking, self.user_ids, self.item_ids), *self._reasons(users, ranking)]
        return pa.record_batch(columns, schema=SCHEMAS["recommendations"])

    def _reasons(self, users: np.ndarray, ranking: Ranking) -> list[pa.Array]:
        """The columns that explain; empty for users of whom the model knows nothing, or where nobody asked."""
        there = ranking.items >= 0
        types = [SCHEMAS["recommendations"].field(name).type for name in REASONS]
        if self.explainer is None:
            return [pa.nulls(int(there.sum()), kind) for kind in types]
        found = self.explainer.reasons(users, ranking.items)
        missing = np.broadcast_to((np.diff(self.seen[users].indptr) == 0)[:, None], there.shape)[there]
        named = found.because[there] >= 0  # [rows, most]
        ends = np.concatenate([[0], np.cumsum(named.sum(axis=1))]).astype(np.int32)
        lists = (self.item_ids.take(pa.array(found.because[there][named])), pa.array(found.because_part[there][named]))
        because = [
            pa.ListArray.from_arrays(pa.array(ends), values, type=kind, mask=pa.array(missing))
            for values, kind in zip(lists, types[:2], strict=True)
        ]
        return [*because, *(pa.array(part[there], mask=missing) for part in (found.visual, found.textual))]


def ranked_columns(users: np.ndarray, ranking: Ranking, user_ids: pa.Array, item_ids: pa.Array) -> list[pa.Array]:
    """The columns user_id, rank, item_id and score of a ranking of `users`."""
    there = ranking.items >= 0
    places = np.broadcast_to(np.arange(1, ranking.items.shape[1] + 1, dtype=np.int32), there.shape)
    owners = np.broadcast_to(users[:, None], there.shape)
    return [
        user_ids.take(pa.array(owners[there])),
        pa.array(places[there]),
        item_ids.take(pa.array(ranking.items[there])),
        pa.array(ranking.scores[there]),
    ]


def placed_new_items(
    model: SavedModel, item_index: pa.Table, image_embeddings: Embeddings, text_embeddings: Embeddings
) -> tuple[np.ndarray, Vectors]:
    """The numbers of the items outside of the core that have a picture or a text, int64, and what scores them."""
    core = item_index["in_core"].to_numpy()
    views = [(view.matrix, view.has_value) for view in (image_embeddings, text_embeddings)]
    # A view that training never saw, or saw of one item, which is its centre, says nothing of a new one.
    views = [(matrix, there & (there[core].sum() > 1)) for matrix, there in views]
    visual, textual = (Modality.of(matrix, there, core) for matrix, there in views)
    vectors = placed(RecommenderConfig.model_validate(model.config), weights_of(model), visual, textual)
    new = np.flatnonzero(~core & (views[0][1] | views[1][1]))
    return new, Vectors(model.tensors["user_vectors"], vectors[new], model.config["score"])


def new_item_batches(
    scorer: Scorer, users: np.ndarray, every: int, ids: tuple[pa.Array, pa.Array], top_k: int
) -> Iterator[pa.RecordBatch]:
    """The rows of `new_item_scores` for some of `every` users, by user and then by rank; none without new items."""
    if not scorer.items:
        return
    nothing = sp.csr_matrix((every, scorer.items), dtype=np.float32)
    for start in range(0, len(users), BLOCK_USERS):
        block = users[start : start + BLOCK_USERS]
        columns = ranked_columns(block, rank(scorer, block, nothing, top_k), *ids)
        yield pa.record_batch(columns, schema=SCHEMAS["new_item_scores"])
