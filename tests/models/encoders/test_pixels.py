"""From bytes to pixels: the picture as a viewer shows it, then open_clip's own transform."""

import itertools
import os
import signal
import struct
import subprocess
import sys
import time
from functools import partial
from io import BytesIO
from pathlib import Path

import numpy as np
import open_clip
import pytest
import torch
from open_clip.transform import PreprocessCfg, image_transform_v2
from PIL import Image, ImageOps
from torchvision.transforms import Compose, Resize, ToTensor

from models.encoders.pixels import Preprocessing, decode_pixels, picture_of
from models.errors import ModelError
from tests.models.photos import SOME, batches_of, centred_cosine, enlarged, photos, plain
from tests.models.workers import signed, take_over_after

VIT_B_32 = PreprocessCfg(size=224)
SIGLIP = PreprocessCfg(size=(256, 256), mean=(0.5,) * 3, std=(0.5,) * 3, resize_mode="squash")


def preprocessing(config: PreprocessCfg = VIT_B_32) -> Preprocessing:
    return Preprocessing(image_transform_v2(config, is_train=False), config.input_size[1:])


def saved(image: Image.Image, kind: str, **how: object) -> bytes:
    file = BytesIO()
    image.save(file, kind, **how)
    return file.getvalue()


def as_open_clip(content: bytes, config: PreprocessCfg = VIT_B_32) -> torch.Tensor:
    with Image.open(BytesIO(content)) as image:
        return image_transform_v2(config, is_train=False)(image)


def as_ours(content: bytes, config: PreprocessCfg = VIT_B_32) -> torch.Tensor:
    steps = preprocessing(config)
    return steps.tensor(torch.tensor(steps.pixels(content))[None])[0]


def test_a_photo_that_lies_on_its_side_is_put_upright() -> None:
    image = Image.new("RGB", (40, 20), "blue")
    image.paste("red", (0, 0, 20, 20))  # red on the left; turned clockwise, it is on top
    exif = Image.Exif()
    exif[0x0112] = 6  # "turn me clockwise by a quarter"
    upright = picture_of(saved(image, "PNG", exif=exif), 224)
    assert upright.size == (20, 40)
    assert [upright.getpixel((10, y)) for y in (5, 35)] == [(255, 0, 0), (0, 0, 255)]


def test_greys_of_16_bits_are_scaled_and_not_cut_off() -> None:
    greys = np.array([[0, 0x0101, 0x8080, 0xFFFF]], dtype=np.uint16)
    assert np.asarray(picture_of(saved(Image.fromarray(greys), "PNG"), 224)).tolist() == [[0, 1, 128, 255]]


@pytest.mark.parametrize("kind", ["GIF", "WEBP"])
def test_an_animation_is_its_first_frame(kind: str) -> None:
    frames = [Image.new("RGB", (30, 30), colour) for colour in ("red", "blue")]
    content = saved(frames[0], kind, save_all=True, append_images=frames[1:], lossless=True)
    assert picture_of(content, 224).convert("RGB").getpixel((9, 9)) == (255, 0, 0)


@pytest.mark.parametrize(
    ("size", "decoded_size"),
    [
        ((894, 894), (894, 894)),  # half of it would be less than 448
        ((896, 896), (448, 448)),
        ((1500, 1125), (1500, 1125)),  # half of it would be half a pixel off
        ((1500, 1500), (750, 750)),
        ((4000, 900), (2000, 450)),  # the shorter side decides
        ((1796, 2002), (898, 1001)),  # a quarter would be long enough, and half a pixel off
        ((4000, 4000), (500, 500)),
        ((100, 80), (100, 80)),
    ],
)
def test_a_jpeg_is_shrunk_at_decode_time_to_no_less_than_twice_the_input(
    size: tuple[int, int], decoded_size: tuple[int, int]
) -> None:
    content = saved(Image.new("RGB", size, "red"), "JPEG")
    assert picture_of(content, 224).size == decoded_size


@pytest.mark.parametrize(
    "config",
    [
        VIT_B_32,
        SIGLIP,
        PreprocessCfg(size=(96, 160), interpolation="bilinear"),
        PreprocessCfg(size=128, resize_mode="longest", fill_color=77),
    ],
    ids=["shortest", "squash", "not square", "longest"],
)
@pytest.mark.parametrize("mode", ["RGB", "L", "P", "RGBA", "CMYK", "1"])
def test_every_transform_of_open_clip_gives_what_it_gives_by_itself(config: PreprocessCfg, mode: str) -> None:
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (70, 150, 3), dtype=np.uint8)).convert(mode)
    content = saved(noise, "TIFF")
    assert torch.equal(as_ours(content, config), as_open_clip(content, config))


