"""The folder that the MMRec toolbox trains on: interactions with their split, and features by item number.

Names, columns and how missing features are filled follow its notebooks in `preprocessing/` and `src/configs/dataset/`
(https://github.com/enoche/MMRec).
"""

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pyarrow as pa
import yaml

from assets.exports.tsv import check_ids, seconds, write_tsv
from storage.artifacts.tables import Embeddings

# Of each view the file of its features, and that of the items that lack it.
IMAGE = ("image_feat.npy", "missed_img_itemIDs.csv")
TEXT = ("text_feat.npy", "missed_txt_itemIDs.csv")


def write_mmrec(
    folder: Path,
    name: str,
    interactions: pa.Table,
    splits: pa.Table,
    user_ids: pa.Array,
    item_ids: pa.Array,
    views: Mapping[tuple[str, str], Embeddings],
) -> None:
    """Write a dataset into `folder`: row i of every feature file is item i of `NAME.inter`.

    Beside what MMRec reads, `features.json` says which encoder and weights made the features.

    Args:
        name: of the dataset, for its files.
        interactions, splits: the tables of those names, row by row of the same interactions.
        user_ids, item_ids: string [users], [items]; the ids by number.
        views: the embeddings of at least `items` items, by `IMAGE` and `TEXT`.

    Raises:
        InputError: an id cannot be written as tab-separated text.
    """
    check_ids(user_ids, "user_id")
    check_ids(item_ids, "item_id")
    columns = {
        "userID": interactions["user"],
        "itemID": interactions["item"],
        "rating": interactions["rating"],
        "timestamp": seconds(interactions["timestamp"]),
        "x_label": splits["split"],
    }
    write_tsv(folder / f"{name}.inter", pa.table(columns))
    for file, header, ids in (("u", ("user_id", "userID"), user_ids), ("i", ("asin", "itemID"), item_ids)):
        numbers = pa.array(np.arange(len(ids), dtype=np.int32))
        write_tsv(folder / f"{file}_id_mapping.csv", pa.table([ids, numbers], names=header))
    for (features, missed), view in views.items():
        has_value = view.has_value[: len(item_ids)]
        if has_value.any():  # MMRec does without a file that is not there
            np.save(folder / features, fill_missing(view.matrix[: len(item_ids)], has_value), allow_pickle=False)
            lacking = np.flatnonzero(~has_value)
            (folder / missed).write_text("".join(f"{number}\n" for number in lacking))
    made_by = {features: view.about for (features, _), view in views.items()}
    (folder / "features.json").write_text(json.dumps(made_by, indent=1) + "\n")
    (folder / f"{name}.yaml").write_text(yaml.safe_dump(dataset_config(name), sort_keys=False))


def fill_missing(matrix: np.ndarray, has_value: np.ndarray) -> np.ndarray:
    """The features with the mean of those that there are where there is none: MMRec divides by their lengths.

    Args:
        matrix: float32 [n, d]; has_value: bool [n], at least one of them true.
    """
    return np.where(has_value[:, None], matrix, matrix[has_value].mean(axis=0))


def dataset_config(name: str) -> dict[str, object]:
    """What MMRec wants to find in `src/configs/dataset/NAME.yaml`."""
    return {
        "USER_ID_FIELD": "userID",
        "ITEM_ID_FIELD": "itemID",
        "TIME_FIELD": "timestamp",
        "filter_out_cod_start_users": True,
        "inter_file_name": f"{name}.inter",
        "vision_feature_file": IMAGE[0],
        "text_feature_file": TEXT[0],
        "user_graph_dict_file": "user_graph_dict.npy",
        "field_separator": "\t",
    }
