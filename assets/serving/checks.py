"""Checks of what is sent: nobody gets what he has, what is not available, or one item twice; and it is good enough."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, cast

import dagster as dg
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from assets.checks.check_decorator import dataset_check
from assets.checks.table_checks import pass_if, warn_if
from assets.interactions.build_core import keys_of, user_ids_of
from storage.artifacts.releases import show_recommendations
from storage.raw.availability import BY_LIST

PLAIN = ("popularity", "item_knn")  # models that one which is served has to stand against


@dataclass(frozen=True)
class Numbers:
    """The numbers of ids, which are found by their hashes: so a list of millions is sorted once.

    Attributes:
        keys: uint64 [n], hashes of the ids, sorted; number: int64 [n], the number of each.
    """

    keys: np.ndarray
    number: np.ndarray

    @classmethod
    def of(cls, ids: pa.Array) -> "Numbers":
        keys = keys_of(ids)
        order = np.argsort(keys)
        return cls(keys[order], order)

    def look_up(self, ids: pa.Array) -> np.ndarray:
        """The number of each id, int64; -1 where it has none."""
        wanted = keys_of(ids)
        place = np.searchsorted(self.keys, wanted).clip(max=len(self.keys) - 1)
        return np.where(self.keys[place] == wanted, self.number[place], -1)


@dataclass(frozen=True)
class Faults:
    """Rows that must not be sent, and users who get nothing though there is something for them."""

    owned: int
    unavailable: int
    twice: int
    unknown: int
    users_without_a_list: int


def faults_of(
    lists: Iterable[pa.RecordBatch], user_ids: pa.Array, item_ids: pa.Array, has: np.ndarray, gone: pa.Array
) -> Faults:
    """What is wrong with the table `recommendations`.

    Args:
        lists: its rows, by user.
        user_ids, item_ids: the id of every number.
        has: int64 [interactions, 2], the numbers of user and item of everything that users have.
        gone: ids of items that are not available.
    """
    width, is_gone = len(item_ids), pc.is_in(item_ids, value_set=gone).to_numpy(zero_copy_only=False)
    owned_pairs = np.sort(has[:, 0] * width + has[:, 1])
    users, items = Numbers.of(user_ids), Numbers.of(item_ids)
    got, before = np.zeros(len(user_ids), bool), np.empty(0, np.int64)
    owned = unavailable = twice = unknown = 0
    for batch in lists:
        user, item = users.look_up(batch["user_id"]), items.look_up(batch["item_id"])
        known = (user >= 0) & (item >= 0)
        unknown += int((~known).sum())
        user, item = user[known], item[known]
        pairs = user * width + item
        got[user] = True
        place = np.searchsorted(owned_pairs, pairs).clip(max=len(owned_pairs) - 1)
        owned += int((owned_pairs[place] == pairs).sum())
        unavailable += int(is_gone[item].sum())
        whole = np.concatenate([before, pairs])  # a list may go on in the next batch
        twice += len(whole) - len(np.unique(whole))
        before = np.unique(pairs[user == user[-1]]) if len(user) else before
    core = int(has[:, 1].max()) + 1
    there = has[~is_gone[has[:, 1]]]
    left = int((~is_gone[:core]).sum()) - np.bincount(there[:, 0], minlength=len(user_ids))
    return Faults(owned, unavailable, twice, unknown, int((~got & (left > 0)).sum()))


@dataset_check(
    "recommendations",
    "Nobody gets what he has, what is not available, or an item twice; all get a list.",
    when_passed=show_recommendations,
)
def fit_to_send(
    context: dg.AssetCheckExecutionContext,
    recommendations: pa.RecordBatchReader,
    interactions: pa.Table,
    item_index: pa.Table,
    unavailable_items: pa.Table,
) -> dg.AssetCheckResult:
    """Every list against all that its user has in any part of the data. Lists that pass are served from then on."""
    has = np.stack([interactions[side].to_numpy().astype(np.int64) for side in ("user", "item")], axis=1)
    ids = user_ids_of(interactions), item_index["item_id"].combine_chunks()
    found = faults_of(recommendations, *ids, has, unavailable_items["item_id"].combine_chunks())
    counts = asdict(found)
    wrong = ", ".join(f"{count:,} {name.replace('_', ' ')}" for name, count in counts.items() if count)
    return pass_if(
        not any(counts.values()),
        said=f"these lists must not be sent ({wrong}); the lists before go on to be served",
        users=len(ids[0]),
        **counts,
    )


@dataset_check("recommendations", "Every id in the list of unavailable items is that of an item.", blocking=False)
def listed_items_known(unavailable_items: pa.Table, items: pa.Table, interactions: pa.Table) -> dg.AssetCheckResult:
    """An id that lost its zeros, say, would take nothing out, without a word."""
    listed = unavailable_items.filter(pc.equal(unavailable_items["reason"], BY_LIST))["item_id"].combine_chunks()
    known = pa.concat_arrays([items["item_id"].combine_chunks(), pc.unique(interactions["item_id"])])
    unknown = listed.filter(pc.invert(pc.is_in(listed, value_set=known)))
    return warn_if(
        bool(len(unknown)),
        said=f"{len(unknown):,} of {len(listed):,} ids in the list of unavailable items are of no item that metadata "
        f"or reviews know, {unknown[0] if len(unknown) else ''} for instance; write them as these do",
        quotes_data=True,
        listed=len(listed),
        unknown=len(unknown),
    )


@dataset_check(
    "report", "Neither popularity nor ItemKNN beats the served model by more than its interval.", blocking=False
)
def served_model_stands(context: dg.AssetCheckExecutionContext) -> dg.AssetCheckResult:
    """On test, of the evaluated models: the choice itself is made on validation alone."""
    root, dataset = context.resources.data_root, context.partition_key
    served = str(root.manifest("current", dataset).facts["serves"])
    compared = cast(list[Mapping[str, Any]], root.manifest("leaderboard", dataset).facts["comparisons"])
    better = find_better_models(served, compared)
    listed = ", ".join(
        f"{name} by {-one['difference']:.4f} ({-one['high']:.4f} to {-one['low']:.4f})" for name, one in better.items()
    )
    return warn_if(
        bool(better),
        said=f"{served} is served, and beaten on test in NDCG@20 by {listed}; set serve to that model, or find out why "
        f"validation says otherwise",
        beaten_by=len(better),
    )


def find_better_models(served: str, compared: Sequence[Mapping[str, Any]]) -> dict[str, Mapping[str, Any]]:
    """The plain models that beat the served one for certain, with the comparison: its interval is below 0.

    Args:
        compared: see `assets.evaluation.leaderboard.Comparison`.
    """
    return {
        one["against"]: one
        for one in compared
        if one["standing"] == "open" and one["model"] == served and one["against"] in PLAIN
        and (one["metric"], one["k"]) == ("ndcg", 20) and one["high"] < 0
    }  # fmt: skip
