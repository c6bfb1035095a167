"""What a person is shown of embeddings."""

import base64
import re
from io import BytesIO

import numpy as np
from PIL import Image

from assets.features.embedding_preview import (
    TILE,
    Neighbours,
    neighbour_table,
    neighbours,
    norm_histogram,
    picture_grid,
    spread,
)


def inlined(text: str) -> Image.Image:
    (encoded,) = re.fullmatch(r"!\[\]\(data:image/\w+;base64,(.*)\)", text).groups()
    return Image.open(BytesIO(base64.b64decode(encoded)))


def test_neighbours_are_the_nearest_by_cosine_among_rows_with_a_value() -> None:
    angles = np.radians([0, 10, 25, 90, 100, 180, 5])
    matrix = np.stack([np.cos(angles), np.sin(angles)], axis=1) * np.arange(1, 8)[:, None]
    found = neighbours(matrix, np.array([True, True, True, True, True, True, False]))
    assert [one.item for one in found] == [0, 2, 5]  # spread over the six
    assert found[0].nearest == [1, 2, 3, 4, 5]
    np.testing.assert_allclose(found[0].cosines, np.cos(np.radians([10, 25, 90, 100, 180])), atol=1e-6)
    assert found[1].nearest == [1, 0, 3, 4, 5]


def test_one_item_alone_has_no_neighbours() -> None:
    assert neighbours(np.ones((2, 3)), np.array([False, True])) == [Neighbours(1, [], [])]
    assert neighbours(np.zeros((2, 3)), np.array([False, False])) == []


def test_a_title_cannot_break_the_table_or_carry_markup() -> None:
    names = ["a | b\nc", "<script>x</script> [l](http://e)", None]
    table = neighbour_table([Neighbours(0, [1, 2], [0.5, 0.25])], names)
    head, rule, line = table.split("\n")
    assert head.count("|") == rule.count("|") == line.count("|") == 7
    for markup in ("<", "[", "](", "script>"):
        assert markup not in line
    assert "(0.50)" in line


def test_thumbnails_stand_in_their_places() -> None:
    def plain(colour: str) -> bytes:
        file = BytesIO()
        Image.new("RGB", (300, 300), colour).save(file, "PNG")
        return file.getvalue()

    sheet = inlined(picture_grid([[plain("red"), plain("lime")], [plain("blue")]], columns=2))
    assert sheet.size == (2 * TILE, 2 * TILE)
    middles = [sheet.getpixel((x * TILE + TILE // 2, y * TILE + TILE // 2)) for y in (0, 1) for x in (0, 1)]
    for seen, meant in zip(middles, [(255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)], strict=True):
        assert np.abs(np.array(seen) - meant).max() < 12  # JPEG


def test_a_histogram_is_a_picture_also_of_nothing() -> None:
    for norms in (np.array([1, 2, 2, 9], np.float32), np.zeros(0, np.float32)):
        assert inlined(norm_histogram(norms)).width > 300


def test_few_rows_are_all_shown_and_many_are_thinned_evenly() -> None:
    assert spread(np.array([3, 5]), 24) == [3, 5]
    assert spread(np.arange(100), 3) == [0, 49, 99]
    assert spread(np.array([], dtype=int), 3) == []