def test_a_transform_that_is_not_open_clips_is_refused() -> None:
    with pytest.raises(ModelError, match="image_encoder has a preprocessing that is not known"):
        Preprocessing(Compose([Resize(224), ToTensor()]), (224, 224))


@pytest.mark.parametrize("count", [SOME, pytest.param(600, marks=pytest.mark.long)])
def test_real_photos_lose_nothing_that_matters_and_a_thumbnail_would(shared_data: Path, count: int) -> None:
    torch.manual_seed(0)
    model = open_clip.create_model("ViT-B-32").eval()
    originals = list(photos(shared_data, count).values())
    large = [enlarged(content, 1500) for content in originals]

    def vectors(batch: torch.Tensor) -> np.ndarray:
        with torch.inference_mode():
            return torch.cat([model.encode_image(part) for part in batch.split(64)]).numpy()

    def thumbnail(content: bytes) -> bytes:
        with Image.open(BytesIO(content)) as image:
            image.thumbnail((32, 32))
            return saved(image.convert("RGB"), "PNG")

    assert all(torch.equal(as_ours(content), as_open_clip(content)) for content in originals)
    direct = torch.stack([as_open_clip(content) for content in large])
    shrunk = torch.stack([as_ours(content) for content in large])
    small = torch.stack([as_ours(thumbnail(content)) for content in large])
    expected = vectors(direct)
    assert 0 < (shrunk - direct).abs().mean() <= 0.02
    assert centred_cosine(vectors(shrunk), expected) >= 0.995
    assert (small - direct).abs().mean() > 0.02
    assert centred_cosine(vectors(small), expected) < 0.995


@pytest.mark.process
def test_threads_of_this_process_begin_and_workers_take_over(monkeypatch: pytest.MonkeyPatch) -> None:
    take_over_after(2, monkeypatch)
    found = list(decode_pixels([signed] * 9, preprocessing(), 2, pinned=False))
    here = [batch.keys == [str(os.getpid())] for batch in found]
    # Two ahead of each of two threads, and one more for the one that was given; two had been when it was asked again.
    assert here == [True] * 5 + [False] * 4


@pytest.mark.process
def test_workers_decode_what_this_process_does_in_the_same_order(monkeypatch: pytest.MonkeyPatch) -> None:
    shades = {f"#{shade:02x}{255 - shade:02x}20": b"" for shade in range(0, 250, 10)}
    batches = batches_of({shade: plain(shade) for shade in shades}, 4)
    here = list(decode_pixels(batches, preprocessing(), 2, pinned=False))
    take_over_after(2, monkeypatch)
    beside = list(decode_pixels(batches, preprocessing(), 2, pinned=False))
    assert [batch.keys for batch in beside] == [batch.keys for batch in here]
    assert list(itertools.chain(*(batch.keys for batch in here))) == list(shades)
    assert all(torch.equal(one.pixels, other.pixels) for one, other in zip(here, beside, strict=True))
    assert here[2].pixels.shape == (4, 224, 224, 3)
    assert here[2].pixels[3, 7, 7].tolist() == [110, 145, 0x20]


