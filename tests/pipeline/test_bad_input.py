"""What cannot be used ends with one sentence naming dataset and setting, and leaves nothing half-written."""

from pathlib import Path

import pytest

from tests.pipeline.in_process import Pipeline, failures

CASES = [
    ("no_file", "raw_reviews", ["'reviews' names", "there is no such file"]),
    ("empty", "reviews", ["'reviews'", "empty.jsonl", "not one review in the format amazon2023"]),
    ("no_core", "interactions", ["none of the 3 interactions is in the core", "user_core 5", "item_core 5"]),
    ("no_metadata", "items", ["'metadata'", "empty.jsonl", "not one item in the format amazon2023"]),
    ("wrong_key", "raw_reviews", ["datasets.yaml", "there is no setting 'reviewz'"]),
    ("wrong_value", "raw_reviews", ["datasets.yaml", "'format' is 'amazon1999'"]),
    ("wrong_setting", "raw_reviews", ["'usercore'"]),
    ("wrong_setting_value", "interactions", ["'user_core' is 'many'"]),
    ("no_weights", "image_embeddings", ["image_weights is '/", "/tests/broken/none.safetensors'", "nothing is there"]),
    ("no_text_weights", "text_embeddings", ["text_encoder 'somebody/unheard-of'", "path of a model's folder"]),
]


@pytest.mark.parametrize(("dataset", "step", "words"), CASES, ids=[case[0] for case in CASES])
def test_one_sentence_and_nothing_half_written(tmp_path: Path, dataset: str, step: str, words: list[str]) -> None:
    pipeline = Pipeline(tmp_path)
    result = pipeline.run(dataset, f"+key:{step}")
    assert not result.success
    said = failures(result)[step]
    assert said.startswith(f"Dataset {dataset}: ")
    for word in words:
        assert word in said
    assert said.count("\n") == 0
    assert pipeline.root.find_manifest(step, dataset) is None
    assert list((tmp_path / step).glob(f"*{dataset}*")) == []
    assert [path for path in tmp_path.rglob("*") if "partial" in path.name] == []
