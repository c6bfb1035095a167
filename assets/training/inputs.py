"""What models are trained on."""

from typing import Any

import pyarrow as pa
import scipy.sparse as sp

from models.model_spec import ModelSpec
from storage.artifacts.arrays import NearestItems
from storage.artifacts.tables import Embeddings

CONTENT: dict[str, Any] = {"image_embeddings": Embeddings, "text_embeddings": Embeddings}


def inputs_of(kind: ModelSpec) -> dict[str, Any]:
    """What a learned model is trained on: assets, and the types to load them as."""
    inputs: dict[str, Any] = {"splits": pa.Table}
    if kind.fixed.get("layers") != 0:
        inputs["interaction_graph"] = sp.csr_matrix
    if kind.content:
        inputs |= CONTENT
    if kind.item_graph:
        inputs["item_graph"] = NearestItems
    return inputs
