"""The Arrow schema of every table, and what its columns say. A table that does not fit its schema is not published."""

import pyarrow as pa

SCHEMA_VERSION = "2"

_METRIC = [("metric", pa.string()), ("k", pa.int32()), ("stratum", pa.string()), ("seed", pa.int64())]
_INTERVAL = [("value", pa.float64()), ("ci_low", pa.float64()), ("ci_high", pa.float64()), ("p_holm", pa.float64())]
_RANKED = [("user_id", pa.string()), ("rank", pa.int32()), ("item_id", pa.string()), ("score", pa.float32())]

SCHEMAS: dict[str, pa.Schema] = {
    "reviews": pa.schema(
        [
            ("user_id", pa.string()),
            ("item_id", pa.string()),
            ("rating", pa.float32()),
            ("timestamp", pa.int64()),
        ]
    ),
    "items": pa.schema(
        [
            ("item_id", pa.string()),
            ("title", pa.string()),
            ("brand", pa.string()),
            ("categories", pa.list_(pa.string())),
            ("price", pa.float64()),
            ("text", pa.string()),
            ("image_urls", pa.list_(pa.list_(pa.string()))),
        ]
    ),
    "rejects": pa.schema([("line", pa.int64()), ("reason", pa.string()), ("raw", pa.string())]),
    "interactions": pa.schema(
        [
            ("user", pa.int32()),
            ("item", pa.int32()),
            ("user_id", pa.string()),
            ("item_id", pa.string()),
            ("rating", pa.float32()),
            ("timestamp", pa.int64()),
        ]
    ),
    "item_index": pa.schema([("item", pa.int32()), ("item_id", pa.string()), ("in_core", pa.bool_())]),
    "splits": pa.schema([("user", pa.int32()), ("item", pa.int32()), ("split", pa.int8())]),
    "item_images": pa.schema(
        [
            ("item_id", pa.string()),
            ("position", pa.int32()),
            ("url", pa.string()),
            ("status", pa.string()),
            ("bytes", pa.int32()),
            ("width", pa.int32()),
            ("height", pa.int32()),
            ("sha256", pa.string()),
        ]
    ),
    "pictures": pa.schema(  # one row an attempt at a URL; the latest counts
        [
            ("url", pa.string()),
            ("asked_at", pa.int64()),
            ("mark", pa.string()),
            ("status", pa.string()),
            ("width", pa.int32()),
            ("height", pa.int32()),
            ("bytes", pa.int32()),
            ("sha256", pa.string()),  # of the content; null where there is none
            ("content", pa.binary()),  # null as well where a picture of that sha256 is stored already
        ]
    ),
    "tuning": pa.schema(
        [
            ("model", pa.string()),
            ("loss", pa.string()),
            ("trial", pa.int32()),
            ("values", pa.string()),
            ("validation_ndcg", pa.float64()),
            ("epochs", pa.int32()),
            ("seconds", pa.float64()),
            ("ended", pa.string()),
            ("chosen", pa.bool_()),
        ]
    ),
    "model_choice": pa.schema(
        [
            ("model", pa.string()),
            ("loss", pa.string()),
            ("validation_ndcg", pa.float64()),
            ("seeds", pa.int32()),
            ("epochs", pa.int32()),
            ("explains", pa.bool_()),
            ("chosen", pa.bool_()),
            ("values", pa.string()),
            ("status", pa.string()),
        ]
    ),
    "leaderboard": pa.schema(
        [
            ("dataset", pa.string()),
            ("dataset_version", pa.string()),
            ("split_rule", pa.string()),
            ("block", pa.string()),
            ("model", pa.string()),
            ("loss", pa.string()),
            ("score", pa.string()),
            ("settings_hash", pa.string()),
            *_METRIC,
            *_INTERVAL,
            ("n_users", pa.int64()),
            ("trials", pa.int32()),
            ("tune_s", pa.float64()),
            ("train_s", pa.float64()),
            ("eval_s", pa.float64()),
            ("device", pa.string()),
            ("status", pa.string()),
        ]
    ),
    "recommendations": pa.schema(
        [
            *_RANKED,
            ("is_new", pa.bool_()),
            ("because", pa.list_(pa.string())),
            ("because_part", pa.list_(pa.float32())),
            ("visual", pa.float32()),
            ("textual", pa.float32()),
        ]
    ),
    "new_item_scores": pa.schema(_RANKED),
    "unavailable_items": pa.schema([("item_id", pa.string()), ("reason", pa.string())]),
    "new_item_recall": pa.schema(
        [
            ("method", pa.string()),
            ("metric", pa.string()),
            ("k", pa.int32()),
            ("value", pa.float64()),
            ("ci_low", pa.float64()),
            ("ci_high", pa.float64()),
            ("n_users", pa.int64()),
            ("n_items", pa.int64()),
        ]
    ),
    "history": pa.schema(  # one row a run
        [
            ("run", pa.string()),
            ("time", pa.int64()),
            ("rows", pa.int64()),
            ("bytes", pa.int64()),
            ("seconds", pa.float64()),
            ("recall_at_20", pa.float64()),
            ("settings_hash", pa.string()),
        ]
    ),
}

