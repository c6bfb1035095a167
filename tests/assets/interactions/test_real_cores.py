"""From real dumps to the 5-core, through the files that the assets write: counts that were known before."""

import pytest

from assets.core.settings import CoreSettings
from assets.interactions.build_core import core_interactions
from storage.artifacts.tables import read_coded_reviews, write_table
from storage.raw.amazon import read_reviews
from storage.raw.rejects import Rejects
from tests.conftest import SHARED_DATA


@pytest.mark.usefixtures("shared_data")
@pytest.mark.parametrize(
    ("file", "release", "reviews", "in_core", "users", "items"),
    [
        ("amazon2018_gift_cards/Gift_Cards_5.json.gz", "amazon2018", 2_972, 2_941, 453, 147),
        ("amazon2018_dirty/All_Beauty_5.json.gz", "amazon2018", 5_269, 686, 137, 24),
        ("amazon2018_dirty/AMAZON_FASHION_5.json.gz", "amazon2018", 3_176, 2_962, 374, 8),
        ("amazon2018_dirty/AMAZON_FASHION_5.array.json.gz", "amazon2018", 3_176, 2_962, 374, 8),
        ("movielens_posters/reviews.jsonl.gz", "amazon2023", 100_836, 90_274, 610, 3_650),
    ],
)
def test_the_5_core_of_a_real_dump(tmp_path, file, release, reviews, in_core, users, items):
    table = tmp_path / "reviews.parquet"
    written = write_table(table, "reviews", read_reviews(SHARED_DATA / file, release, Rejects()))
    core = core_interactions(read_coded_reviews(table), CoreSettings())
    assert written.rows == reviews
    assert (core.funnel["in_core"], core.funnel["users"], core.funnel["items"]) == (in_core, users, items)
    assert len(core.stream().read_all()) == in_core
