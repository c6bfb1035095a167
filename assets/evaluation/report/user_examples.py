"""Some users: what they have, what evaluated models recommend to them, and what is sent to them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from assets.evaluation.report.cards import Card, Cards
from assets.evaluation.report.findings import SENT, Findings, names_of
from assets.interactions.splits import TEST, TRAIN, Parts
from models.ranking.ranking import Scorer, matrix_of, rank
from models.recommenders.explanations import Explainer, ItemExplainer
from storage.text import shorten

SHOWN_ITEMS = 8
BECAUSE, TITLE_CHARACTERS = 2, 40
NEW = "new: placed by its picture and its text"


@dataclass(frozen=True)
class UserExample:
    """One user by number, never by id.

    Attributes:
        history: numbers of the latest train items, the latest first; known: how many there are in all.
        wanted: numbers of the items in the user's test part.
        recommended: numbers of items by model, and of what is SENT, the best first; why: of each of them, what it rests
            on, "" where nothing says it.
    """

    number: int
    history: list[int]
    known: int
    wanted: frozenset[int]
    recommended: dict[str, list[int]]
    why: dict[str, list[str]]

    def shown(self) -> set[int]:
        """Every item that is shown of this user."""
        return {*self.history, *(item for found in self.recommended.values() for item in found)}


@dataclass(frozen=True)
class ExampleText:
    """One user as the page shows it; an evaluated model's recommendations come with the number of hits among them."""

    number: int
    history: list[Card]
    known: int
    wanted: int
    recommended: list[tuple[str, list[Card], int | None]]


def pick_examples(findings: Findings, count: int) -> list[UserExample]:
    """`count` users with what they have, what evaluated models recommend to them, and what is sent to them."""
    parts = findings.parts
    users = some_users(parts, count)
    by_model: dict[str, Mapping[int, list[int]]] = {
        name: ranked(scorer, parts, users) for name, scorer in findings.evaluated.items()
    }
    by_model[SENT] = published(findings.recommendations, findings.user_ids, findings.items, users)
    titles = names_of(findings.items)
    found = []
    for number in users.tolist():
        theirs = parts.user == number
        train = np.flatnonzero(theirs & (parts.split == TRAIN))
        latest = train[np.argsort(-findings.timestamp[train], kind="stable")][:SHOWN_ITEMS]
        wanted = parts.item[theirs & (parts.split == TEST)].tolist()
        recommended = {model: ranking[number] for model, ranking in by_model.items()}
        why = {
            model: reasons(findings.explainers[model], number, ranking, titles, parts.items)
            for model, ranking in recommended.items()
        }
        found.append(UserExample(number, parts.item[latest].tolist(), len(train), frozenset(wanted), recommended, why))
    return found


def reasons(
    explainer: Explainer | ItemExplainer | None, user: int, items: list[int], titles: Sequence[str], core: int
) -> list[str]:
    """What each of a user's recommendations rests on: the items of the history and the view that weighed most.

    Items that nobody has, whose numbers are not below `core`, are placed by their content alone.
    """
    if not items or explainer is None:
        return [NEW if item >= core else "" for item in items]
    known = [item if item < core else -1 for item in items]
    found = explainer.reasons(np.array([user]), np.array([known]), BECAUSE)
    rows = zip(known, found.because[0], found.visual[0], found.textual[0], found.score[0], strict=True)
    return [
        NEW if item < 0 else rests_on([titles[other] for other in because if other >= 0], *parts)
        for item, because, *parts in rows
    ]


def rests_on(because: list[str], visual: float, textual: float, score: float) -> str:
    """The titles that a score rests on, and the largest of its parts as a share, where that means anything."""
    named = "because of " + " and ".join(shorten(title, TITLE_CHARACTERS) for title in because)
    if because and not visual and not textual:  # a model of IDs alone
        return named
    parts = {"pictures": visual, "texts": textual, "who bought what": score - visual - textual}
    most = max(parts, key=lambda name: parts[name])
    share = f"mostly {most} ({parts[most] / score:.0%})" if score > 0 and parts[most] <= score else f"mostly {most}"
    return f"{named}; {share}" if because else share


def some_users(parts: Parts, count: int) -> np.ndarray:
    """User numbers, int64 [at most `count`], from those with the most train items to those with the fewest.

    They are taken at even distances from the users with items in train and test; where there is none, from those with
    items in train.
    """
    in_train, in_test = (np.bincount(parts.pairs(part)[0], minlength=parts.users) for part in (TRAIN, TEST))
    known = np.flatnonzero((in_train > 0) & (in_test > 0))
    if not len(known):
        known = np.flatnonzero(in_train)
    by_size = known[np.argsort(-in_train[known], kind="stable")]
    return by_size[np.unique(np.linspace(0, len(by_size) - 1, count).astype(int))]


def published(
    recommendations: pa.Table, user_ids: pa.Array, items: pd.DataFrame, users: np.ndarray
) -> dict[int, list[int]]:
    """The first items that the table `recommendations` has for some users, by user number."""
    ids = user_ids.take(pa.array(users))
    chosen = pc.and_(
        pc.is_in(recommendations["user_id"], value_set=ids), pc.less_equal(recommendations["rank"], SHOWN_ITEMS)
    )
    theirs = recommendations.filter(chosen).sort_by("rank").to_pandas()
    theirs["item"] = pd.Index(items["item_id"]).get_indexer(pd.Index(theirs["item_id"]))
    by_id = {user_id: rows.tolist() for user_id, rows in theirs.groupby("user_id")["item"]}
    return {int(user): by_id.get(user_id, []) for user, user_id in zip(users, ids.to_pylist(), strict=True)}


def ranked(scorer: Scorer, parts: Parts, users: np.ndarray) -> dict[int, list[int]]:
    """The first items that a model ranks for some users, by user number; what they have in train is left out."""
    seen = matrix_of(*parts.pairs(TRAIN), parts.users, parts.items)
    best = rank(scorer, users, seen, SHOWN_ITEMS).items
    return {int(user): [int(item) for item in row if item >= 0] for user, row in zip(users, best, strict=True)}


def describe_examples(found: Sequence[UserExample], cards: Cards) -> list[ExampleText]:
    """Users with the cards of their items; what was recommended and is in the test part is a hit."""
    return [
        ExampleText(
            user.number,
            [cards.of(item) for item in user.history],
            user.known,
            len(user.wanted),
            [
                (
                    model,
                    [
                        cards.of(item, hit=item in user.wanted and model != SENT, why=why or None)
                        for item, why in zip(items, user.why[model], strict=True)
                    ],
                    sum(item in user.wanted for item in items) if model != SENT else None,
                )
                for model, items in user.recommended.items()
            ],
        )
        for user in found
    ]
