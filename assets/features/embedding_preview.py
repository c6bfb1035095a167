"""What a person looks at to believe an embedding: pictures, lengths and neighbours, as Markdown for the UI."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from io import BytesIO
from typing import Any

import numpy as np
from PIL import Image, ImageOps

from assets.core.asset_result import markdown
from assets.core.inline import inline, inline_figure
from assets.features.embed import Embedded
from models.encoders.white_background import on_white
from storage.images.store import PictureStore

TILE = 96
SHEET_COLUMNS = 8
SHEET_TILES = 24
QUERIES = 3
NEIGHBOURS = 5
BLOCK_ROWS = 1 << 16


@dataclass(frozen=True)
class Neighbours:
    """An item, and those nearest to it by cosine, the nearest first; items are rows."""

    item: int
    nearest: list[int]
    cosines: list[float]


def preview_texts(embedded: Embedded, titles: Sequence[str | None]) -> dict[str, Any]:
    """Lengths and neighbours of texts; `titles` are the items'."""
    found = neighbours(embedded.matrix, embedded.has_value)
    return _norms(embedded) | {"neighbours": markdown(neighbour_table(found, titles))}


def preview_pictures(embedded: Embedded, names: Sequence[str], pictures: PictureStore) -> dict[str, Any]:
    """Lengths and neighbours of pictures, and a contact sheet of some."""
    found = neighbours(embedded.matrix, embedded.has_value)
    beside = [[one.item, *one.nearest] for one in found]
    some = spread(np.flatnonzero(embedded.has_value), SHEET_TILES)
    sheet = [some[start : start + SHEET_COLUMNS] for start in range(0, len(some), SHEET_COLUMNS)]
    key_of = {row: embedded.content[row][0].as_py() for line in sheet + beside for row in line}
    bytes_of = dict(pictures.read(key_of.values()))

    def grid(lines: list[list[int]], columns: int) -> str:
        return picture_grid([[bytes_of[key_of[row]] for row in line] for line in lines], columns)

    return _norms(embedded) | {
        "contact_sheet": markdown(grid(sheet, SHEET_COLUMNS)),
        "neighbours": markdown(f"{grid(beside, NEIGHBOURS + 1)}\n\n{neighbour_table(found, names)}"),
    }


def _norms(embedded: Embedded) -> dict[str, Any]:
    return {"norms": markdown(norm_histogram(embedded.norms))}


def spread(rows: np.ndarray, count: int) -> list[int]:
    """Up to `count` of `rows`, evenly spread over them."""
    return rows[np.unique(np.linspace(0, len(rows) - 1, min(count, len(rows)), dtype=np.int64))].tolist()


def neighbours(matrix: np.ndarray, has_value: np.ndarray) -> list[Neighbours]:
    """The nearest items of three; `matrix` is float [n, d], `has_value` bool [n] says which of its rows count."""
    there = np.flatnonzero(has_value)
    blocks = [there[start : start + BLOCK_ROWS] for start in range(0, len(there), BLOCK_ROWS)]
    found = []
    for item in spread(there, QUERIES):
        cosines = np.concatenate([_cosines(matrix[block], matrix[item]) for block in blocks])
        cosines[there == item] = -np.inf
        best = np.argsort(-cosines, kind="stable")[: min(NEIGHBOURS, len(there) - 1)]
        found.append(Neighbours(item, there[best].tolist(), cosines[best].tolist()))
    return found


def neighbour_table(found: Sequence[Neighbours], names: Sequence[str | None]) -> str:
    """A Markdown table of items by name, one line an item."""
    lines = ["| item | " + " | ".join(f"nearest {place + 1}" for place in range(NEIGHBOURS)) + " |"]
    lines.append("|---" * (NEIGHBOURS + 1) + "|")
    for one in found:
        near = [f"{_cell(names[row])} ({cosine:.2f})" for row, cosine in zip(one.nearest, one.cosines, strict=True)]
        near += [""] * (NEIGHBOURS - len(near))
        lines.append("| " + " | ".join([_cell(names[one.item]), *near]) + " |")
    return "\n".join(lines)


def picture_grid(lines: Sequence[Sequence[bytes]], columns: int) -> str:
    """Lines of thumbnails as one picture."""
    sheet = Image.new("RGB", (columns * TILE, max(len(lines), 1) * TILE), "white")
    for y, line in enumerate(lines):
        for x, content in enumerate(line):
            sheet.paste(_thumbnail(content), (x * TILE, y * TILE))
    file = BytesIO()
    sheet.save(file, "JPEG", quality=80)
    return inline(file.getvalue(), "jpeg")


def norm_histogram(norms: np.ndarray) -> str:
    """How long vectors were before they were normalised: an outlier is a picture or text to look at."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4.5, 2.2), layout="constrained")
    axes = figure.subplots()
    axes.hist(norms, bins=40, range=(0, max(float(norms.max(initial=0)), 1) * 1.05), color="#4c8dd6")
    axes.set(xlabel="norm of the raw vector", ylabel="count")
    return inline_figure(figure)


def _cosines(rows: np.ndarray, query: np.ndarray) -> np.ndarray:
    rows, query = rows.astype(np.float32), query.astype(np.float32)
    return rows @ query / np.maximum(np.linalg.norm(rows, axis=1) * np.linalg.norm(query), 1e-12)


def _thumbnail(content: bytes) -> Image.Image:
    with Image.open(BytesIO(content)) as image:
        image.draft("RGB", (TILE, TILE))
        with suppress(Exception):  # readers of EXIF raise whatever they like; then it lies as it lies
            ImageOps.exif_transpose(image, in_place=True)
        return ImageOps.pad(on_white(image).convert("RGB"), (TILE, TILE), color="white")


def _cell(text: str | None, longest: int = 60) -> str:
    """Text of a dump inside a Markdown table: shortened, and nothing in it is markup."""
    plain = " ".join((text or "").split())
    plain = plain if len(plain) <= longest else plain[: longest - 1] + "…"
    return "".join(f"&#{ord(letter)};" if letter in "\\`*_{}[]<>()#+!|&~" else letter for letter in plain)
