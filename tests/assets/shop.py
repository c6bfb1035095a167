"""A shop of six items and four users, with everything that the report tells of it."""

from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
from PIL import Image

from assets.evaluation.new_items import NEW_ITEM_METRICS
from assets.evaluation.report.findings import SENT, Findings, item_frame
from assets.interactions.splits import TEST, TRAIN, VALIDATION, Parts
from assets.training.scorers import scorer_of
from models.ranking.ranking import Scorer, matrix_of
from models.recommenders.explanations import Explainer
from models.recommenders.recommender import Anatomy
from storage.artifacts.saved_models import SavedModel, SavedModels
from storage.images.store import PictureStore
from storage.schemas import SCHEMAS

# Users 0 … 3 have 3, 1, 2 and 1 items in train; all but user 1 have something in test.
ROWS = [
    (0, 0, TRAIN, 30), (0, 1, TRAIN, 10), (0, 2, TRAIN, 20), (0, 3, TEST, 40),
    (1, 4, TRAIN, 10), (1, 5, VALIDATION, 20),
    (2, 0, TRAIN, 10), (2, 1, TRAIN, 20), (2, 5, TEST, 30),
    (3, 2, TRAIN, 10), (3, 0, TEST, 20),
]  # fmt: skip
USER, ITEM, SPLIT, TIME = (np.array(column) for column in zip(*ROWS, strict=True))
PARTS = Parts(USER, ITEM, SPLIT.astype(np.int8), users=4, items=6)
IDS = [f"I{number}" for number in range(6)]


class Shelf(PictureStore):
    """A store that holds one picture, a red one, under the key `red`."""

    def __init__(self) -> None:
        super().__init__(Path())

    def read(self, keys):  # type: ignore[no-untyped-def]
        content = BytesIO()
        Image.new("RGB", (9, 9), (255, 0, 0)).save(content, "PNG")
        assert set(keys) <= {"red"}
        yield from ((key, content.getvalue()) for key in keys)


def frame(title: str = "Second") -> pd.DataFrame:
    """The items: the third has a title, a picture and categories, the first an empty title, the others nothing."""
    described = pa.table({"item_id": ["I2", "I0"], "title": [title, ""], "categories": [["a", "b"], []]})
    columns = {"item_id": IDS, "position": 0, "status": "missing", "width": None, "height": None, "bytes": None}
    images = pd.DataFrame(columns | {"sha256": None})
    images.loc[2, ["status", "sha256"]] = ["ok", "red"]
    second = images.iloc[[2]].assign(position=1, sha256="another")
    table = pa.Table.from_pandas(pd.concat([second, images]), preserve_index=False)
    has = np.array([False, False, True, False, False, False])
    return item_frame(pa.table({"item_id": IDS}), described, table, has, ~has)


def model_ranking(order: list[int]) -> SavedModels:
    """A model that ranks the items in this order for everybody."""
    vectors = np.zeros((6, 1), np.float32)
    vectors[order, 0] = np.arange(6, 0, -1)
    share = np.array([0, 0, 1, 0, 0, 0], np.float32)
    tensors = {"user_vectors": np.ones((4, 1), np.float32), "item_vectors": vectors, "visual_share": share}
    return SavedModels((SavedModel(tensors, {"kind": "vectors", "score": "dot", "loss": "bpr", "seed": 0}),))


def scorer(order: list[int]) -> Scorer:
    """Of such a model."""
    return scorer_of(model_ranking(order).main, matrix_of(*PARTS.pairs(TRAIN), PARTS.users, PARTS.items))


def explainer(order: list[int]) -> Explainer:
    """Of such a model: pictures make up a quarter of every score, and the history sends what its items are worth."""
    tensors = model_ranking(order).main.tensors
    user, item = tensors["user_vectors"], tensors["item_vectors"]
    train = matrix_of(*PARTS.pairs(TRAIN), PARTS.users, PARTS.items)
    return Explainer(Anatomy(user, item, item / 4, item * 0, item), "dot", train)


def new_items() -> pd.DataFrame:
    """One method of placing new items, the same for every metric."""
    rows = [
        {"method": "gate", "metric": metric, "k": k, "value": 0.25, "ci_low": 0.125, "ci_high": 0.5}
        for metric, k in NEW_ITEM_METRICS
    ]
    return pd.DataFrame(rows).assign(n_users=3, n_items=2)


def findings() -> Findings:
    """What was found, but for the leaderboard, tuning, encoders and lineage."""
    recommended = {
        "user_id": ["buyer-0", "buyer-0", "buyer-3", "buyer-2", "buyer-0"],
        "rank": [2, 1, 1, 1, 9],
        "item_id": ["I5", "I3", "I4", "I5", "I4"],
    }
    nothing = pd.DataFrame()
    return Findings(
        dataset="shop",
        made_at=datetime(2026, 1, 2, tzinfo=UTC),
        leaderboard=nothing,
        tuning=nothing,
        new_items=new_items(),
        recommendations=pa.table(recommended),
        user_ids=pa.array(["buyer-0", "buyer-1", "buyer-2", "buyer-3"]),
        parts=PARTS,
        timestamp=TIME,
        items=frame(),
        curves={},
        gated=model_ranking([0, 1, 2, 3, 4, 5]),
        choice="ease is served, the best on validation: NDCG@20 0.5000, +0.1000 against lightgcn",
        evaluated={"ease": scorer([0, 1, 2, 3, 4, 5]), "lightgcn": scorer([5, 4, 3, 2, 1, 0])},
        comparisons=[],
        encoders={},
        lineage=[],
        explainers={
            "ease": explainer([0, 1, 2, 3, 4, 5]),
            "lightgcn": explainer([5, 4, 3, 2, 1, 0]),
            SENT: explainer([0, 1, 2, 3, 4, 5]),
        },
        history=SCHEMAS["history"].empty_table(),
        variants=[],
    )
