"""Which pictures a dataset wants, where they may be, and which of them an item has."""

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from assets.core.asset_context import AssetContext
from storage.images.fetch import Wanted
from storage.images.statuses import OK
from storage.images.store import PictureStore

WANTED_ROWS = 4096
FEW = 10  # items that share a picture because they are variants of one product


def places_of(items: pa.Table, item_index: pa.Table) -> pa.Table:
    """The items of the index in their order: item_id, and the places of its pictures, null without metadata."""
    wide = items["image_urls"].cast(pa.large_list(pa.large_list(pa.large_string())))  # all places may exceed 2 GiB
    pictures = wide.take(pc.index_in(item_index["item_id"], items["item_id"]))
    return pa.table({"item_id": item_index["item_id"], "pictures": pictures})


def select_pictures(places: pa.Table) -> Iterator[Wanted]:
    """What `places_of` says, item by item; some at a time are in memory."""
    for start in range(0, len(places), WANTED_ROWS):
        ids, pictures = (column.to_pylist() for column in places.slice(start, WANTED_ROWS).columns)
        for item_id, of_item in zip(ids, pictures, strict=True):
            yield Wanted(item_id, of_item)


def is_local(context: AssetContext) -> bool:
    """Whether a dataset's metadata lie on this machine, so that its owner says which pictures they name."""
    return urlsplit(context.dataset.metadata).scheme not in ("http", "https")


def picture_folder(context: AssetContext) -> Path | None:
    """Where relative picture paths of a dataset are looked up: as the catalogue says, or beside local metadata."""
    if context.dataset.images:
        return Path(context.dataset.images)
    return context.root.artefact(context.manifest("raw_metadata")).parent if is_local(context) else None


def pictures_of(context: AssetContext) -> PictureStore:
    """The pictures kept for a dataset."""
    return PictureStore(context.root.published.path("item_images", context.dataset.name), context.root.mirror)


def likely_placeholders(item_images: pa.Table, share: float) -> dict[str, dict[str, object]]:
    """Pictures that are the first of more than a share of the items, and of at least FEW: how many, and a URL of each.

    Different products hardly share a picture; a shop's sign for "no picture" is shared by all that have none.
    """
    first = item_images.filter(pc.and_(pc.equal(item_images["position"], 0), pc.equal(item_images["status"], OK)))
    counts = first.group_by("sha256").aggregate([("item_id", "count"), ("url", "min")]).to_pylist()
    items = len(pc.unique(item_images["item_id"]))
    many = [row for row in counts if row["item_id_count"] >= FEW and row["item_id_count"] > share * items]
    many.sort(key=lambda row: -row["item_id_count"])
    return {row["sha256"]: {"items": row["item_id_count"], "url": row["url_min"]} for row in many}


def pictures_by_item(item_index: pa.Table, item_images: pa.Table) -> pa.ListArray:
    """list<string> [n], the SHA-256 of the pictures of every item, in their order."""
    usable = item_images.filter(pc.equal(item_images["status"], OK))
    item = pc.index_in(usable["item_id"], value_set=item_index["item_id"]).to_numpy()
    order = np.lexsort((usable["position"].to_numpy(), item))
    offsets = np.concatenate([[0], np.cumsum(np.bincount(item, minlength=len(item_index)))])
    keys = usable["sha256"].combine_chunks().take(pa.array(order))
    return pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), keys)
