"""Checks of every dataset by itself: what must hold of a table, whatever it was made from."""

from typing import cast

import dagster as dg
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import scipy.sparse as sp

from assets.checks.check_decorator import dataset_check
from assets.core.failures import WITHOUT_DATA
from assets.interactions.kcore import distinct
from assets.interactions.splits import TRAIN
from storage.artifacts.tables import Embeddings
from storage.images.statuses import NOBODY_PROMISED, OK
from storage.raw.rejects import RejectCounts, rejects_of


def pass_if(passed: bool, *, said: str | None = None, **facts: object) -> dg.AssetCheckResult:
    """A check's verdict with the figures behind it.

    Args:
        said: what a person has to know where it has not passed, as a part of a sentence that quotes no data; without
            it, the figures are shown.
    """
    sentence = None if passed else said
    if sentence:
        facts[WITHOUT_DATA] = sentence
    return dg.AssetCheckResult(passed=bool(passed), description=sentence, metadata=facts)  # type: ignore[arg-type]


def warn_if(wrong: bool, *, said: str, quotes_data: bool = False, **facts: object) -> dg.AssetCheckResult:
    """The verdict of a check that only warns; `said` is as above, and may quote data where that is said."""
    sentence = said if wrong else None
    if sentence and not quotes_data:
        facts[WITHOUT_DATA] = sentence
    return dg.AssetCheckResult(
        passed=not wrong,
        severity=dg.AssetCheckSeverity.WARN,
        description=sentence,
        metadata=facts,  # type: ignore[arg-type]
    )


def few_rejects(context: dg.AssetCheckExecutionContext, asset: str) -> dg.AssetCheckResult:
    """No more unusable records than the asset's `max_reject_rate`, and no gzip stream that breaks off.

    Duplicates of an item are counted apart: the first record is kept and nothing is lost.
    """
    root = context.resources.data_root
    manifest = root.manifest(asset, context.partition_key)
    path = rejects_of(root, manifest)
    counts = RejectCounts(path)
    rate, most = counts.rate(manifest.rows), manifest.recipe.settings["max_reject_rate"]
    read = manifest.rows + counts.duplicates + counts.rejected
    next_step = "get the file again" if counts.damaged else "mend the file, or set max_reject_rate"
    return pass_if(
        rate <= most and not counts.damaged,
        said=f"{counts.rejected:,} of {read:,} records could not be used: {counts.in_words()}; see {root.shown(path)}, "
        f"and {next_step}",
        kept=manifest.rows,
        rejected=counts.rejected,
        duplicates=counts.duplicates,
        reject_rate=rate,
        max_reject_rate=most,
        damaged=counts.damaged,
    )


@dataset_check("reviews", "Nearly every record of the dump could be used.")
def reviews_usable(context: dg.AssetCheckExecutionContext) -> dg.AssetCheckResult:
    return few_rejects(context, "reviews")


@dataset_check("items", "Nearly every record of the dump could be used.")
def items_usable(context: dg.AssetCheckExecutionContext) -> dg.AssetCheckResult:
    return few_rejects(context, "items")


@dataset_check("items", "Of what the records say of a field, nearly all could be read.", blocking=False)
def items_read(context: dg.AssetCheckExecutionContext) -> dg.AssetCheckResult:
    """No field has more values of a shape that is not known than `max_not_read_rate`; what is noise is left aside."""
    root = context.resources.data_root
    manifest = root.manifest("items", context.partition_key)
    path = rejects_of(root, manifest)
    counts = RejectCounts(path)
    unread = counts.unexpected
    most = manifest.recipe.settings["max_not_read_rate"]
    worst = max(counts.unexpected_by_key.values(), default=0) / max(manifest.rows, 1)
    listed = ", ".join(f"{count:,} {what}" for what, count in sorted(unread.items(), key=lambda found: -found[1]))
    return warn_if(
        worst > most,
        said=f"values are there and were not read ({listed or 'none'}, of {manifest.rows:,} items); the first of each "
        f"lie in {root.shown(path)}; mend the metadata file, or raise max_not_read_rate where they are of no use",
        not_read=sum(unread.values()),
        highest_rate=worst,
        max_not_read_rate=most,
    )


@dataset_check("items", "Every item stands once in the catalogue.")
def items_unique(items: pa.Table) -> dg.AssetCheckResult:
    distinct = pc.count_distinct(items["item_id"]).as_py()
    return pass_if(distinct == len(items), rows=len(items), distinct=distinct)


@dataset_check("interactions", "Every pair of user and item stands once.")
def interactions_unique(interactions: pa.Table) -> dg.AssetCheckResult:
    user, item = (interactions[side].to_numpy().astype(np.int64) for side in ("user", "item"))
    found = len(distinct(user * (int(item.max()) + 1) + item))
    return pass_if(found == len(interactions), rows=len(interactions), distinct=found)


