"""The atomic files of RecBole: tab-separated text whose header gives the type of each column.

After https://recbole.io/docs/user_guide/data/atomic_files.html and, for the files of a given split, the argument
`benchmark_filename` of https://recbole.io/docs/user_guide/data/data_args.html.
"""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import yaml

from assets.exports.tsv import check_ids, plain, seconds, write_tsv
from assets.interactions.splits import TEST, TRAIN, VALIDATION

PARTS = {"train": TRAIN, "valid": VALIDATION, "test": TEST}


def write_recbole(
    folder: Path, name: str, interactions: pa.Table, splits: pa.Table, item_ids: pa.Array, items: pa.Table
) -> None:
    """Write a dataset into `folder`: all interactions, each part of the split by itself, the items, and a config.

    Args:
        name: of the dataset, for its files.
        interactions, splits: the tables of those names, row by row of the same interactions.
        item_ids: string [items], the ids of the items in interactions, by number.
        items: the table of that name; an item of which it knows nothing gets a row with its id alone, because RecBole
            drops the interactions of items without a row.

    Raises:
        InputError: an id cannot be written as tab-separated text.
    """
    check_ids(interactions["user_id"], "user_id")
    check_ids(item_ids, "item_id")
    columns = {
        "user_id:token": interactions["user_id"],
        "item_id:token": interactions["item_id"],
        "rating:float": interactions["rating"],
        "timestamp:float": seconds(interactions["timestamp"]),
    }
    everything = pa.table(columns)
    write_tsv(folder / f"{name}.inter", everything)
    for part, label in PARTS.items():
        write_tsv(folder / f"{name}.{part}.inter", everything.filter(pc.equal(splits["split"], label)))
    write_tsv(folder / f"{name}.item", item_rows(item_ids, items))
    (folder / f"{name}.yaml").write_text(yaml.safe_dump(dataset_config(), sort_keys=False))


def item_rows(item_ids: pa.Array, items: pa.Table) -> pa.Table:
    """The rows of `NAME.item`, in the order of `item_ids`."""
    known = items.filter(pc.is_in(items["item_id"], value_set=item_ids))
    row = pc.index_in(item_ids, value_set=known["item_id"])
    columns = {
        "title:token_seq": plain(known["title"]),
        "brand:token": plain(known["brand"]),
        "categories:token_seq": token_seq(known["categories"]),
    }
    # Together the texts may exceed the 2 GiB that offsets of 32 bits reach.
    texts = {name: column.cast(pa.large_string()).take(row) for name, column in columns.items()}
    return pa.table({"item_id:token": item_ids, **texts, "price:float": known["price"].take(row)})


def token_seq(lists: pa.ChunkedArray) -> pa.ChunkedArray:
    """Lists of texts as text with a space between two of them; spaces within one become `_`."""
    return pa.chunked_array([_joined(chunk) for chunk in lists.chunks], pa.string())


def _joined(lists: pa.ListArray) -> pa.Array:
    lengths = pc.fill_null(pc.list_value_length(lists), 0).to_numpy(zero_copy_only=False)
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    tokens = pc.replace_substring(plain(lists.flatten()), " ", "_")
    return pc.binary_join(pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), tokens), " ")


def dataset_config() -> dict[str, object]:
    """Settings of RecBole under which it uses the split that the files have."""
    return {
        "field_separator": "\t",
        "seq_separator": " ",
        "USER_ID_FIELD": "user_id",
        "ITEM_ID_FIELD": "item_id",
        "RATING_FIELD": "rating",
        "TIME_FIELD": "timestamp",
        "load_col": {"inter": ["user_id", "item_id", "rating", "timestamp"]},
        "benchmark_filename": list(PARTS),
    }
