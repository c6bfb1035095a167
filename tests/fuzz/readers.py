"""What must hold of readers whatever they are given."""

import gzip
import json
import math
import zlib
from collections import Counter
from pathlib import Path
from random import Random
from typing import Any

import yaml

from storage.artifacts.data_root import DataRoot
from storage.artifacts.manifest import Manifest, Recipe
from storage.catalogue import load_catalogue
from storage.errors import InputError
from storage.files.checksums import add_checksum
from storage.limits import MAX_ID_BYTES, MAX_PICTURES, MAX_TEXT_CHARACTERS
from storage.raw.amazon import ITEM_OF, REVIEW_KEYS, TIMES_END, read_items, read_reviews
from storage.raw.gzip_reader import BLOCK_BYTES, DAMAGED, STEP_BYTES, TRUNCATED, read_blocks
from storage.raw.lines import OPEN_ARRAY, read_records
from storage.raw.partial import Partial, Receipt, State, find_receipt, receipt_path
from storage.raw.rejects import RAW_CHARACTERS, Rejects
from tests.fuzz.mutations import line_of, mutated, odd
from tests.fuzz.web import Shards, Urls

LONGEST_SENTENCE = 2_000
FIELDS = {
    "title", "brand", "store", "categories", "category", "feature", "features", "description", "price", "imUrl",
    "image", "imageURL", "imageURLHighRes", "images",
}  # fmt: skip
PLACES = ("", ".", "..", "/", "/etc/passwd", "../x", "reviews", "reviews/../../x", "reviews/a.parquet", "a/../..", "\0")
UNCLOSED = (b'{"a":', b'{"a":[1,', b'{"a":"', b"{[[", b"}", b'{"a":{}\n', b"\n ", b"]")

REVIEWS: dict[str, dict[str, Any]] = {
    "amazon2014": {
        "reviewerID": "A1", "asin": "0000031887", "reviewerName": "J", "helpful": [0, 1], "reviewText": "Nice.",
        "overall": 5.0, "summary": "Good", "unixReviewTime": 1393545600, "reviewTime": "02 28, 2014",
    },
    "amazon2018": {
        "overall": 4.0, "verified": True, "reviewerID": "A2", "asin": "B0001", "style": {"Color:": " Red"},
        "reviewText": "Caf\u00e9 \U0001f381", "unixReviewTime": 1393545600, "vote": "3", "image": ["https://a.test/1.jpg"],
    },
    "amazon2023": {
        "rating": 3.0, "title": "t", "text": "x", "images": [], "asin": "B0X", "parent_asin": "B0P", "user_id": "AE1",
        "timestamp": 1600000000123, "helpful_vote": 0, "verified_purchase": True,
    },
}  # fmt: skip
ITEMS: dict[str, dict[str, Any]] = {
    "amazon2014": {
        "asin": "0000031852", "title": "Girls' Tutu &amp; Bow", "price": 3.17, "imUrl": "http://a.test/a.jpg",
        "brand": "Coxlures", "categories": [["Sports", "Dance"], ["Kids"]], "description": "So \u00e9legant",
    },
    "amazon2018": {
        "asin": "B0001", "title": "<b>Tea</b>", "brand": "B", "category": ["Food", "Tea"], "feature": ["Green"],
        "description": ["Fine."], "price": "$1,250.00", "imageURL": ["s1"], "imageURLHighRes": ["l1"], "image": "o1",
    },
    "amazon2023": {
        "parent_asin": "B0P", "title": "Lamp", "store": "S", "price": 9.5, "categories": ["Home"], "features": ["LED"],
        "description": [], "images": [{"variant": "MAIN", "large": "m.jpg", "hi_res": None, "thumb": "t.jpg"}],
    },
}  # fmt: skip