@dataset_check("interactions", "Every user and every item has as many interactions as the core asks for.")
def core_holds(context: dg.AssetCheckExecutionContext, interactions: pa.Table) -> dg.AssetCheckResult:
    settings = context.resources.data_root.manifest("interactions", context.partition_key).recipe.settings
    least_user, least_item = (int(np.bincount(interactions[side].to_numpy()).min()) for side in ("user", "item"))
    holds = least_user >= settings["user_core"] and least_item >= settings["item_core"]
    return pass_if(holds, least_of_a_user=least_user, least_of_an_item=least_item)


@dataset_check("item_index", "Items are numbered from 0 without gaps, each once.")
def item_index_dense(item_index: pa.Table) -> dg.AssetCheckResult:
    dense = np.array_equal(item_index["item"].to_numpy(), np.arange(len(item_index)))
    distinct = pc.count_distinct(item_index["item_id"]).as_py()
    return pass_if(dense and distinct == len(item_index), rows=len(item_index), distinct=distinct)


@dataset_check("item_index", "The metadata know the items of the core.")
def core_described(
    context: dg.AssetCheckExecutionContext, item_index: pa.Table, items: pa.Table
) -> dg.AssetCheckResult:
    """Whether reviews and metadata are of the same products: none in common stops the run, too few are a warning."""
    root = context.resources.data_root
    least = root.manifest("item_index", context.partition_key).recipe.settings["min_described_share"]
    core = item_index.filter(item_index["in_core"])["item_id"].combine_chunks()
    described = items["item_id"].combine_chunks()
    known = pc.sum(pc.is_in(core, value_set=described)).as_py() or 0
    share = known / len(core)
    severity = dg.AssetCheckSeverity.WARN if known else dg.AssetCheckSeverity.ERROR
    passed = share >= least and known > 0
    facts = {"core_items": len(core), "described": known, "share": share, "min_described_share": least}
    said = None if passed else _why_apart(core, described, known)
    return dg.AssetCheckResult(passed=passed, severity=severity, description=said, metadata=facts)


def _why_apart(core: pa.Array, described: pa.Array, known: int) -> str:
    """That the metadata lack items of the core, and what may be behind it, as a part of a sentence."""
    unknown = core.filter(pc.invert(pc.is_in(core, value_set=described)))
    others = described.filter(pc.invert(pc.is_in(described, value_set=core)))
    said = (
        f"{known:,} of {len(core):,} items of the core are in the metadata; the reviews have {unknown[0]} for instance"
    )
    if len(others):
        said += f", the metadata {others[0]}"
    folded = pc.utf8_upper(pc.utf8_trim_whitespace(described))
    found = pc.sum(pc.is_in(pc.utf8_upper(pc.utf8_trim_whitespace(unknown)), value_set=folded)).as_py()
    if found:
        return f"{said}; {found:,} more are there in other letter case, or with blanks around the id: write them alike"
    return f"{said}; see whether both files are of the same category, and count products by the same id"


@dataset_check("splits", "Every interaction is in exactly one part, and no part is empty.")
def splits_complete(splits: pa.Table, interactions: pa.Table) -> dg.AssetCheckResult:
    sizes = np.bincount(splits["split"].to_numpy(), minlength=3)
    pairs = splits.group_by(["user", "item"]).aggregate([])
    same = pairs.join(interactions.select(["user", "item"]), ["user", "item"], join_type="inner")
    complete = len(same) == len(pairs) == len(splits) == len(interactions)
    whole = complete and len(sizes) == 3 and bool(sizes.all())
    return pass_if(whole, train=int(sizes[0]), validation=int(sizes[1]), test=int(sizes[2]))


@dataset_check("splits", "Where a rule divides by time, nothing in a part is later than what a later part begins with.")
def splits_in_time(
    context: dg.AssetCheckExecutionContext, splits: pa.Table, interactions: pa.Table
) -> dg.AssetCheckResult:
    """No look ahead: a temporal split has one end of train for all users, leave-one-out one for each."""
    rule = context.resources.data_root.manifest("splits", context.partition_key).recipe.settings["split"]
    part, time = splits["split"].to_numpy(), interactions["timestamp"].to_numpy()
    if rule not in ("temporal", "leave_one_out"):
        return pass_if(True, rule=rule, looks_ahead=0)
    group = splits["user"].to_numpy() if rule == "leave_one_out" else np.zeros(len(part), dtype=np.int64)
    return pass_if((ahead := looks_ahead(group, part, time)) == 0, rule=rule, looks_ahead=ahead)


