"""The image encoder against direct calls of open_clip."""

from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import numpy as np
import open_clip
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from models.encoders.clip import ImageEncoder
from models.encoders.pixels import Decoded
from models.errors import ModelError
from tests.models.photos import SOME, batches_of, centred_cosine, photos, plain
from tests.models.workers import take_over_after

COLOURS = ["red", "green", "blue", "white", "black", "orange", "purple", "brown", "pink"]
PICTURES = {colour: plain(colour) for colour in COLOURS}


def encoder(batch_size: int = 64, precision: str = "fp32", weights: str = "untrained") -> ImageEncoder:
    return ImageEncoder("tiny", weights, "cpu", batch_size, precision, workers=1)


def encoded(encoder: ImageEncoder, pictures: dict[str, bytes], size: int = 64) -> np.ndarray:
    found = list(encoder.encode(batches_of(pictures, size), lambda count, waited: None))
    assert [key for keys, _ in found for key in keys] == list(pictures)
    return np.concatenate([vectors for _, vectors in found])


def direct(architecture: str, pictures: dict[str, bytes], model: open_clip.CLIP) -> np.ndarray:
    _, _, preprocess = open_clip.create_model_and_transforms(architecture, None)
    with torch.inference_mode():
        tensors = torch.stack([preprocess(Image.open(BytesIO(content))) for content in pictures.values()])
        return model.eval().encode_image(tensors).numpy()


@pytest.mark.parametrize(("name", "save"), [("clip.pt", torch.save), ("clip.safetensors", save_file)])
def test_a_checkpoint_on_disk_gives_what_open_clip_gives(tmp_path: Path, name: str, save: Callable) -> None:
    torch.manual_seed(11)
    model = open_clip.create_model("tiny")
    save(model.state_dict(), tmp_path / name)
    found = encoded(encoder(weights=str(tmp_path / name)), PICTURES, size=4)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, direct("tiny", PICTURES, model), atol=1e-6)


def test_a_checkpoint_that_runs_code_is_refused(tmp_path: Path) -> None:
    class Hostile:
        def __reduce__(self) -> tuple[Callable, tuple[str]]:
            return Path.touch, (tmp_path / "ran",)

    torch.save({"visual.proj": Hostile()}, tmp_path / "clip.pt")
    with pytest.raises(ModelError, match=r"image_weights .* cannot be loaded into image_encoder 'tiny'"):
        encoder(weights=str(tmp_path / "clip.pt"))
    assert not (tmp_path / "ran").exists()


def test_real_photos_in_fp32_and_in_half_precision(shared_data: Path) -> None:
    pictures = photos(shared_data, SOME)
    torch.manual_seed(0)
    expected = direct("ViT-B-32", pictures, open_clip.create_model("ViT-B-32"))
    exact = encoded(ImageEncoder("ViT-B-32", "untrained", "cpu", precision="fp32"), pictures)
    np.testing.assert_allclose(exact, expected, atol=1e-5 * np.abs(expected).max())
    half = ImageEncoder("ViT-B-32", "untrained", "cpu", precision="bf16")
    assert half.dtype is torch.bfloat16
    rounded = encoded(half, pictures)
    assert rounded.dtype == np.float32
    assert not np.array_equal(rounded, exact)
    assert centred_cosine(rounded, expected) >= 0.995


def test_untrained_weights_are_seeded_and_leave_the_callers_seed_alone() -> None:
    torch.manual_seed(1)
    before = torch.random.get_rng_state()
    first = encoded(encoder(), PICTURES)
    assert torch.equal(torch.random.get_rng_state(), before)
    torch.manual_seed(2)
    np.testing.assert_array_equal(first, encoded(encoder(), PICTURES))


@pytest.mark.process
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_what_is_left_of_the_batches_is_encoded_bit_by_bit_as_before(
    monkeypatch: pytest.MonkeyPatch, precision: str
) -> None:
    """So that a run that was interrupted ends like one that was not; here the rest is decoded by other processes."""
    tiny, batches = encoder(precision=precision), batches_of(PICTURES, 2)
    whole = list(tiny.encode(batches, lambda count, waited: None))
    take_over_after(1, monkeypatch)
    rest = list(tiny.encode(batches[2:], lambda count, waited: None))
    assert [keys for keys, _ in rest] == [keys for keys, _ in whole[2:]]
    for (_, one), (_, other) in zip(rest, whole[2:], strict=True):
        np.testing.assert_array_equal(one, other)


def two_processors(monkeypatch: pytest.MonkeyPatch) -> ImageEncoder:
    """An encoder that treats the CPU as two devices: stands in for two GPUs, which are not here."""
    monkeypatch.setattr("models.encoders.clip.devices_of", lambda name: [torch.device("cpu")] * 2)
    return encoder()


