"""What a saved model scores by."""

from collections.abc import Mapping

import scipy.sparse as sp

from models.closed_form import Blend, Ease, ItemKnn, ZScores
from models.ranking import Scorer, Vectors
from storage.models import SavedModel, SavedModels


def scorer_of(model: SavedModel, train: sp.csr_matrix, others: Mapping[str, SavedModels] | None = None) -> Scorer:
    """The scorer that a saved model is.

    Args:
        train: float32 [users, items], what it was trained on; models of items × items score by it.
        others: the models that a blend is made of, by name.
    """
    tensors, config = model.tensors, model.config
    match config["kind"]:
        case "ease":
            return Ease(train, tensors["weights"])
        case "item_knn":
            parts = (tensors[name] for name in ("data", "indices", "indptr"))
            return ItemKnn(train, sp.csr_matrix(tuple(parts), shape=(train.shape[1],) * 2))
        case "blend":
            assert others is not None
            first = others[config["first"]].main
            second = next(fit for fit in others[config["second"]].fits if fit.name == config["second_fit"])
            return Blend(ZScores(scorer_of(first, train)), ZScores(scorer_of(second, train)), config["weight"])
        case _:
            return Vectors(tensors["user_vectors"], tensors["item_vectors"], config["score"])