def test_bytes_that_are_no_picture_are_left_out_and_counted() -> None:
    whole = saved(Image.effect_noise((300, 300), 90), "PNG")
    contents = {"no": b"no picture", "red": plain("red"), "half": whole[: len(whole) // 2]}
    [batch] = decode_pixels(batches_of(contents, 3), preprocessing(), 1, pinned=False)
    assert (batch.keys, batch.broken, len(batch.pixels)) == (["red"], 2, 1)


@pytest.mark.process
@pytest.mark.parametrize("here", [2, 0], ids=["in this process", "in a worker"])
def test_what_reading_a_batch_raises_is_raised_here(monkeypatch: pytest.MonkeyPatch, here: int) -> None:
    take_over_after(here, monkeypatch)
    batches = [*batches_of({"red": plain("red")}, 1), partial(Path.read_bytes, Path("/nowhere/at/all"))]
    found = decode_pixels(batches, preprocessing(), 1, pinned=False)
    assert next(found).keys == ["red"]
    with pytest.raises(FileNotFoundError, match="'/nowhere/at/all'"):
        next(found)


@pytest.mark.process
def test_a_worker_that_is_killed_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    take_over_after(0, monkeypatch)
    killed = partial(signal.raise_signal, signal.SIGKILL)
    with pytest.raises(ModelError, match=r"decoding pictures broke off .* fewer image_workers or a smaller"):
        list(decode_pixels([killed], preprocessing(), 1, pinned=False))


@pytest.mark.long
@pytest.mark.process
@pytest.mark.parametrize("by", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_no_process_outlives_the_one_that_started_it(by: signal.Signals) -> None:
    program = """
import signal, threading, time, torch
signal.signal(signal.SIGINT, signal.default_int_handler)  # which a shell has ignored for what it runs beside itself
from functools import partial
from models.encoders import pixels
from open_clip.transform import PreprocessCfg, image_transform_v2
ready = threading.Event()
ready.set()
pixels.FEW_BATCHES, pixels._server_of_workers = 0, lambda: ready
steps = pixels.Preprocessing(image_transform_v2(PreprocessCfg(), False), (224, 224))
for batch in pixels.decode_pixels([partial(list, [])] * 1000, steps, 2, False):
    print("begun", flush=True)
    time.sleep(100)
"""
    run = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, start_new_session=True)
    assert run.stdout is not None
    assert run.stdout.readline() == b"begun\n"
    assert len(in_session(run.pid)) >= 4
    run.send_signal(by)
    run.wait(30)
    until = time.monotonic() + 30
    while in_session(run.pid) and time.monotonic() < until:
        time.sleep(0.2)
    assert in_session(run.pid) == []


def in_session(leader: int) -> list[int]:
    """The processes of a session."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                if os.getsid(int(entry.name)) == leader:
                    found.append(int(entry.name))
            except ProcessLookupError:
                continue
    return found


def test_a_picture_whose_exif_is_broken_is_shown_as_it_lies() -> None:
    width_as_text = struct.pack("<HHIHH", 0x100, 2, 1, 6, 0)
    turned = struct.pack("<HHIHH", 0x112, 3, 1, 6, 0)
    unit_as_text = struct.pack("<HHI4s", 0x128, 2, 4, b"abc\0")
    exif = b"Exif\0\0II*\0\x08\0\0\0" + struct.pack("<H", 3) + width_as_text + turned + unit_as_text + b"\0\0\0\0"
    file = BytesIO()
    Image.new("RGB", (30, 20), "green").save(file, "JPEG", exif=exif)
    with pytest.raises(Exception), Image.open(BytesIO(file.getvalue())) as image:  # noqa: B017
        ImageOps.exif_transpose(image)
    assert sorted(picture_of(file.getvalue(), 8).size) == [20, 30]


@pytest.mark.parametrize("mode", ["RGBA", "LA", "palette", "grey"])
def test_what_shows_through_is_white_as_in_a_shop(mode: str) -> None:
    """A red product, cut out on a ground that is black where it cannot be seen."""
    cut = Image.new("RGBA", (32, 32), (0, 0, 0, 0))
    cut.paste((255, 0, 0, 255), (8, 8, 24, 24))
    shown, product = {"LA": ((255,) * 3, (76,) * 3), "grey": ((255,) * 3, (76,) * 3)}.get(
        mode, ((255, 255, 255), (255, 0, 0))
    )
    file = BytesIO()
    if mode == "palette":
        cut.quantize(4).save(file, "PNG")
    elif mode == "grey":  # one grey stands for nothing
        cut.convert("LA").getchannel("L").save(file, "PNG", transparency=0)
    else:
        cut.convert(mode).save(file, "PNG")
    pixels = picture_of(file.getvalue(), 32).convert("RGB")
    assert pixels.getpixel((0, 0)) == shown
    assert pixels.getpixel((16, 16)) == product


def test_half_of_a_colour_is_half_white() -> None:
    file = BytesIO()
    Image.new("RGBA", (16, 16), (255, 0, 0, 128)).save(file, "WEBP", lossless=True)
    assert picture_of(file.getvalue(), 16).getpixel((3, 3)) == (255, 127, 127)


def test_a_picture_that_hides_nothing_is_left_as_it_is() -> None:
    file = BytesIO()
    Image.new("L", (16, 16), 9).save(file, "PNG")
    assert picture_of(file.getvalue(), 16).mode == "L"
