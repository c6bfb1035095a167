"""What the report tells of some users."""

import numpy as np
import pandas as pd
import pytest

from assets.evaluation.report.cards import Card, Cards
from assets.evaluation.report.findings import SENT
from assets.evaluation.report.user_examples import describe_examples, pick_examples, published, some_users
from assets.interactions.splits import Parts
from tests.assets.shop import IDS, ITEM, PARTS, USER, Shelf, findings, frame


def test_the_first_picture_and_the_metadata_of_an_item_stand_in_its_row() -> None:
    found = frame()
    assert found["item_id"].tolist() == IDS
    assert found["title"].tolist()[2] == "Second"
    assert pd.isna(found["title"].tolist()[1])
    assert list(found["categories"][2]) == ["a", "b"]
    assert found["sha256"][2] == "red"
    assert found["status"].tolist() == ["missing"] * 2 + ["ok"] + ["missing"] * 3
    assert found["has_picture"].tolist() == [False, False, True, False, False, False]


def test_users_have_items_in_train_and_test_and_come_from_the_most_to_the_fewest() -> None:
    assert some_users(PARTS, 12).tolist() == [0, 2, 3]
    assert some_users(PARTS, 2).tolist() == [0, 3]
    no_test = Parts(USER, ITEM, np.zeros(len(USER), np.int8), users=4, items=6)
    assert some_users(no_test, 12).tolist() == [0, 2, 1, 3]


def test_what_was_published_is_read_in_the_order_of_its_ranks() -> None:
    shop = findings()
    found = published(shop.recommendations, shop.user_ids, shop.items, np.array([3, 0, 1]))
    assert found == {0: [3, 5], 3: [4], 1: []}  # rank 9 is not shown


def test_a_user_is_told_by_the_latest_items_by_two_models_and_by_what_is_sent() -> None:
    first, second, third = pick_examples(findings(), 12)
    assert (first.number, second.number, third.number) == (0, 2, 3)
    assert first.history == [0, 2, 1]
    assert (first.known, first.wanted) == (3, frozenset({3}))
    # Without 0, 1, 2, which train has; what is sent is what was published.
    assert first.recommended == {"ease": [3, 4, 5], "lightgcn": [5, 4, 3], SENT: [3, 5]}
    assert second.recommended == {"ease": [2, 3, 4, 5], "lightgcn": [5, 4, 3, 2], SENT: [5]}
    assert first.shown() == {0, 1, 2, 3, 4, 5}


def test_what_was_recommended_and_is_in_test_is_a_hit() -> None:
    cards = Cards(frame(), Shelf(), range(6))
    story = describe_examples(pick_examples(findings(), 1), cards)[0]
    assert (story.number, story.known, story.wanted) == (0, 3, 1)
    assert [card.title for card in story.history] == ["I0", "Second", "I1"]
    assert not any(card.hit for card in story.history)
    (best, shown, hits), (other, _, more), (sent, cards_sent, none) = story.recommended
    assert (best, hits, other, more) == ("ease", 1, "lightgcn", 1)
    assert (sent, none) == (SENT, None)  # nothing that a user has is sent, so nothing can be a hit
    assert [card.title for card in cards_sent] == ["I3", "I5"]
    assert [(card.title, card.hit) for card in shown] == [("I3", True), ("I4", False), ("I5", False)]
    assert {card.why for card in shown} == {"because of I0 and I1; mostly who bought what (75%)"}


def test_a_card_has_title_and_picture_or_else_the_id_and_none() -> None:
    cards = Cards(frame(), Shelf(), [2, 0, 2])
    with_picture = cards.of(2, note="0.75", why="like Article 3")
    assert with_picture.picture is not None
    assert with_picture.picture.startswith("data:image/jpeg;base64,")
    assert (with_picture.title, with_picture.note, with_picture.why) == ("Second", "0.75", "like Article 3")
    assert cards.of(0) == Card("I0", None)
    with pytest.raises(KeyError):
        cards.of(4)
