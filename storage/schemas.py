"""The Arrow schema of every table. A table that does not fit its schema is not published."""

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
            ("timestamp", pa.int64()),  # ms since the epoch, UTC
        ]
    ),
    "items": pa.schema(
        [
            ("item_id", pa.string()),
            ("title", pa.string()),
            ("brand", pa.string()),
            ("categories", pa.list_(pa.string())),
            ("price", pa.float64()),
            ("text", pa.string()),  # what the text encoder reads
            # A list of pictures, the main one first; of each the places where it may be, the largest first.
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
            ("position", pa.int32()),  # among the item's usable pictures; 0 in the one row of an item without any
            ("url", pa.string()),
            ("status", pa.string()),
            ("bytes", pa.int32()),
            ("width", pa.int32()),  # as stored in the file, before its EXIF orientation is applied
            ("height", pa.int32()),
            ("sha256", pa.string()),  # the key of the picture in the shards
        ]
    ),
    "pictures": pa.schema(  # one row an attempt at a URL; the latest counts
        [
            ("url", pa.string()),
            ("asked_at", pa.int64()),  # ms since the epoch, UTC
            ("mark", pa.string()),  # the state of a local file, "size:mtime_ns"; null for the web
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
            ("values", pa.string()),  # JSON, by setting
            ("validation_ndcg", pa.float64()),  # at 20, the best that the trial showed
            ("epochs", pa.int32()),
            ("seconds", pa.float64()),
            ("ended", pa.string()),  # complete, worse, time or failed
            ("chosen", pa.bool_()),
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
            # Parts of the score, in its unit; null where reasons were not asked for, or the user is new.
            ("because", pa.list_(pa.string())),  # the items of the user's history that add most, the first most of all
            ("because_part", pa.list_(pa.float32())),  # what each of them adds
            ("visual", pa.float32()),  # what comes from pictures
            ("textual", pa.float32()),  # what comes from texts
        ]
    ),
    "new_item_scores": pa.schema(_RANKED),
    "new_item_recall": pa.schema(
        [
            ("method", pa.string()),
            ("metric", pa.string()),
            ("k", pa.int32()),
            ("value", pa.float64()),
            ("ci_low", pa.float64()),
            ("ci_high", pa.float64()),
            ("n_users", pa.int64()),
            ("n_items", pa.int64()),  # that training was not shown, all of them candidates
        ]
    ),
}


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
