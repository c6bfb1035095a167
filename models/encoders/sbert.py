"""Texts to vectors by a Sentence-BERT model, as `sentence-transformers` loads it.

SBERT: Reimers and Gurevych, "Sentence-BERT: Sentence Embeddings using Siamese BERT-Networks", EMNLP 2019.
"""

from collections.abc import Callable, Sequence

import numpy as np
import transformers
from sentence_transformers import SentenceTransformer

from models.device import device_of
from models.encoders.weights import local_path
from models.errors import ModelError

transformers.utils.logging.disable_progress_bar()  # of loading weights; progress is told by one helper

BATCHES_A_CALL = 8


class TextEncoder:
    """A Sentence-BERT model.

    Args:
        name: a sentence-transformers name, the path of a model's folder, or `package:NAME/FOLDER`.
        device: see `models.device.device_of`.

    Raises:
        ModelError: the model cannot be had.
    """

    def __init__(self, name: str, device: str, batch_size: int):
        self.batch_size = batch_size
        place = local_path(name, "text_encoder")
        safe = {"use_safetensors": True}
        try:
            self.model = SentenceTransformer(str(place or name), device=str(device_of(device)), model_kwargs=safe)
        except (OSError, ValueError, RuntimeError) as error:
            raise ModelError(
                f"text_encoder {name!r} cannot be loaded ({type(error).__name__}); "
                "text_encoder takes the path of a model's folder in its place"
            ) from error
        self.dimension = int(self.model.get_embedding_dimension() or 0)

    def encode(self, texts: Sequence[str], advance: Callable[[int], None]) -> np.ndarray:
        """Encode texts, the longest first so that a batch wastes little padding.

        Returns:
            float32 [n, dimension], L2-normalised, in the order given.
        """
        vectors = np.zeros((len(texts), self.dimension), dtype=np.float32)
        order = np.argsort([-len(text) for text in texts], kind="stable")
        step = self.batch_size * BATCHES_A_CALL
        for start in range(0, len(order), step):
            chosen = order[start : start + step]
            vectors[chosen] = self.model.encode(
                [texts[row] for row in chosen],
                batch_size=self.batch_size,
                normalize_embeddings=True,
                show_progress_bar=False,
            )
            advance(len(chosen))
        return vectors
