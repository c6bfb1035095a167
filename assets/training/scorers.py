"""What a saved model scores by."""

from collections.abc import Mapping

import scipy.sparse as sp

from models.ranking.ranking import Scorer, Vectors
from models.recommenders.item_models import Blend, Ease, ItemKnn, ZScores
from storage.artifacts.saved_models import SavedModel, SavedModels

PACKED = "part_configs"  # of a blend that holds both of its models itself
SIDES = ("first", "second")


def pack_models(first: SavedModel, second: SavedModel, weight: float) -> SavedModel:
    """Two models and the weight of the first as one saved model, that scores by itself."""
    parts = dict(zip(SIDES, (first, second), strict=True))
    tensors = {f"{side}.{name}": value for side, part in parts.items() for name, value in part.tensors.items()}
    config = {"model": "blend", "kind": "blend", "score": "z-score", "weight": weight}
    about = {side: part.config["model"] for side, part in parts.items()}
    common = {name: second.config[name] for name in ("loss", "seed", "device")}
    return SavedModel(tensors, config | about | common | {PACKED: {side: part.config for side, part in parts.items()}})


def unpack_models(model: SavedModel) -> tuple[SavedModel, SavedModel]:
    """The two models that `packed` has put together."""

    def part(side: str) -> SavedModel:
        own = {
            name.removeprefix(f"{side}."): value for name, value in model.tensors.items() if name.startswith(f"{side}.")
        }
        return SavedModel(own, model.config[PACKED][side])

    first, second = map(part, SIDES)
    return first, second


def scorer_of(model: SavedModel, train: sp.csr_matrix, others: Mapping[str, SavedModels] | None = None) -> Scorer:
    """The scorer that a saved model is.

    Args:
        train: float32 [users, items], what it was trained on; models of items × items score by it.
        others: the models that a blend is made of, by name; one that is served holds them itself.
    """
    tensors, config = model.tensors, model.config
    match config["kind"]:
        case "ease":
            return Ease(train, tensors["weights"])
        case "item_knn":
            parts = (tensors[name] for name in ("data", "indices", "indptr"))
            return ItemKnn(train, sp.csr_matrix(tuple(parts), shape=(train.shape[1],) * 2))
        case "blend":
            if PACKED in config:
                first, second = unpack_models(model)
            else:
                assert others is not None
                first = others[config["first"]].main
                second = next(fit for fit in others[config["second"]].fits if fit.name == config["second_fit"])
            return Blend(ZScores(scorer_of(first, train)), ZScores(scorer_of(second, train)), config["weight"])
        case _:
            return Vectors(tensors["user_vectors"], tensors["item_vectors"], config["score"])
