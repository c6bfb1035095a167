"""What is a path of the dataset's folder, and what only looks like one."""

from pathlib import Path

import pytest

from tests.storage.picture_server import fetch, jpeg, statuses, wanted


@pytest.mark.parametrize("name", ["img:1.jpg", "shop:front.jpg", "C:\\pics\\a.jpg", "a:b/c:d.jpg"])
@pytest.mark.parametrize("local", [True, False])
def test_a_path_may_have_a_colon(tmp_path: Path, name: str, local: bool) -> None:
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_bytes(jpeg())
    assert statuses(fetch(wanted(name), tmp_path / "shards", base=tmp_path, local=local)) == ["ok"]


@pytest.mark.parametrize(
    "place",
    [
        "file:/etc/passwd",
        "FILE:///etc/passwd",
        "file:a.jpg",
        "data:image/png;base64,AAAA",
        "javascript:a.jpg",
        "gopher://a.example/a.jpg",
    ],
)
def test_no_url_is_read_as_a_path(tmp_path: Path, place: str) -> None:
    for name in ("file:", "data:image", "gopher:"):
        (tmp_path / name).mkdir()
    (tmp_path / "file:a.jpg").write_bytes(jpeg())
    (tmp_path / "javascript:a.jpg").write_bytes(jpeg())
    assert statuses(fetch(wanted(place), tmp_path / "shards", base=tmp_path)) == ["forbidden"]


@pytest.mark.parametrize("place", ["x:/etc/passwd", "x:/../../secret.jpg", "x:../../secret.jpg"])
def test_a_colon_leads_nowhere_else(tmp_path: Path, place: str) -> None:
    base = tmp_path / "dataset"
    (base / "x:").mkdir(parents=True)
    (base / "x:..").mkdir()
    (tmp_path / "secret.jpg").write_bytes(jpeg())
    (status,) = statuses(fetch(wanted(place), tmp_path / "shards", base=base))
    assert status in ("forbidden", "not_found")
