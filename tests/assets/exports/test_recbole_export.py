"""RecBole's atomic files: whatever stands in a dump, they are parsed back to what went in."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import yaml

from assets.exports.recbole import write_recbole
from storage.errors import InputError
from storage.schemas import SCHEMAS

INTERACTIONS = pa.table(
    {
        "user_id": ["u1", "u1", "u2", "u2"],
        "item_id": ["007", "x y", "007", "bare"],
        "rating": pa.array([5, 4.5, 3, 1], pa.float32()),
        "timestamp": [1628643414042, 1328140800000, 0, 1658002729837],
    }
)
SPLITS = pa.table({"split": pa.array([0, 1, 2, 0], pa.int8())})
ITEM_IDS = pa.array(["007", "bare", "x y"])
ITEMS = pa.table(
    {
        "item_id": ["x y", "not in the core", "007"],
        "title": ['12" Pan\t"deluxe"\r\n\u2028 set', "Other", '"Unclosed'],
        "brand": ["Acme\u00a0&  Sons", "", None],
        "categories": [["Home & Kitchen", "Pots\tand\nPans", " "], ["Other"], []],
        "price": [12.5, 1.0, None],
        "text": ["", "", ""],
        "image_urls": [[], [], []],
    },
    schema=SCHEMAS["items"],
)


def parsed(path: Path) -> dict[str, list[Any]]:
    """A file read as `recbole.data.dataset.Dataset._load_feat` reads it, by the types in its header."""
    types = dict(field.split(":") for field in path.open(newline="").readline()[:-1].split("\t"))
    dtype = {f"{name}:{kind}": np.float64 if kind == "float" else str for name, kind in types.items()}
    table = pd.read_csv(path, delimiter="\t", dtype=dtype, engine="python")
    table.columns = pd.Index(types)
    for name, kind in types.items():
        if kind == "token_seq":
            table[name] = [list(filter(None, text.split(" "))) for text in table[name].fillna("")]
    return table.astype(object).where(table.notna(), None).to_dict("list")


def written(folder: Path, items: pa.Table = ITEMS) -> Path:
    write_recbole(folder, "shop", INTERACTIONS, SPLITS, ITEM_IDS, items)
    return folder


def test_interactions_come_back_as_they_are_and_by_parts(tmp_path: Path) -> None:
    written(tmp_path)
    found = parsed(tmp_path / "shop.inter")
    assert found["user_id"] == ["u1", "u1", "u2", "u2"]
    assert found["item_id"] == ["007", "x y", "007", "bare"]
    assert found["rating"] == [5, 4.5, 3, 1]
    assert [round(1000 * time) for time in found["timestamp"]] == INTERACTIONS["timestamp"].to_pylist()
    config = yaml.safe_load((tmp_path / "shop.yaml").read_text())
    by_part = [parsed(tmp_path / f"shop.{part}.inter") for part in config["benchmark_filename"]]
    assert [(part["user_id"], part["item_id"]) for part in by_part] == [
        (["u1", "u2"], ["007", "bare"]),
        (["u1"], ["x y"]),
        (["u2"], ["007"]),
    ]
    assert set(found) == set(config["load_col"]["inter"])


def test_items_are_those_of_the_interactions_and_their_texts_are_tokens(tmp_path: Path) -> None:
    found = parsed(written(tmp_path) / "shop.item")
    assert found == {
        "item_id": ["007", "bare", "x y"],
        "title": [["''Unclosed"], [], ["12''", "Pan", "''deluxe''", "set"]],
        "brand": [None, None, "Acme & Sons"],
        "categories": [[], [], ["Home_&_Kitchen", "Pots_and_Pans"]],
        "price": [None, None, 12.5],
    }


def test_headers_name_the_types(tmp_path: Path) -> None:
    written(tmp_path)
    for name in ("shop.inter", "shop.train.inter", "shop.valid.inter", "shop.test.inter"):
        header = (tmp_path / name).read_text().splitlines()[0]
        assert header == "user_id:token\titem_id:token\trating:float\ttimestamp:float"
    header = (tmp_path / "shop.item").read_text().splitlines()[0]
    assert header == "item_id:token\ttitle:token_seq\tbrand:token\tcategories:token_seq\tprice:float"


def test_tables_in_pieces_give_the_same_files(tmp_path: Path) -> None:
    whole, pieces = tmp_path / "whole", tmp_path / "pieces"
    whole.mkdir()
    pieces.mkdir()
    written(whole)
    written(pieces, pa.concat_tables([ITEMS.slice(0, 1), ITEMS.slice(1)]))
    assert (whole / "shop.item").read_bytes() == (pieces / "shop.item").read_bytes()


def test_no_items_known_leaves_ids_alone(tmp_path: Path) -> None:
    found = parsed(written(tmp_path, ITEMS.slice(0, 0)) / "shop.item")
    assert found["item_id"] == ["007", "bare", "x y"]
    assert found["title"] == found["categories"] == [[], [], []]


def test_an_id_that_reads_as_missing_is_refused(tmp_path: Path) -> None:
    hostile = INTERACTIONS.set_column(0, "user_id", pa.array(["u1", "nan", "u2", "nan"]))
    with pytest.raises(InputError, match="1 user_id of the raw file cannot be written"):
        write_recbole(tmp_path, "shop", hostile, SPLITS, ITEM_IDS, ITEMS)
