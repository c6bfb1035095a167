"""The k-core and de-duplication, against slow and obvious ways to find them."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from assets.core.settings import CoreSettings
from assets.interactions.build_core import core_interactions
from assets.interactions.kcore import distinct, first_of_pairs, k_core, number_ids
from storage.artifacts.tables import CodedReviews
from storage.errors import InputError

Pairs = list[tuple[int, int]]

pairs_of_few = st.lists(st.tuples(st.integers(0, 9), st.integers(0, 7)), max_size=70)
cores = st.integers(1, 4)


def arrays(pairs: Pairs) -> tuple[np.ndarray, np.ndarray]:
    user, item = np.array(pairs, dtype=np.int32).reshape(-1, 2).T
    return user, item


def slow_core(pairs: Pairs, user_core: int, item_core: int) -> Pairs:
    """Take away one row that may not stay, until every row may."""
    left = list(pairs)
    while True:
        users, items = [user for user, _ in left], [item for _, item in left]
        for user, item in left:
            if users.count(user) < user_core or items.count(item) < item_core:
                left.remove((user, item))
                break
        else:
            return left


@given(pairs=pairs_of_few.map(lambda pairs: list(dict.fromkeys(pairs))), user_core=cores, item_core=cores)
def test_the_core_is_what_is_left_when_rows_fall_one_by_one(pairs, user_core, item_core):
    mask = k_core(*arrays(pairs), user_core, item_core)
    assert [pair for pair, kept in zip(pairs, mask, strict=True) if kept] == slow_core(pairs, user_core, item_core)


def test_users_and_items_have_cores_of_their_own():
    pairs = [(0, 0), (0, 1), (1, 0), (1, 1), (2, 0)]
    assert k_core(*arrays(pairs), 2, 1).tolist() == [True, True, True, True, False]
    assert k_core(*arrays(pairs), 1, 3).tolist() == [True, False, True, False, True]
    assert k_core(*arrays(pairs), 2, 3).tolist() == [False] * 5


def test_a_chain_falls_to_its_end():
    chain = [(n // 2, (n + 1) // 2) for n in range(2_001)]  # each has two neighbours, the ends have one
    assert not k_core(*arrays(chain), 2, 2).any()
    assert k_core(*arrays([*chain, (1_000, 0)]), 2, 2).all()


@given(rows=st.lists(st.tuples(st.integers(0, 4), st.integers(0, 3), st.integers(0, 5)), max_size=60))
def test_of_each_pair_the_earliest_row_stays_and_the_first_of_equals(rows):
    expected = {}
    for place, (user, item, time) in enumerate(rows):
        if (user, item) not in expected or time < rows[expected[user, item]][2]:
            expected[user, item] = place
    user, item, time = np.array(rows, dtype=np.int64).reshape(-1, 3).T
    assert first_of_pairs(user, item, time).tolist() == sorted(expected.values())


@given(names=st.lists(st.sampled_from(["b", "a", "B", "10", "9", "\u00e9"]), min_size=1))
def test_numbers_follow_the_order_of_the_ids_that_occur(names):
    ids = ["unused", *dict.fromkeys(names)]
    number, kept = number_ids(np.array([ids.index(name) for name in names]), pa.array(ids))
    assert kept.to_pylist() == sorted(set(names), key=str.encode)
    assert [kept[int(n)].as_py() for n in number] == names


def coded(rows: list[tuple[str, str, float, int]]) -> CodedReviews:
    users, items = (list(dict.fromkeys(row[side] for row in rows)) for side in (0, 1))
    return CodedReviews(
        user=np.array([users.index(row[0]) for row in rows], dtype=np.int32),
        item=np.array([items.index(row[1]) for row in rows], dtype=np.int32),
        rating=np.array([row[2] for row in rows], dtype=np.float32),
        timestamp=np.array([row[3] for row in rows]),
        user_ids=pa.array(users),
        item_ids=pa.array(items),
    )


ROWS = [
    ("ub", "i2", 5.0, 30),
    ("ub", "i1", 4.0, 20),
    ("ub", "i2", 1.0, 10),  # the earliest of its pair, unless low ratings are left out
    ("ua", "i2", 5.0, 40),
    ("ua", "i1", 5.0, 50),
    ("uc", "i2", 5.0, 60),
]


def test_reviews_become_sorted_interactions_step_by_step():
    interactions = core_interactions(coded(ROWS), CoreSettings(user_core=2, item_core=2))
    assert [tuple(row.values()) for row in interactions.stream().read_all().to_pylist()] == [
        (0, 1, "ua", "i2", 5.0, 40),  # of one user's rows the earlier line comes first
        (0, 0, "ua", "i1", 5.0, 50),
        (1, 0, "ub", "i1", 4.0, 20),
        (1, 1, "ub", "i2", 1.0, 10),
    ]
    assert interactions.funnel == {
        "reviews": 6,
        "after_rating_filter": 6,
        "after_deduplication": 5,
        "in_core": 4,
        "users": 2,
        "items": 2,
        "sparsity": 0.0,
    }


def test_low_ratings_fall_before_pairs_are_told_apart():
    settings = CoreSettings(user_core=2, item_core=2, min_rating=4.0)
    interactions = core_interactions(coded(ROWS), settings)
    assert interactions.funnel["after_rating_filter"] == 5
    assert interactions.stream().read_all()["timestamp"].to_pylist() == [40, 50, 30, 20]


def test_an_empty_core_names_the_settings():
    with pytest.raises(InputError, match="user_core 3"):
        core_interactions(coded(ROWS), CoreSettings(user_core=3, item_core=2))


@given(st.lists(st.integers(-(2**62), 2**62) | st.integers(0, 3)))
def test_keys_are_told_apart(keys: list[int]) -> None:
    assert distinct(np.array(keys, dtype=np.int64)).tolist() == sorted(set(keys))
