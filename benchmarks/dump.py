"""A seeded dump of reviews in the 2023 format: about 490 bytes a line, heavy-tailed users and items."""

import gzip
import json
from pathlib import Path

import numpy as np

from benchmarks.scale.synthetic import heavy_tailed

BLOCK_ROWS = 50_000
PHRASES, PHRASES_A_REVIEW = 1_500, 6
START_MS, SPAN_MS = 1_200_000_000_000, 480_000_000_000


def write_dump(path: Path, rows: int, seed: int = 0) -> int:
    """Write `rows` reviews, gzipped as the public dumps are; return the bytes before compression."""
    rng = np.random.default_rng(seed)
    letters = np.array(list("etaoinshrdlucmfwypvbgk"))
    words = ["".join(rng.choice(letters, length)) for length in rng.integers(2, 9, 5_000)]
    phrases = [" ".join(words[rank] for rank in heavy_tailed(6, 5_000, rng)) for _ in range(PHRASES)]
    size = 0
    with gzip.open(path, "wb", compresslevel=6) as file:
        for first in range(0, rows, BLOCK_ROWS):
            block = _block(min(BLOCK_ROWS, rows - first), rows, phrases, rng)
            size += file.write(block)
    return size


def _block(rows: int, of: int, phrases: list[str], rng: np.random.Generator) -> bytes:
    users = heavy_tailed(rows, max(of // 8, 10), rng)
    items = heavy_tailed(rows, max(of // 25, 10), rng)
    lengths = rng.geometric(1 / PHRASES_A_REVIEW, rows)
    text = [phrases[rank] for rank in heavy_tailed(int(lengths.sum()), PHRASES, rng).tolist()]
    ends = np.cumsum(lengths).tolist()
    times = (START_MS + rng.integers(0, SPAN_MS, rows)).tolist()
    ratings = rng.choice([1.0, 2.0, 3.0, 4.0, 5.0], rows, p=[0.1, 0.05, 0.1, 0.15, 0.6]).tolist()
    votes = rng.geometric(0.6, rows).tolist()
    lines = []
    start = 0
    for user, item, end, time, rating, vote in zip(
        users.tolist(), items.tolist(), ends, times, ratings, votes, strict=True
    ):
        asin = f"B{item * 2_654_435_761 % 10**9:09d}"
        review = {
            "rating": rating,
            "title": text[start].capitalize(),
            "text": " ".join(text[start:end]).capitalize() + ".",
            "images": [],
            "asin": asin,
            "parent_asin": asin,
            "user_id": f"AE{user * 11_400_714_819_323_198_485 % 36**16:026X}",
            "timestamp": time,
            "helpful_vote": vote - 1,
            "verified_purchase": rating > 1,
        }
        lines.append(json.dumps(review))
        start = end
    return ("\n".join(lines) + "\n").encode()