# What a column says, wherever it has that name; `table.column` where it says something else in one table.
MEANINGS: dict[str, str] = {
    "user_id": "Id of the reviewer as in the dump; it belongs to a person.",
    "item_id": "Id of the product as in the dump; variants of one product share it.",
    "rating": "Stars that the reviewer gave.",
    "timestamp": "When it was reviewed, in ms since the epoch, UTC.",
    "title": "Name of the product.",
    "brand": "Brand, or the store that sells it.",
    "categories": "Categories as the dump has them.",
    "price": "In US dollars; null where the dump names no single price.",
    "text": "What the text encoder reads: the cleaned parts of the record as one text.",
    "image_urls": "A list of pictures, the main one first; of each the places where it may be, the largest first.",
    "line": "Line of the raw file, from 1.",
    "reason": "Why the line could not be used.",
    "raw": "The beginning of the line itself.",
    "user": "Number of the user, from 0.",
    "item": "Number of the item: its row in item_index.",
    "in_core": "Whether it has interactions in the core; the others have metadata alone.",
    "split": "0 train, 1 validation, 2 test.",
    "position": "Place among the item's usable pictures; 0 in the one row of an item without any.",
    "url": "Where the picture comes from.",
    "status": "ok, or why there is no picture.",
    "bytes": "Size of the picture's file.",
    "asked_at": "When it was asked for, in ms since the epoch, UTC.",
    "mark": "State of a local file, size:mtime_ns; null for the web.",
    "width": "Pixels as stored in the file, before its EXIF orientation is applied.",
    "height": "Pixels as stored in the file, before its EXIF orientation is applied.",
    "sha256": "SHA-256 of the picture's bytes: its key in the shards.",
    "has_value": "Whether there was a picture or a text to encode.",
    "content": "SHA-256 of every picture or text that the vector was made of.",
    "embedding": "The item's vector, normalised; zeros where has_value is false.",
    "model": "Name of the model, which is the asset that trained it.",
    "loss": "What training minimised: bpr or softmax; none for what is counted.",
    "trial": "Number of the trial, from 0.",
    "values": "JSON: what was tried, by setting.",
    "validation_ndcg": "NDCG@20 on validation, the best that the trial showed.",
    "epochs": "Epochs that the trial ran.",
    "tuning.seconds": "What the trainings of the trial took.",
    "ended": "complete, worse (than others) or failed.",
    "chosen": "Whether the model was trained with it.",
    "model_choice.validation_ndcg": "NDCG@20 on validation, the mean over seeds.",
    "seeds": "Number of seeds it was trained with.",
    "model_choice.epochs": "Epochs that it is fitted for when it is served: the median over seeds.",
    "explains": "Whether its scores can be taken apart into history, picture and text.",
    "model_choice.chosen": "Whether it is the one that is served.",
    "model_choice.values": "JSON: the settings that it is fitted with when it is served.",
    "model_choice.status": "ok, or why it cannot be served.",
    "dataset": "Name of the dataset: its partition.",
    "dataset_version": "Data version of splits.",
    "split_rule": "The rule of the split.",
    "block": "controlled: learned models under one loss; open: the best of each model.",
    "score": "How a user's and an item's vector give a score.",
    "settings_hash": "Short hash of the settings that the model was trained with.",
    "metric": "What is measured, as a mean over users.",
    "k": "Length of the ranking that is looked at.",
    "stratum": "Which test items or users are counted; all: every one of them.",
    "seed": "Seed of the training.",
    "value": "The metric.",
    "ci_low": "Lower end of the 95 % bootstrap interval over users.",
    "ci_high": "Upper end of the 95 % bootstrap interval over users.",
    "p_holm": "Sign-flip test of NDCG@20 against gated_lightgcn, adjusted by Holm; null where it is not tested.",
    "n_users": "Users that the mean is over.",
    "trials": "Trials of the search for this model and loss.",
    "tune_s": "Seconds of that search.",
    "train_s": "Seconds of the training.",
    "eval_s": "Seconds of the evaluation.",
    "device": "What it was trained on.",
    "leaderboard.status": "ok, or why the model was skipped.",
    "rank": "Place in the user's list, from 1.",
    "recommendations.score": "The model's score, comparable within one user alone; of a new item, that of its place.",
    "unavailable_items.reason": "What says that it is not available: a key of the metadata, or the list.",
    "is_new": "Whether nobody has the item yet.",
    "because": "Items of the user's history that add most to the score, the first most of all; null like visual.",
    "because_part": "What each of them adds, in the unit of the score; null like visual.",
    "visual": "What comes from pictures, in the unit of the score; null if not asked for, or the user is new.",
    "textual": "What comes from texts, in the unit of the score; null if not asked for, or the user is new.",
    "new_item_scores.score": "The model's score; comparable within one user alone.",
    "method": "What ranks the items held out.",
    "n_items": "Items that training was not shown; all of them are candidates.",
    "run": "Id of the Dagster run.",
    "time": "When the run came to its report, in ms since the epoch, UTC.",
    "rows": "Interactions in the core.",
    "history.bytes": "All artefacts behind the report together.",
    "seconds": "Spent on the artefacts that this run made; what was used again costs nothing.",
    "recall_at_20": "Recall@20 on test of the model that is served, as evaluated; null where it was not made.",
    "history.settings_hash": "Short hash of the settings of all assets behind the report.",
}


def meaning_of(table: str, column: str) -> str | None:
    """What a column of a table says, or None where nobody has written it down."""
    return MEANINGS.get(f"{table}.{column}") or MEANINGS.get(column)


def embedding_schema(embedding: pa.DataType) -> pa.Schema:
    """Schema of an embedding table: one row an item of `item_index`, in its order, zeros where there is no value.

    Args:
        embedding: `fixed_size_list` of float16 or float32.
    """
    return pa.schema(
        [
            ("item", pa.int32()),
            ("item_id", pa.string()),
            ("has_value", pa.bool_()),
            ("content", pa.list_(pa.string())),  # SHA-256 of every picture or text that the vector was made of
            ("embedding", embedding),
        ]
    )