class Reviews:
    """Every line of a dump of reviews becomes a row or a reject; sound ones become rows whatever lies beside them."""

    def __init__(self, release: str):
        self.release, self.name = release, f"reviews {release}"
        self.came_of_it: Counter[str] = Counter()

    def inputs(self, draw: Random, count: int) -> list[bytes]:
        return [line_of(REVIEWS[self.release], draw) for _ in range(count)]

    def check(self, lines: list[bytes], folder: Path) -> None:
        keys = REVIEW_KEYS[self.release]  # type: ignore[index]
        sound = [{**REVIEWS[self.release], keys.user: f"SOUND{n}"} for n in range(len(lines) + 1)]
        dump = _interleaved(lines, [json.dumps(record).encode() for record in sound], folder)
        rejects = Rejects()
        table = read_reviews(dump, self.release, rejects).read_all()  # type: ignore[arg-type]
        _assert_all_told(dump, len(table), rejects)
        rows = table.to_pylist()
        self.came_of_it += Counter(rows=len(rows) - len(sound), rejects=len(rejects))
        assert [row["user_id"] for row in rows if row["user_id"].startswith("SOUND")] == [r[keys.user] for r in sound]
        for row in rows:
            assert 0 < len(row["user_id"].encode()) <= MAX_ID_BYTES
            assert 0 < len(row["item_id"].encode()) <= MAX_ID_BYTES
            assert math.isfinite(row["rating"])
            assert 0 <= row["timestamp"] < TIMES_END


class Items:
    """The same of metadata; of an item that comes again the first is kept."""

    def __init__(self, release: str):
        self.release, self.name = release, f"items {release}"
        self.came_of_it: Counter[str] = Counter()
        self._id = "parent_asin" if release == "amazon2023" else "asin"

    def inputs(self, draw: Random, count: int) -> list[bytes]:
        literal = self.release == "amazon2014"
        own = [{**ITEMS[self.release], self._id: f"B{draw.randrange(2 * count)}"} for _ in range(count)]
        return [line_of(record, draw, literal and draw.random() < 0.8) for record in own]

    def check(self, lines: list[bytes], folder: Path) -> None:
        sound = [{**ITEMS[self.release], self._id: f"SOUND{n}"} for n in range(len(lines) + 1)]
        dump = _interleaved(lines, [json.dumps(record).encode() for record in sound], folder)
        rejects = Rejects()
        rows = read_items(dump, self.release, 500, rejects).read_all().to_pylist()  # type: ignore[arg-type]
        _assert_all_told(dump, len(rows), rejects)
        self.came_of_it += Counter(rows=len(rows) - len(sound), rejects=len(rejects))
        ids = [row["item_id"] for row in rows]
        assert len(set(ids)) == len(ids)
        assert [name for name in ids if name.startswith("SOUND")] == [record[self._id] for record in sound]
        for row in rows:
            assert len(row["text"]) <= 500
            assert row["price"] is None or (math.isfinite(row["price"]) and row["price"] >= 0)
            assert all(places and all(places) for places in row["image_urls"])
            assert len(row["image_urls"]) <= 3 * MAX_PICTURES
            assert len(row["title"]) <= MAX_TEXT_CHARACTERS
            assert len(row["item_id"].encode()) <= MAX_ID_BYTES
        self.came_of_it["not read"] += sum(rejects.not_read().values())
        assert all(told.partition(": ")[0] in FIELDS for told in rejects.not_read())


class Arrays:
    """What lies in a JSON array is told, in a record or in a reject, whatever lies beside it."""

    name = "JSON arrays"

    def __init__(self) -> None:
        self.came_of_it: Counter[str] = Counter()

    def inputs(self, draw: Random, count: int) -> list[bytes]:
        return [self._element(draw) for _ in range(count)]

    def _element(self, draw: Random) -> bytes:
        if draw.random() < 0.1:  # one that is never closed, or never opened
            return draw.choice(UNCLOSED) * draw.choice((1, 3, 50))
        return line_of(ITEMS["amazon2023"], draw)

    def check(self, elements: list[bytes], folder: Path) -> None:
        sound = [b'{"mark": "SOUND%d."}' % n for n in range(len(elements) + 1)]
        dump = folder / "dump"
        dump.write_bytes(b"[" + b",\n".join(_between(elements, sound)) + b"]\n")
        rejects = Rejects()
        found = [row for batch in read_records(dump, rejects) for row in batch.to_pylist()]
        assert [row["line"] for row in found] == sorted(row["line"] for row in found)
        self.came_of_it += Counter(records=len(found) - len(sound), rejects=len(rejects))
        told = rejects.table().to_pylist()
        cut = any(len(row["raw"]) >= RAW_CHARACTERS for row in told)
        everything = " ".join([row["raw"] for row in found] + [row["raw"] for row in told])
        lost = [n for n in range(len(sound)) if f"SOUND{n}." not in everything]
        assert not lost or cut or OPEN_ARRAY in rejects.by_reason(), lost


