"""What must hold of URLs, redirects and shards of vectors whatever they are."""

import hashlib
from collections import Counter
from pathlib import Path
from random import Random

import numpy as np
import pyarrow as pa
from yarl import URL

from storage.artifacts.data_root import DataRoot
from storage.embeddings.store import publish_shard, read_shards
from storage.images.statuses import RefusedError
from storage.images.url_policy import follow_redirect, is_on_the_web, require_allowed, url_of
from storage.limits import MAX_URL_CHARACTERS
from tests.fuzz.mutations import mutated

URLS = (
    "https://img.test/a%3Ab.jpg?w=1&Signature=a%2Fb", "http://a.test:81/x y.jpg#top", "//cdn.test/a.jpg", "a/b.jpg",
    "http://user:pw@b\u00fccher.test/\u00e9.jpg", "http://[2606:4700::6810:84e5]:80/a", "http://127.0.0.1/a",
    "http://][@", "http://0x7f.1/", "data:image/gif;base64,R0lG", "https:\\\\x\\a.jpg", "HTTP://A.TEST/../a//b",
)  # fmt: skip
PIECES = (
    "[", "]", "@", ":", "/", "\\", "#", "?", "%", "%zz", "%2f", " ", "\n", "\t", "\0", "\u200b", "\u3002", "\ud83c",
    "..", "http://", "//", "xn--", "9" * 20, "a" * 300, "\u00e9" * 300, "[" * 300, "@" * 300, "\u00e9" * 100_000,
)  # fmt: skip


class Urls:
    """A place becomes a URL that can be sent and is looked at as it is sent, or it is refused for a reason."""

    name = "URLs"

    def __init__(self) -> None:
        self.came_of_it: Counter[str] = Counter()

    def inputs(self, draw: Random, count: int) -> list[bytes]:
        return [self._place(draw).encode(errors="surrogatepass") for _ in range(count)]

    def _place(self, draw: Random) -> str:
        place = draw.choice(URLS)
        for _ in range(draw.randint(0, 3)):
            start = draw.randrange(len(place) + 1)
            end = min(start + draw.choice((0, 0, 1, 4)), len(place))
            place = place[:start] + draw.choice(PIECES) + place[end:]
        return place

    def check(self, places: list[bytes], folder: Path) -> None:
        base = url_of("http://a.test/dir/a.jpg")
        for content in places:
            place = content.decode(errors="surrogatepass")
            is_on_the_web(place)
            self._assert_sendable(lambda place=place: url_of(place))
            self._assert_sendable(lambda place=place: follow_redirect(base, place))

    def _assert_sendable(self, asked) -> None:
        try:
            url: URL = asked()
        except RefusedError as refused:
            assert refused.status in ("bad_url", "forbidden")
            self.came_of_it[refused.status] += 1
            return
        self.came_of_it["asked"] += 1
        text = str(url)
        assert text.isascii()
        assert text.isprintable()
        assert " " not in text
        assert len(text) <= 12 * MAX_URL_CHARACTERS
        assert url.scheme in ("http", "https")
        assert url.raw_host
        if len(text) <= MAX_URL_CHARACTERS:
            again = url_of(text)
            assert (again.raw_host, again.raw_path_qs) == (url.raw_host, url.raw_path_qs)
        try:
            require_allowed(url, local=False)
        except RefusedError as refused:
            assert refused.status == "forbidden"


class Shards:
    """A file named by its own SHA-256 is a sound shard, or it is left out; a sound one beside it is read."""

    name = "shards of vectors"

    def __init__(self) -> None:
        self.came_of_it: Counter[str] = Counter()

    def inputs(self, draw: Random, count: int) -> list[bytes]:
        flat = pa.FixedSizeListArray.from_arrays(pa.array(np.arange(6, dtype=np.float32)), 3)
        rows = pa.table({"content": ["a" * 64, "b" * 64], "vector": flat})
        sink = pa.BufferOutputStream()
        with pa.ipc.new_file(sink, rows.schema) as writer:
            writer.write_table(rows)
        return [mutated(sink.getvalue().to_pybytes(), draw, 2) for _ in range(count)]

    def check(self, files: list[bytes], folder: Path) -> None:
        space = folder / "space"
        space.mkdir(exist_ok=True)
        for old in space.glob("*.arrow"):
            old.unlink()
        many = np.ones((4 * len(files), 3), dtype=np.float32)
        sound = publish_shard(DataRoot(folder), space, pa.array([f"{n:064}" for n in range(len(many))]), many)
        for content in files:
            (space / f"{hashlib.sha256(content).hexdigest()}.arrow").write_bytes(content)
        found = {shard.path: shard for shard in read_shards(space)}
        assert sound in found
        for shard in found.values():
            assert shard.vectors.shape == (len(shard.content), 3)
            assert all(isinstance(key, str) for key in shard.content.to_pylist())
        self.came_of_it["sound"] += len(found) - 1
        self.came_of_it["left out"] += len(set(files)) - (len(found) - 1)
