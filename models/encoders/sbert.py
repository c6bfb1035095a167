"""Texts to vectors by a Sentence-BERT model, as `sentence-transformers` loads it.

SBERT: Reimers and Gurevych, "Sentence-BERT: Sentence Embeddings using Siamese BERT-Networks", EMNLP 2019.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from copy import deepcopy

import numpy as np
import torch
import transformers
from sentence_transformers import SentenceTransformer
from sentence_transformers.base.modules import Transformer

from models.device import devices_of
from models.encoders.device_scheduler import Halving, Lane, through_lanes
from models.encoders.precision import dtype_of
from models.encoders.weights import local_path
from models.errors import ModelError

BATCHES_A_CHUNK = 8

transformers.utils.logging.disable_progress_bar()  # of loading weights; progress is shown by one helper


class TextEncoder:
    """A Sentence-BERT model.

    Args:
        name: a sentence-transformers name, the path of a model's folder, or `package:NAME/FOLDER`.
        device: see `models.device.devices_of`.
        batch_size: texts that a device takes at a time.
        precision: see `models.encoders.precision.dtype_of`; fp32 equals a direct call of sentence-transformers.
        prompt: stands before every text; what the model itself names as its default prompt is not used.
        max_tokens: where a text is cut, counted in the model's tokens with its special ones; the model's own limit
            if not given.

    Attributes:
        chunk: texts that are encoded by one call, on one device.

    Raises:
        ModelError: the model is unavailable, cannot take as many tokens, or the device lacks the precision.
    """

    def __init__(
        self,
        name: str,
        device: str = "auto",
        batch_size: int = 64,
        precision: str = "auto",
        prompt: str = "",
        max_tokens: int | None = None,
    ):
        devices = devices_of(device)
        dtype = dtype_of(precision, devices[0], "text_precision")
        place = local_path(name, "text_encoder")
        kwargs = {"use_safetensors": True, "dtype": dtype}
        try:
            model = SentenceTransformer(str(place or name), device="cpu", model_kwargs=kwargs)
        except (OSError, ValueError, RuntimeError) as error:
            raise ModelError(
                f"text_encoder {name!r} cannot be loaded ({type(error).__name__}); "
                "text_encoder takes the path of a model's folder in its place"
            ) from error
        for module in model:
            if not isinstance(module, Transformer):  # which is in its number format, but for what it keeps in fp32
                module.to(dtype)
        if max_tokens is not None:
            _cut_at(model, max_tokens)
        self.batch_size, self.prompt = batch_size, prompt
        self.chunk = batch_size * BATCHES_A_CHUNK
        self.dimension = int(model.get_embedding_dimension() or 0)
        models = [model, *(deepcopy(model) for _ in devices[1:])]
        self.lanes = [self._lane(copy.to(device)) for copy, device in zip(models, devices, strict=True)]

    def encode(
        self, texts: Sequence[str], on_progress: Callable[[int, float], None]
    ) -> Iterator[tuple[slice, np.ndarray]]:
        """Encode texts chunk by chunk, in the order given, whatever the number of devices.

        A chunk's vectors depend on that chunk alone. Sort the texts by their length, the longest first, so that a
        batch wastes little padding and whoever runs out of memory does so at once.

        Args:
            on_progress: called with the texts of each chunk, and the seconds that a device waited for them.

        Yields:
            Where a chunk lies in `texts`, and what the encoder says of it, float32 [b, dimension], not normalised
            unless the model does so itself.
        """
        starts = range(0, len(texts), self.chunk)
        parts = ((slice(at, min(at + self.chunk, len(texts))), texts[at : at + self.chunk]) for at in starts)
        with closing(through_lanes(parts, self.lanes)) as encoded:
            for (part, vectors), waited in encoded:
                on_progress(len(vectors), waited / len(self.lanes))
                yield part, vectors

    def _lane(self, model: SentenceTransformer) -> Lane[tuple[slice, Sequence[str]], tuple[slice, np.ndarray]]:
        halving = Halving(self.batch_size, "text_batch")

        def lane(job: tuple[slice, Sequence[str]]) -> tuple[slice, np.ndarray]:
            part, texts = job
            vectors = halving(
                lambda size: model.encode(
                    list(texts),
                    prompt=self.prompt,
                    batch_size=size,
                    normalize_embeddings=False,
                    convert_to_tensor=True,
                    show_progress_bar=False,
                )
            )
            return part, vectors.float().cpu().numpy()

        return lane


def _cut_at(model: SentenceTransformer, max_tokens: int) -> None:
    """Let the model cut texts at `max_tokens`.

    Raises:
        ModelError: that leaves no room for a word, or is more than the model has positions for.
    """
    least = model.tokenizer.num_special_tokens_to_add() + 1
    most = _positions(model)
    if max_tokens < least or (most is not None and max_tokens > most):
        raise ModelError(
            f"text_max_tokens is {max_tokens}, and the model takes {least} to {most or 'any number of'} tokens"
        )
    model.max_seq_length = max_tokens


def _positions(model: SentenceTransformer) -> int | None:
    """Tokens that the model has learned positions for; None if its positions are no table."""
    for module in model.modules():
        table = getattr(module, "position_embeddings", None)
        if isinstance(table, torch.nn.Embedding):
            # RoBERTa and its kin count positions from behind that of padding.
            skipped = 0 if table.padding_idx is None else table.padding_idx + 1
            return table.num_embeddings - skipped
    return None