class Gzip:
    """A gzip file gives what it holds; where it is damaged, that is told, and a block stays small."""

    name = "damaged gzip"

    def __init__(self) -> None:
        self.came_of_it: Counter[str] = Counter()

    def inputs(self, draw: Random, count: int) -> list[bytes]:
        return [self._file(draw) for _ in range(count)]

    def _file(self, draw: Random) -> bytes:
        texts = [draw.randbytes(draw.randrange(200)).hex().encode() + b"\n" * 9 for _ in range(draw.randint(1, 3))]
        whole = bytes(draw.randrange(3)).join(gzip.compress(text, draw.choice((0, 1, 9)), mtime=0) for text in texts)
        match draw.randrange(10):
            case 0:
                return whole
            case 1 | 2:
                whole = whole[: draw.randrange(len(whole))]
            case _:
                whole = mutated(whole, draw, 2)
        return b"\x1f\x8b" + whole[2:]

    def check(self, files: list[bytes], folder: Path) -> None:
        dump = folder / "dump"
        for content in files:
            dump.write_bytes(content)
            blocks = list(read_blocks(dump))
            assert all(len(block.content) <= BLOCK_BYTES + STEP_BYTES for block in blocks)
            damage = {block.damage for block in blocks} - {None}
            assert damage <= {DAMAGED, TRUNCATED}
            self.came_of_it.update(damage or {"whole"})
            try:
                expected = gzip.decompress(content)
            except (OSError, EOFError, zlib.error):
                assert damage
                continue
            if not damage:
                assert b"".join(block.content for block in blocks) == expected


class Catalogues:
    """A catalogue is read, or one sentence says what is wrong with it."""

    name = "catalogue"
    SOUND = b"""datasets:
  shop:
    format: amazon2023
    reviews: https://shop.test/{category}.jsonl.gz
    metadata: "sample:"
    images: pictures
    enabled: true
    settings: {user_core: 5, k: [5, 10], image_weights: untrained, l2: 1.0e-4, note: ~}
  2018-Books: &books
    format: amazon2018
    reviews: a.json
    metadata: b.json
  other: {<<: *books, enabled: no}
  merged: {<<: *books, settings: {split_points: [1, 2], user_core: 3}}
"""

    def __init__(self) -> None:
        self.came_of_it: Counter[str] = Counter()

    def inputs(self, draw: Random, count: int) -> list[bytes]:
        return [self._file(draw) for _ in range(count)]

    def _file(self, draw: Random) -> bytes:
        """The text changed anywhere, or odd entries; JSON is YAML."""
        if draw.random() < 0.5:
            return mutated(self.SOUND, draw, 2)
        entries = yaml.safe_load(self.SOUND)["datasets"]
        entries["shop"]["settings"] = odd(entries["shop"]["settings"], draw)
        entries["other"] = odd(entries["other"] | draw.choice(({}, {"name": "shop"})), draw)
        return json.dumps({"datasets": entries}, ensure_ascii=draw.random() < 0.5).encode(errors="replace")

    def check(self, files: list[bytes], folder: Path) -> None:
        path = folder / "mine.yaml"
        for content in files:
            path.write_bytes(content)
            try:
                catalogue = load_catalogue(path)
            except InputError as error:
                _assert_sentence(error)
                self.came_of_it["refused"] += 1
                continue
            self.came_of_it["read"] += 1
            assert set(catalogue.enabled) <= set(catalogue.names)
            for name in catalogue.names:
                try:
                    assert catalogue.dataset(name).name == name
                except InputError as error:
                    _assert_sentence(error)


