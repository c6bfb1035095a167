"""The best items for every user, a block of users at a time, and why."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
import pyarrow as pa
import scipy.sparse as sp
import torch

from assets.interactions.splits import EVERY_PART, Parts
from assets.training.load_model import load_model, weights_of
from assets.training.scorers import scorer_of
from models.config import RecommenderConfig
from models.ranking.ranking import Ranking, Scorer, Vectors, matrix_of, rank
from models.recommenders.cold_start import place_by_content
from models.recommenders.explanations import Explainer, ItemExplainer
from models.recommenders.fusion import Modality
from models.recommenders.item_models import Ease, ItemKnn
from models.recommenders.recommender import Recommender
from models.training.build_and_fit import TrainSet
from models.training.search_spaces import COUNTED_SPACES
from storage.artifacts.saved_models import SavedModel
from storage.artifacts.tables import Embeddings
from storage.schemas import SCHEMAS

BLOCK_USERS = 4096  # of one batch of rows; ranking cuts them smaller
REASONS = ("because", "because_part", "visual", "textual")  # the columns that explain

Explains: TypeAlias = Explainer | ItemExplainer


def owned(parts: Parts) -> sp.csr_matrix:
    """Who has what in any part of the data, float32 [users, items]."""
    return matrix_of(*parts.pairs(*EVERY_PART), parts.users, parts.items)


def explainer_of(model: SavedModel, data: TrainSet) -> Explains | None:
    """What takes the scores of a saved model apart; None of a model whose scores are no sums over a history.

    Args:
        data: what the model was fitted to.
    """
    if model.config["kind"] in COUNTED_SPACES:
        history = matrix_of(data.user, data.item, data.users, data.items)
        scorer = scorer_of(model, history)
        assert isinstance(scorer, Ease | ItemKnn)
        return ItemExplainer(history, scorer.weights)
    if "architecture" not in model.config:
        return None
    made = load_model(model, data)
    if not isinstance(made, Recommender):
        return None
    edges = sp.csr_matrix((data.users, data.items), dtype=np.float32)
    if data.adjacency is not None:
        edges = data.adjacency[: data.users, data.users :].tocsr()
    return Explainer(made.anatomy(), model.config["score"], edges)


@dataclass(frozen=True)
class NewItems:
    """Items that nobody has, and where they stand among the others.

    Attributes:
        numbers: int64 [new], their numbers.
        new, known: the scores of the new items and of those of the core, both by content alone.
        most: how many of a list may be new.
    """

    numbers: np.ndarray
    new: Scorer
    known: Scorer
    most: int


def places_for(share: float, length: int) -> int:
    """How many of a list of this length may be new: its share rounded down, and at least one."""
    return max(1, int(share * length + 1e-9))


@dataclass(frozen=True)
class Without:
    """A scorer that leaves some items out for everybody."""

    of: Scorer
    left_out: np.ndarray

    @property
    def items(self) -> int:
        return self.of.items

    def write(self, users: np.ndarray, out: torch.Tensor) -> None:
        """See `models.ranking.ranking.Scorer`."""
        self.of.write(users, out)
        out[:, torch.from_numpy(self.left_out)] = -torch.inf


@dataclass(frozen=True)
class Recommending:
    """What recommendations are made with.

    Attributes:
        seen: float32 [users, items], what users have, and are not recommended.
        user_ids, item_ids: the id of every number.
        top_k: how many items a user gets; explainer: of the scorer, where reasons are wanted.
        unavailable: int64, numbers of items that nobody is recommended.
        new_items: what enters the lists beside the items of the core; None where nothing does.
    """

    seen: sp.csr_matrix
    scorer: Scorer
    user_ids: pa.Array
    item_ids: pa.Array
    top_k: int
    explainer: Explains | None = None
    unavailable: np.ndarray = field(default_factory=lambda: np.empty(0, np.int64))
    new_items: NewItems | None = None

    def ranking(self, users: np.ndarray) -> Ranking:
        """The best items of some users."""
        ranking = rank(Without(self.scorer, self.unavailable), users, self.seen, self.top_k)
        return ranking if self.new_items is None else self._with_new(users, ranking, self.new_items)

    def _with_new(self, users: np.ndarray, ranking: Ranking, new: NewItems) -> Ranking:
        """The same lists with new items, each at the place where its content alone puts it among the items of the core.

        Its score is that of the item whose place it takes, or of the last one where none is left there; 0 without any.
        """
        known = rank(Without(new.known, self.unavailable), users, self.seen, self.top_k)
        nothing = sp.csr_matrix((self.seen.shape[0], new.new.items), dtype=np.float32)
        best = rank(new.new, users, nothing, min(new.most, new.new.items))
        items, scores = ranking.items.copy(), ranking.scores.copy()
        for row in range(len(users)):
            places = np.searchsorted(-known.scores[row], -best.scores[row])
            entering = [(place, number) for place, number in zip(places, best.items[row], strict=True) if number >= 0]
            found = list(zip(ranking.items[row].tolist(), ranking.scores[row].tolist(), strict=True))
            for inserted, (place, number) in enumerate(entering):
                at = int(place) + inserted
                if at < len(found):
                    score = next((value for _, value in found[at::-1] if np.isfinite(value)), 0.0)
                    found.insert(at, (int(new.numbers[number]), score))
            chosen = found[: len(ranking.items[row])]
            items[row], scores[row] = [item for item, _ in chosen], [score for _, score in chosen]
        return Ranking(items, scores)

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
        is_new = pa.array((ranking.items >= self.seen.shape[1])[ranking.items >= 0])
        columns = [*make_columns(users, ranking, self.user_ids, self.item_ids), is_new]
        return pa.record_batch([*columns, *self._reasons(users, ranking)], schema=SCHEMAS["recommendations"])

    def _reasons(self, users: np.ndarray, ranking: Ranking) -> list[pa.Array]:
        """The columns that explain; empty for items that nobody has, or where nobody asked."""
        there = ranking.items >= 0
        types = [SCHEMAS["recommendations"].field(name).type for name in REASONS]
        if self.explainer is None:
            return [pa.nulls(int(there.sum()), kind) for kind in types]
        is_known = ranking.items < self.seen.shape[1]
        found = self.explainer.reasons(users, np.where(is_known, ranking.items, -1))
        missing = ~is_known[there]
        named = found.because[there] >= 0  # [rows, most]
        ends = np.concatenate([[0], np.cumsum(named.sum(axis=1))]).astype(np.int32)
        lists = (self.item_ids.take(pa.array(found.because[there][named])), pa.array(found.because_part[there][named]))
        because = [
            pa.ListArray.from_arrays(pa.array(ends), values, type=kind, mask=pa.array(missing))
            for values, kind in zip(lists, types[:2], strict=True)
        ]
        return [*because, *(pa.array(part[there], mask=missing) for part in (found.visual, found.textual))]


def make_columns(users: np.ndarray, ranking: Ranking, user_ids: pa.Array, item_ids: pa.Array) -> list[pa.Array]:
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


def place_items(
    model: SavedModel,
    item_index: pa.Table,
    image_embeddings: Embeddings,
    text_embeddings: Embeddings,
    left_out: np.ndarray,
) -> tuple[np.ndarray, Vectors, Vectors]:
    """Items outside of the core that have a picture or a text, placed by these.

    Args:
        left_out: int64, numbers of items that are not wanted.

    Returns:
        Their numbers, int64; what scores them; and what scores the items of the core in the same way, by content alone.
    """
    core = item_index["in_core"].to_numpy()
    views = [(view.matrix, view.has_value) for view in (image_embeddings, text_embeddings)]
    # A view that training never saw, or saw of one item, which is its centre, says nothing of a new one.
    views = [(matrix, there & (there[core].sum() > 1)) for matrix, there in views]
    visual, textual = (Modality.of(matrix, there, core) for matrix, there in views)
    vectors = place_by_content(RecommenderConfig.model_validate(model.config), weights_of(model), visual, textual)
    wanted = ~core & (views[0][1] | views[1][1])
    wanted[left_out] = False
    new, users, score = np.flatnonzero(wanted), model.tensors["user_vectors"], model.config["score"]
    return new, Vectors(users, vectors[new], score), Vectors(users, vectors[core], score)


def new_item_batches(
    scorer: Scorer, users: np.ndarray, every: int, ids: tuple[pa.Array, pa.Array], top_k: int
) -> Iterator[pa.RecordBatch]:
    """The rows of `new_item_scores` for some of `every` users, by user and then by rank; none without new items."""
    if not scorer.items:
        return
    nothing = sp.csr_matrix((every, scorer.items), dtype=np.float32)
    for start in range(0, len(users), BLOCK_USERS):
        block = users[start : start + BLOCK_USERS]
        columns = make_columns(block, rank(scorer, block, nothing, top_k), *ids)
        yield pa.record_batch(columns, schema=SCHEMAS["new_item_scores"])
