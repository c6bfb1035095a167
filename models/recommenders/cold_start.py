"""Items that nobody has bought yet, placed by their pictures and texts."""

from collections.abc import Mapping

import numpy as np
import scipy.sparse as sp
import torch

from models.config import RecommenderConfig
from models.errors import ModelError
from models.ranking.ranking import top_k
from models.recommenders.fusion import Fusion, Modality

BLOCK_ITEMS = 1024


def place_by_content(
    config: RecommenderConfig, weights: Mapping[str, np.ndarray], visual: Modality, textual: Modality
) -> np.ndarray:
    """The vectors that items get from what they look like and what is written about them, float32 [n, dim].

    An item without interactions has no edges: after propagation its vector is this one, but for a factor that is the
    same for all such items.

    Args:
        config, weights: of a trained recommender whose items have no vector of their own; the weights by their names
            in its state.
        visual, textual: of any items, prepared as those that it was trained with.

    Raises:
        ModelError: the items of this model have IDs, which nothing is known of here.
    """
    if config.use_id or config.item_encoder == "id":
        raise ModelError("new items can be placed by a model with use_id false alone")
    fusion = Fusion(config.item_encoder, visual, textual, config.dim)
    own = {name: torch.from_numpy(np.array(weights[f"fusion.{name}"])) for name in fusion.state_dict()}
    fusion.load_state_dict(own)
    with torch.no_grad():
        return fusion().numpy()


def content_neighbours(
    visual: Modality, textual: Modality, known: np.ndarray, new: np.ndarray, k: int
) -> sp.csr_matrix:
    """How like each new item is to the k known ones nearest to it by picture and by text, the cosines added.

    Args:
        known, new: int64, numbers of items.

    Returns:
        float32 CSR [n, len(new)]: rows are the numbers of all items, so that histories multiply with it.
    """
    total = sp.csr_matrix((len(visual.features), len(new)), dtype=np.float32)
    order = torch.arange(len(known))
    width = min(k, len(known))
    for view in (visual, textual):
        among = view.features[torch.from_numpy(known)]  # [known, d]
        for start in range(0, len(new), BLOCK_ITEMS):
            block = new[start : start + BLOCK_ITEMS]
            cosine, nearest = top_k(view.features[torch.from_numpy(block)] @ among.T, width, order)
            column = np.repeat(np.arange(start, start + len(block)), width)
            row, value = known[nearest.numpy().ravel()], cosine.clamp(min=0).numpy().ravel()
            total += sp.csr_matrix((value, (row, column)), shape=total.shape)
    total.eliminate_zeros()
    return total