class Notes:
    """Manifests, receipts and notes of downloads are read as they were written, or count as not there."""

    name = "manifests and receipts"

    def __init__(self) -> None:
        self.came_of_it: Counter[str] = Counter()
        self.manifest = Manifest(
            asset="reviews", dataset="shop", path="reviews/shop.parquet", bytes=12_345, sha256="ab" * 32,
            data_version="0123456789abcdef", recipe=Recipe(code_version="1", settings={"k": 5}, inputs={"raw": "1"}),
            numbering={}, facts={"rows": 3, "share": 0.25}, seconds=1.5, rows=3, run="run",
        )  # fmt: skip
        self.receipt = Receipt(
            url="https://shop.test/a", etag='"1"', last_modified="Wed, 21 Oct 2015 07:28:00 GMT",
            bytes=3, sha256="ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
        )  # fmt: skip

    def inputs(self, draw: Random, count: int) -> list[bytes]:
        return [self._note(draw) for _ in range(count)]

    def _note(self, draw: Random) -> bytes:
        """Changed after it was sealed; or sealed with whatever it says; or without a seal."""
        note = draw.choice((self.manifest, self.receipt)).model_dump(mode="json")
        match draw.randrange(3):
            case 0:
                return mutated(add_checksum(json.dumps(note)), draw, 2)
            case 1:
                note = note | {"path": draw.choice(PLACES)} if draw.random() < 0.5 else odd(note, draw)
                return add_checksum(json.dumps(note))
        return mutated(json.dumps(note).encode(), draw, 2)

    def check(self, files: list[bytes], folder: Path) -> None:
        root, dump = DataRoot(folder / "data"), folder / "downloads" / "dump"
        partial = Partial(self.receipt.url, dump.parent)
        dump.parent.mkdir(exist_ok=True)
        dump.write_bytes(b"abc")
        partial.path.write_bytes(b"ab")
        for path in (root.path("reviews", "shop", ".manifest.json"), receipt_path(dump), partial._note):
            path.parent.mkdir(parents=True, exist_ok=True)
        for content in files:
            root.path("reviews", "shop", ".manifest.json").write_bytes(content)
            try:
                manifest = root.find_manifest("reviews", "shop")
                self.came_of_it["manifests"] += 1
                assert manifest is not None
                place = root.owned(manifest).resolve()
                assert len(place.relative_to(root.root.resolve()).parts) > 1
                self.came_of_it["located"] += 1
            except InputError as error:
                _assert_sentence(error)
                self.came_of_it["refused"] += 1
            receipt_path(dump).write_bytes(content)
            found = find_receipt(dump, self.receipt.url)
            assert found is None or (found.bytes, found.sha256) == (3, self.receipt.sha256)
            partial._note.write_bytes(content)
            assert partial.state is None or isinstance(partial.state, State)


def _between(broken: list[bytes], sound: list[bytes]) -> list[bytes]:
    """A sound one, then a broken one and a sound one, and so on."""
    return [sound[0], *(line for pair in zip(broken, sound[1:], strict=True) for line in pair)]


def _interleaved(broken: list[bytes], sound: list[bytes], folder: Path) -> Path:
    dump = folder / "dump"
    dump.write_bytes(b"\n".join(_between(broken, sound)))
    return dump


def _assert_all_told(dump: Path, rows: int, rejects: Rejects) -> None:
    """Each line that is not blank is a row or a reject."""
    lines = dump.read_bytes().split(b"\n")
    assert rows + len(rejects) == sum(not _is_blank(line) for line in lines)


def _is_blank(line: bytes) -> bool:
    try:
        return not line or line.decode().isspace()
    except UnicodeDecodeError:
        return False


def _assert_sentence(error: InputError) -> None:
    said = str(error)
    assert said
    assert "\n" not in said
    assert len(said) < LONGEST_SENTENCE, len(said)


READERS = (
    *map(Reviews, REVIEW_KEYS), *map(Items, ITEM_OF), Arrays(), Gzip(), Catalogues(), Notes(), Urls(), Shards(),
)  # fmt: skip