def test_two_devices_give_the_same_vectors_in_the_same_order_as_one(monkeypatch: pytest.MonkeyPatch) -> None:
    one = encoded(encoder(), PICTURES, size=1)
    both = two_processors(monkeypatch)
    assert len(both.lanes) == 2
    np.testing.assert_array_equal(encoded(both, PICTURES, size=1), one)


def test_what_one_of_two_devices_raises_ends_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    both = two_processors(monkeypatch)
    whole = both.lanes[1]

    def broken(batch: Decoded) -> None:
        raise RuntimeError("the second device fell off the bus")

    both.lanes[1] = broken
    with pytest.raises(RuntimeError, match="the second device fell off the bus"):
        encoded(both, PICTURES, size=1)
    both.lanes[1] = whole
    assert len(encoded(both, PICTURES, size=1)) == len(PICTURES)


def test_a_batch_that_runs_out_of_memory_is_halved(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The model stands in for a GPU that is not here."""
    expected = encoded(encoder(), PICTURES, size=8)
    plain_call = open_clip.CLIP.encode_image
    sizes: list[int] = []

    def small_memory(self: open_clip.CLIP, image: torch.Tensor) -> torch.Tensor:
        sizes.append(len(image))
        if len(image) > 2:
            raise torch.OutOfMemoryError
        return plain_call(self, image)

    monkeypatch.setattr(open_clip.CLIP, "encode_image", small_memory)
    found = encoded(encoder(batch_size=8), PICTURES, size=8)
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert sizes == [8, 4, 2, 2, 2, 2, 1]
    assert [record.message for record in caplog.records if "too large" in record.message] == [
        "image_batch: a batch of 8 is too large for the device; 4 from here on",
        "image_batch: a batch of 4 is too large for the device; 2 from here on",
    ]


def test_broken_pictures_are_left_out_with_one_warning(caplog: pytest.LogCaptureFixture) -> None:
    pictures = {"no": b"no picture", "red": plain("red"), "nor": b"this one", "blue": plain("blue")}
    on_progress: list[int] = []
    found = list(encoder().encode(batches_of(pictures, 1), lambda count, waited: on_progress.append(count)))
    assert [keys for keys, _ in found] == [[], ["red"], [], ["blue"]]
    assert [vectors.shape for _, vectors in found] == [(0, 64), (1, 64), (0, 64), (1, 64)]
    assert on_progress == [1, 1, 1, 1]
    warnings = [record.message for record in caplog.records if record.name == "models.encoders.clip"]
    assert warnings == ["2 pictures cannot be decoded and have no vector"]


def test_a_tag_keeps_the_preprocessing_that_its_weights_were_trained_with(monkeypatch: pytest.MonkeyPatch) -> None:
    """The weights themselves are not available here: only their download and loading are left out."""
    monkeypatch.setattr(open_clip, "download_pretrained", lambda config: "file")
    monkeypatch.setattr(open_clip.factory, "download_pretrained", lambda config, **_: "file")
    monkeypatch.setattr(open_clip.factory, "load_checkpoint", lambda *_, **__: None)
    found = ImageEncoder("ViT-B-16-SigLIP", "webli", "cpu", precision="bf16").preprocessing
    assert tuple(found.normalize.mean) == (0.5, 0.5, 0.5)
    assert found.size == (224, 224)
    wide = Image.new("RGB", (400, 200), "red")
    wide.paste("blue", (0, 0, 40, 200))  # a tenth of the width, which cropping to the centre would cut away
    content = BytesIO()
    wide.save(content, "PNG")
    assert found.pixels(content.getvalue())[100, 10].tolist() == [0, 0, 255]


@pytest.mark.parametrize(
    ("architecture", "weights", "sentence"),
    [
        ("ViT-Z-99", "untrained", "image_encoder is 'ViT-Z-99'"),
        ("ViT-B-32", "laion9000", "image_weights is 'laion9000'"),
        ("tiny", "./nothing/here.pt", "image_weights is './nothing/here.pt', and nothing is there"),
        ("tiny", __file__, "cannot be loaded into image_encoder 'tiny'"),
        ("ViT-B-32", "laion2b_s34b_b79k", "image_weights takes the path of a checkpoint"),
    ],
)
def test_weights_that_cannot_be_had_name_their_setting(architecture: str, weights: str, sentence: str) -> None:
    with pytest.raises(ModelError) as error:
        ImageEncoder(architecture, weights, "cpu")
    assert sentence in str(error.value)
