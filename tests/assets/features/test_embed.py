"""Items get their vectors from the store; the encoder sees what is new and nothing else."""

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from assets.core.asset_context import AssetContext
from assets.features.embed import Embedded, embed, embedding_rows, filling
from storage.artifacts.data_root import DataRoot
from storage.catalogue import Dataset
from storage.embeddings.store import EmbeddingStore, space_name

SPACE = {"encoder": "counted", "preprocessing": 1}


def key(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


class Counted:
    """Stands for an encoder: the vector of a key is its first two bytes and a one. It remembers what it was shown."""

    def __init__(self) -> None:
        self.shown: list[str] = []

    def __call__(self, new: Sequence[str], on_progress) -> Iterator[tuple[Sequence[str], np.ndarray]]:
        for start in range(0, len(new), 64):
            batch = new[start : start + 64]
            self.shown += batch
            yield batch, np.array([vector(key) for key in batch], dtype=np.float32)
            on_progress(len(batch), 0.0)


def vector(key: str) -> list[float]:
    first, second, *_ = bytes.fromhex(key)
    return [first, second, 1]


@pytest.fixture
def context(tmp_path: Path) -> AssetContext:
    dataset = Dataset(name="books", format="amazon2023", reviews="r.jsonl", metadata="m.jsonl")
    return AssetContext("text_embeddings", dataset, DataRoot(tmp_path), "run")


def run(
    context: AssetContext, content: list[list[str]], space: dict = SPACE, dtype: str = "float32"
) -> tuple[Embedded, Counted]:
    encoder = Counted()
    lists = pa.array(content, pa.list_(pa.string()))
    return embed(context, space, lists, filling(encoder), lambda: 3, unit="texts", dtype=dtype), encoder


def test_a_row_is_the_normalised_vector_of_its_content_and_zeros_without_one(context: AssetContext) -> None:
    found, _ = run(context, [[key("a")], [], [key("b")], [key("a")]])
    expected = np.array([vector(key("a")), [0, 0, 0], vector(key("b")), vector(key("a"))])
    lengths = np.sqrt((expected**2).sum(axis=1))
    lengths[1] = 1
    np.testing.assert_allclose(found.matrix, expected / lengths[:, None], rtol=1e-6)
    assert found.has_value.tolist() == [True, False, True, True]
    np.testing.assert_allclose(found.norms, lengths[[0, 2, 3]], rtol=1e-6)
    assert found.space == space_name(SPACE)


def test_several_contents_give_the_mean_of_their_normalised_vectors(context: AssetContext) -> None:
    found, _ = run(context, [[key("a"), key("b")], [key("b")]])
    a, b = (np.array(vector(key(text))) for text in "ab")
    np.testing.assert_allclose(found.matrix[0], (a / np.linalg.norm(a) + b / np.linalg.norm(b)) / 2, rtol=1e-6)


def test_a_hundred_changed_of_ten_thousand_encode_a_hundred(context: AssetContext) -> None:
    before = [[key(f"text {n}")] for n in range(10_000)]
    first, encoder = run(context, before)
    assert len(encoder.shown) == 10_000
    after = [[key(f"changed {n}")] if n % 100 == 0 else content for n, content in enumerate(before)]
    second, encoder = run(context, after)
    assert sorted(encoder.shown) == sorted(key(f"changed {n}") for n in range(0, 10_000, 100))
    assert (second.facts["encoded"], second.facts["from_store"], second.facts["hit_rate"]) == (100, 9_900, 0.99)
    same = np.arange(10_000) % 100 != 0
    np.testing.assert_array_equal(second.matrix[same], first.matrix[same])


def test_the_second_time_nothing_is_encoded(context: AssetContext) -> None:
    content = [[key("a")], [key("b")]]
    first, _ = run(context, content)
    second, encoder = run(context, content)
    assert encoder.shown == []
    np.testing.assert_array_equal(second.matrix, first.matrix)
    assert second.facts == {"encoded": 0, "from_store": 2, "hit_rate": 1.0}


def test_another_encoder_encodes_all_and_the_old_vectors_stay(context: AssetContext) -> None:
    content = [[key("a")], [key("b")]]
    run(context, content)
    _, encoder = run(context, content, SPACE | {"encoder": "another"})
    assert len(encoder.shown) == 2
    assert EmbeddingStore(context.root, SPACE).new([key("a"), key("b")]) == []


def test_datasets_share_what_they_have_in_common(context: AssetContext) -> None:
    run(context, [[key("a")], [key("b")]])
    dataset = Dataset(name="toys", format="amazon2023", reviews="r.jsonl", metadata="m.jsonl")
    _, encoder = run(AssetContext("text_embeddings", dataset, context.root, "run"), [[key("b")], [key("c")]])
    assert encoder.shown == [key("c")]


def test_without_any_content_the_encoder_tells_the_dimension(context: AssetContext) -> None:
    found, encoder = run(context, [[], []])
    assert found.matrix.shape == (2, 3)
    assert not found.matrix.any()
    assert not found.has_value.any()
    assert encoder.shown == []


def test_the_table_says_what_it_was_made_of(context: AssetContext) -> None:
    content = [[key("a")], []]
    found, _ = run(context, content, dtype="float16")
    index = pa.table({"item": pa.array([0, 1], pa.int32()), "item_id": ["A", "B"]})
    made = embedding_rows(index, found, {"encoder": "counted"}, {"no_text": 1}, {"norms": "…"})
    assert made.value["content"].to_pylist() == content
    assert made.value["embedding"].type.value_type == pa.float16()
    assert made.about == {"encoder": "counted", "dimension": "3", "normalised": "true", "space": space_name(SPACE)}
    assert (made.metadata["with_value"], made.metadata["without_value"]) == (1, 1)
    assert (made.metadata["missing"], made.metadata["norms"]) == ({"no_text": 1}, "…")


@pytest.mark.parametrize("answer", ["nothing", "not a number"])
def test_what_the_encoder_cannot_take_is_told_and_harms_nothing_else(context: AssetContext, answer: str) -> None:
    def encode(new: Sequence[str], on_progress) -> Iterator[tuple[Sequence[str], np.ndarray]]:
        for one in new:
            if one != key("broken"):
                yield [one], np.array([vector(one)], dtype=np.float32)
            elif answer == "nothing":
                yield [], np.zeros((0, 3), dtype=np.float32)
            else:
                yield [one], np.array([[1, np.nan, 2]], dtype=np.float32)

    contents = [[key("broken")], [key("broken"), key("a")], [key("b")], []]
    lists = pa.array([[], *contents], pa.list_(pa.string())).slice(1)
    for _ in range(2):  # also from what the first time left in the store
        found = embed(context, SPACE, lists, filling(encode), lambda: 3, unit="texts", dtype="float32")
        assert found.has_value.tolist() == [False, True, True, False]
        assert found.content.to_pylist() == [[], [key("a")], [key("b")], []]
        a = np.array(vector(key("a")))
        np.testing.assert_allclose(found.matrix[1], a / np.linalg.norm(a), rtol=1e-6)
    index = pa.table({"item": pa.array(range(4), pa.int32()), "item_id": list("ABCD")})
    made = embedding_rows(index, found, {}, {"no_text": 1}, {})
    assert made.metadata["missing"] == {"no_text": 1, "not_encodable": 1}


def test_where_nothing_at_all_can_be_encoded_the_table_is_empty(context: AssetContext) -> None:
    def encode(new: Sequence[str], on_progress) -> Iterator[tuple[Sequence[str], np.ndarray]]:
        yield [], np.zeros((0, 3), dtype=np.float32)

    lists = pa.array([[key("broken")]], pa.list_(pa.string()))
    for _ in range(2):
        found = embed(context, SPACE, lists, filling(encode), lambda: 3, unit="texts", dtype="float32")
        assert found.matrix.shape == (1, 3)
        assert not found.has_value.any()
