"""Pictures are fetched from a folder or a server; whatever goes wrong becomes a status."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from pathlib import Path

import pyarrow as pa
import pytest
from PIL import Image

from storage import fetch
from storage.fetch import FetchLimits, Wanted, fetch_pictures
from storage.pictures import PictureStore
from storage.progress import Progress

LIMITS = FetchLimits(timeout_s=2, max_bytes=100_000, max_pixels=10_000, concurrency=4)


def jpeg(width: int = 20, height: int = 10, colour: str = "red") -> bytes:
    content = BytesIO()
    Image.new("RGB", (width, height), colour).save(content, "JPEG")
    return content.getvalue()


def run(wanted: list[Wanted], base: Path | None, store: PictureStore, earlier: dict | None = None) -> list[dict]:
    table = fetch_pictures(wanted, base, store, LIMITS, earlier or {}, Progress("test"))
    assert isinstance(table, pa.Table)
    return table.to_pylist()


@pytest.fixture
def store(tmp_path: Path) -> PictureStore:
    return PictureStore(tmp_path / "store")


def test_a_picture_of_the_datasets_folder_is_kept_with_its_size(tmp_path: Path, store: PictureStore) -> None:
    (tmp_path / "a.jpg").write_bytes(jpeg())
    (row,) = run([Wanted("A", ["a.jpg"])], tmp_path, store)
    assert (row["status"], row["width"], row["height"], row["bytes"]) == ("ok", 20, 10, len(jpeg()))
    assert dict(PictureStore(store.folder).read([row["sha256"]])) == {row["sha256"]: jpeg()}


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("nothing.jpg", "not_found"),
        ("../secret.jpg", "forbidden"),
        ("/etc/passwd", "forbidden"),
        ("link.jpg", "forbidden"),
        ("text.jpg", "undecodable"),
        ("half.jpg", "undecodable"),
        ("bomb.png", "too_many_pixels"),
        ("fat.jpg", "too_large"),
        ("file:///etc/passwd", "forbidden"),
        ("ftp://example.org/a.jpg", "forbidden"),
        ("http://127.0.0.1:9/a.jpg", "forbidden"),
        ("http://[::1]:9/a.jpg", "forbidden"),
        ("http://10.1.2.3/a.jpg", "forbidden"),
        ("http://169.254.169.254/latest/meta-data", "forbidden"),
        ("http://localhost:9/a.jpg", "forbidden"),
        ("http://[", "bad_url"),
        ("http://\u2460\u2461\u2466.\u24ea.\u24ea.\u2460:9/a.jpg", "forbidden"),  # 127.0.0.1 in circled digits
        ("http://127\u30020\u30020\u30021:9/a.jpg", "forbidden"),  # with ideographic full stops
        ("http://2130706433:9/a.jpg", "forbidden"),  # as one number
        ("http://0x7f.1:9/a.jpg", "forbidden"),
        ("http://127.1.:9/a.jpg", "forbidden"),
        ("http://[::ffff:127.0.0.1]:9/a.jpg", "forbidden"),
        ("http://[64:ff9b::7f00:1]:9/a.jpg", "forbidden"),
        ("http://[2002:7f00:1::]:9/a.jpg", "forbidden"),
        ("http://224.0.0.1/a.jpg", "forbidden"),
        ("nul\x00.jpg", "bad_path"),
        ("long" * 100 + ".jpg", "bad_path"),
        ("post.eps", "undecodable"),
        ("", "not_found"),
    ],
)
def test_what_cannot_be_used_says_why(tmp_path: Path, path: str, status: str) -> None:
    base = tmp_path / "dataset"
    base.mkdir()
    (tmp_path / "secret.jpg").write_bytes(jpeg())
    (base / "link.jpg").symlink_to(tmp_path / "secret.jpg")
    (base / "post.eps").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\nshowpage\n")
    (base / "text.jpg").write_text("no picture")
    (base / "half.jpg").write_bytes(jpeg(90, 90)[:400])
    (base / "fat.jpg").write_bytes(b"\xff" * 100_001)
    Image.new("1", (101, 100)).save(base / "bomb.png")
    (row,) = run([Wanted("A", [path])], base, PictureStore(tmp_path / "store"))
    assert (row["status"], row["url"], row["sha256"]) == (status, path, None)


def test_without_a_folder_no_path_is_read(store: PictureStore) -> None:
    (row,) = run([Wanted("A", ["/etc/hostname"])], None, store)
    assert row["status"] == "forbidden"


def test_every_item_gets_a_row_in_its_order(tmp_path: Path, store: PictureStore) -> None:
    (tmp_path / "a.jpg").write_bytes(jpeg())
    rows = run([Wanted("B", []), Wanted("A", ["none.jpg", "a.jpg"]), Wanted("C", ["none.jpg"])], tmp_path, store)
    assert [(row["item_id"], row["status"], row["url"]) for row in rows] == [
        ("B", "missing", None),
        ("A", "ok", "a.jpg"),
        ("C", "not_found", "none.jpg"),
    ]


class Handler(BaseHTTPRequestHandler):
    """Serves /ok, fails /gone and /busy, and sends /away to a private address."""

    asked: list[str]

    def do_GET(self) -> None:
        self.asked.append(self.path)
        if self.path == "/away":
            self.send_response(302)
            self.send_header("Location", "http://10.0.0.1/secret")
            self.end_headers()
            return
        status = {"/ok": 200, "/endless": 200, "/gone": 404}.get(self.path, 503)
        self.send_response(status)
        self.end_headers()
        if self.path == "/ok":
            self.wfile.write(jpeg())
        elif self.path == "/endless":
            self.wfile.write(b"x" * 1_000_000)

    def log_message(self, *_: object) -> None: ...


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A real server; loopback stands in for the internet, everything else private stays refused."""
    monkeypatch.setattr(fetch, "is_public", lambda address: address == "127.0.0.1")
    Handler.asked = []
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as listening:
        threading.Thread(target=listening.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{listening.server_port}"
        listening.shutdown()


def test_pictures_come_over_http_and_failures_are_told_apart(server: str, store: PictureStore) -> None:
    paths = ("ok", "gone", "busy", "endless", "away")
    rows = run([Wanted(path, [f"{server}/{path}"]) for path in paths], None, store)
    assert [row["status"] for row in rows] == ["ok", "http_404", "http_503", "too_large", "forbidden"]


def test_what_is_settled_is_not_asked_again(server: str, store: PictureStore) -> None:
    wanted = [Wanted(path, [f"{server}/{path}"]) for path in ("ok", "gone", "busy")]
    first = run(wanted, None, store)
    Handler.asked.clear()
    again = run(wanted, None, store, {row["item_id"]: row for row in first})
    assert again == first
    assert Handler.asked == ["/busy"]  # 503 passes, 404 does not


def test_equal_pictures_are_kept_once(tmp_path: Path, store: PictureStore) -> None:
    for name in ("a.jpg", "b.jpg"):
        (tmp_path / name).write_bytes(jpeg())
    rows = run([Wanted("A", ["a.jpg"]), Wanted("B", ["b.jpg"])], tmp_path, store)
    assert rows[0]["sha256"] == rows[1]["sha256"]
    assert len(list(PictureStore(store.folder).read([rows[0]["sha256"]]))) == 1
