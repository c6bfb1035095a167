"""Folders in the form of the MMRec toolbox: interactions with their split, and features by item number."""

from pathlib import Path

import numpy as np
import pandas as pd

from assets.interactions.splits import TRAIN, Parts
from models.recommenders.fusion import Modality
from models.recommenders.item_graph import nearest_items
from models.recommenders.propagation import normalised_adjacency
from models.training.build_and_fit import Content, TrainSet

# Where the tests look for real data, too.
GRAPHS = Path(__file__).parent.parent.parent / "shared" / "data" / "benchmark_graphs"
NEIGHBOURS = 20
# The items without a picture, by MMRec's own name, and those without a text.
MISSED = {"image_feat.npy": "missed_img_itemIDs.csv", "text_feat.npy": "missed_txt_itemIDs.csv"}


def read_split(folder: Path) -> Parts:
    """The only `NAME.inter` or `NAME.inter.gz` of a folder: userID, itemID, x_label (0 train, 1 validation, 2 test).

    Raises:
        SystemExit: there is none, or more than one.
    """
    found = sorted([*folder.glob("*.inter"), *folder.glob("*.inter.gz")])
    if len(found) != 1:
        raise SystemExit(f"{folder} has {len(found)} files NAME.inter or NAME.inter.gz; one is wanted")
    columns = {"userID": np.int32, "itemID": np.int32, "x_label": np.int8}
    table = pd.read_csv(found[0], sep="\t", usecols=list(columns), dtype=columns)
    user, item, split = (table[name].to_numpy() for name in columns)
    return Parts(user, item, split, int(user.max()) + 1, int(item.max()) + 1)


def read_content(folder: Path, items: int) -> Content | None:
    """`image_feat.npy` and `text_feat.npy`, or another `*_feat.npy` on the text side; None without an image file.

    An item lacks a modality where its row is zeros, or where the folder lists it: MMRec fills such rows with the mean.

    Raises:
        SystemExit: there is no one file for the text side, or a file has not a row an item.
    """
    image = folder / "image_feat.npy"
    if not image.exists():
        return None
    others = [folder / "text_feat.npy"] if (folder / "text_feat.npy").exists() else sorted(folder.glob("*_feat.npy"))
    others = [path for path in others if path != image]
    if len(others) != 1:
        raise SystemExit(f"{folder} has {len(others)} files for the text side beside image_feat.npy; one is wanted")
    views = []
    for path in (image, *others):
        matrix = np.load(path, allow_pickle=False).astype(np.float32)  # half precision would lose bits when summed
        if len(matrix) < items:
            raise SystemExit(f"{path} has {len(matrix):,} rows for {items:,} items")
        has_value = np.abs(matrix[:items]).sum(axis=1) > 0
        if (missed := folder / MISSED.get(path.name, "")).is_file():
            has_value[np.array(missed.read_text().split(), np.int64)] = False
        views.append((matrix[:items], has_value))
    visual, textual = (Modality.of(*view) for view in views)
    return Content(visual, textual, *(nearest_items(*view, NEIGHBOURS) for view in views))


def train_set(parts: Parts, content: Content | None = None) -> TrainSet:
    """What models learn from."""
    pairs = parts.pairs(TRAIN)
    adjacency = normalised_adjacency(*pairs, parts.users, parts.items)
    return TrainSet(*pairs, parts.users, parts.items, adjacency, content)