def looks_ahead(group: np.ndarray, part: np.ndarray, time: np.ndarray) -> int:
    """Interactions that are later than the first of a later part of their group.

    Args:
        group: int [n], what has its own time line; part: int8 [n]; time: int64 [n].
    """
    groups = int(group.max()) + 1
    first = np.full((groups, 4), np.iinfo(np.int64).max)
    np.minimum.at(first, (group, part), time)
    first = np.minimum.accumulate(first[:, ::-1], axis=1)[:, ::-1]  # of this part or a later one
    return int((time > first[group, part + 1]).sum())


@dataset_check("interaction_graph", "The graph has the edges of train, each in both directions, and no other.")
def graph_of_train_alone(interaction_graph: sp.csr_matrix, splits: pa.Table) -> dg.AssetCheckResult:
    users = int(splits["user"].to_numpy().max()) + 1
    train = splits.filter(pc.equal(splits["split"], TRAIN))
    rows, columns = interaction_graph.nonzero()
    upper = rows < users
    edges = distinct(rows[upper].astype(np.int64) * interaction_graph.shape[1] + columns[upper] - users)
    user, item = (train[side].to_numpy().astype(np.int64) for side in ("user", "item"))
    expected = distinct(user * interaction_graph.shape[1] + item)
    both = int(upper.sum()) * 2 == len(rows)
    return pass_if(both and np.array_equal(edges, expected), edges=len(edges), train=len(train))


@dataset_check("item_images", "Of the pictures that items name, some could be fetched.", blocking=False)
def pictures_found(item_images: pa.Table) -> dg.AssetCheckResult:
    named = item_images.filter(pc.invert(pc.is_in(item_images["status"], pa.array(NOBODY_PROMISED))))
    found = pc.sum(pc.equal(named["status"], OK)).as_py() or 0
    statuses = pc.value_counts(named["status"]).to_pylist()
    listed = ", ".join(f"{row['counts']:,} {row['values']}" for row in sorted(statuses, key=lambda row: -row["counts"]))
    return warn_if(
        not found and len(named) > 0,
        said=f"of the {len(named):,} items that name a picture, none could be fetched ({listed}); docs/embeddings.md "
        f"says what that means, and picture_retry_failed asks for all of them again",
        found=found,
        not_found=len(named) - found,
    )


@dataset_check("item_images", "No picture is the first of so many items that it must stand for none.", blocking=False)
def no_placeholder(context: dg.AssetCheckExecutionContext) -> dg.AssetCheckResult:
    manifest = context.resources.data_root.manifest("item_images", context.partition_key)
    found = cast("dict[str, dict[str, object]]", manifest.facts.get("likely_placeholders", {}))
    listed = ", ".join(f"{sha256} of {about['items']:,} items ({about['url']})" for sha256, about in found.items())
    return warn_if(
        bool(found),
        said=f"these pictures are likely a shop's sign for no picture: {listed}; if so, list them in picture_exclude",
        quotes_data=True,
        likely_placeholders=len(found),
    )


def sound_embeddings(embeddings: Embeddings, item_index: pa.Table) -> dg.AssetCheckResult:
    """One finite row an item, and zeros where there is no value."""
    norms = np.linalg.norm(embeddings.matrix, axis=1)
    aligned = len(norms) == len(item_index)
    sound = np.isfinite(norms).all() and np.array_equal(norms > 0, embeddings.has_value)
    share = float(embeddings.has_value.mean())
    return pass_if(aligned and sound, rows=len(norms), items=len(item_index), share_with_value=share)


@dataset_check("image_embeddings", "One finite vector an item, zeros where it has no picture.")
def image_embeddings_sound(image_embeddings: Embeddings, item_index: pa.Table) -> dg.AssetCheckResult:
    return sound_embeddings(image_embeddings, item_index)


@dataset_check("text_embeddings", "One finite vector an item, zeros where it has no text.")
def text_embeddings_sound(text_embeddings: Embeddings, item_index: pa.Table) -> dg.AssetCheckResult:
    return sound_embeddings(text_embeddings, item_index)


@dataset_check("leaderboard", "Every metric lies between 0 and 1, within its interval.")
def metrics_in_range(leaderboard: pa.Table) -> dg.AssetCheckResult:
    evaluated = leaderboard.filter(pc.equal(leaderboard["status"], "ok"))
    low, value, high = (evaluated[name].to_numpy() for name in ("ci_low", "value", "ci_high"))
    sound = ((value >= 0) & (value <= 1) & (low <= value + 1e-9) & (value <= high + 1e-9)).all()
    return pass_if(sound, rows=len(value))
