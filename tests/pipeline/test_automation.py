"""What is asked for by itself when a dump arrives: every asset once, in its turn, for enabled datasets alone.

Materialisations are only reported here, with the versions that a real run would give them; the daemon's own test makes
them.
"""

from collections import Counter
from itertools import count
from pathlib import Path
from uuid import uuid4

import dagster as dg
import pytest
from dagster._core.definitions.asset_checks.asset_check_evaluation import AssetCheckEvaluationTargetMaterializationData
from dagster._core.events import StepMaterializationData

from pipeline.automation import follow_changes
from pipeline.tags import VARIANT
from tests.pipeline.in_process import Pipeline

pytestmark = pytest.mark.automation

RAW = ("raw_reviews", "raw_metadata")
SLOW = "item_images"


class World:
    """The project's assets, as an automation sensor sees them from tick to tick."""

    def __init__(self, folder: Path):
        self.definitions = Pipeline(folder).definitions
        self.graph = self.definitions.resolve_asset_graph()
        self.instance = dg.DagsterInstance.ephemeral()
        self.versions, self.cursor = count(), None
        self.derived = {key.path[-1] for key in self.graph.materializable_asset_keys} - set(RAW)

    def make(self, asset: str, version: str = "", dataset: str = "sample") -> None:
        """An asset is made; without a version it is one that was never there."""
        tags = {"dagster/data_version": version or f"v{next(self.versions)}"}
        self.instance.report_runless_asset_event(dg.AssetMaterialization(asset, partition=dataset, tags=tags))

    def judge(self, asset: str, failed: str = "") -> None:
        """The checks of an asset look at what was made last; all but one pass."""
        key = dg.AssetKey(asset)
        made = self.instance.fetch_materializations(key, limit=1).records[0]
        target = AssetCheckEvaluationTargetMaterializationData(
            storage_id=made.storage_id, run_id=made.run_id, timestamp=made.timestamp
        )
        for check in self.graph.get(key).check_keys:
            found = dg.AssetCheckEvaluation(
                asset_key=key,
                check_name=check.name,
                passed=check.name != failed,
                target_materialization_data=target,
                partition="sample",
            )
            event = dg.DagsterEvent(dg.DagsterEventType.ASSET_CHECK_EVALUATION.value, "", event_specific_data=found)
            self.instance.report_dagster_event(event, run_id=str(uuid4()))

    def finish(self, asset: str) -> None:
        """An asset is made anew, and passes its checks."""
        self.make(asset)
        self.judge(asset)

    def make_by_hand(self) -> None:
        """Every asset is made, each after what it is made of, and nobody asked for it."""
        for keys in self.graph.toposorted_asset_keys_by_level:
            for key in keys:
                self.finish(key.path[-1])

    def tick(self) -> list[str]:
        """What is requested now, by name; of a dataset that is not `sample` with it."""
        found = dg.evaluate_automation_conditions(self.definitions, instance=self.instance, cursor=self.cursor)
        self.cursor = found.cursor
        requested = []
        for result in found.results:
            if isinstance(result.key, dg.AssetKey):
                datasets = result.true_subset.expensively_compute_partition_keys()
                requested += [result.key.path[-1] if name == "sample" else f"{result.key} {name}" for name in datasets]
        return sorted(requested)

    def settle(self, same: frozenset[str] = frozenset(), ticks: int = 40) -> Counter[str]:
        """Make what is requested until nothing is; those in `same` come out as they were. How often each was asked."""
        asked: Counter[str] = Counter()
        for _ in range(ticks):
            requested = self.tick()
            if not requested:
                return asked
            asked.update(requested)
            for asset in requested:
                self.make(asset, "as it was" if asset in same else "")
                self.judge(asset)
        raise AssertionError(f"it never settles: {asked}")


@pytest.fixture
def world(tmp_path: Path) -> World:
    world = World(tmp_path)
    assert world.tick() == []
    return world


def dump(world: World) -> None:
    for asset in RAW:
        world.make(asset)


@pytest.mark.long
def test_a_new_dataset_has_every_asset_made_once(world: World) -> None:
    dump(world)
    assert world.settle() == dict.fromkeys(world.derived, 1)
    assert world.tick() == []


def test_a_new_dump_has_every_asset_made_once_although_its_two_files_come_apart(world: World) -> None:
    world.make_by_hand()
    assert world.tick() == []
    world.make("raw_metadata")
    first = world.tick()
    assert first == ["items", "unavailable_items"]
    world.make("raw_reviews")  # while they are on their way
    for asset in first:
        world.finish(asset)
    assert world.settle() == dict.fromkeys(world.derived - set(first), 1)


@pytest.mark.long
def test_what_comes_out_as_it_was_is_followed_by_nothing(world: World) -> None:
    same = frozenset({"interactions", "item_index", "items", "unavailable_items"})
    dump(world)
    world.settle(same)
    dump(world)
    at_once = dict.fromkeys(("reviews", "items", "unavailable_items", "interactions", SLOW), 1)
    assert world.settle(same) == {**at_once, **following(world, SLOW)}


def following(world: World, asset: str) -> dict[str, int]:
    """Everything downstream of an asset, once."""
    found, new = set(), {dg.AssetKey(asset)}
    while new:
        new = {child for key in new for child in world.graph.get(key).child_keys} - found
        found |= new
    return dict.fromkeys((key.path[-1] for key in found), 1)


@pytest.mark.parametrize(("tags", "requested"), [({VARIANT: "sample@a1b2c3d4"}, ["reviews"]), ({}, [])])
def test_what_a_variant_has_made_is_not_taken_for_what_is_published(
    world: World, tags: dict[str, str], requested: list[str]
) -> None:
    """Reviews are due, and a run makes them before automation looks: for good, or as a variant."""
    world.make_by_hand()
    assert world.tick() == []
    world.make("raw_reviews")
    job = world.definitions.resolve_implicit_global_asset_job_def()
    run = world.instance.create_run_for_job(
        job, tags={"dagster/partition": "sample", **tags}, status=dg.DagsterRunStatus.SUCCESS
    )
    before = world.instance.fetch_materializations(dg.AssetKey("reviews"), limit=1).records[0].asset_materialization
    made = dg.AssetMaterialization("reviews", partition="sample", tags=before.tags)  # type: ignore[union-attr]
    event = dg.DagsterEvent(
        dg.DagsterEventType.ASSET_MATERIALIZATION.value, job.name, event_specific_data=StepMaterializationData(made)
    )
    world.instance.report_dagster_event(event, run_id=run.run_id)
    assert world.tick() == requested


def test_after_a_full_run_by_hand_nothing_is_asked_for(world: World) -> None:
    world.make_by_hand()
    assert world.tick() == []


@pytest.mark.long
def test_nothing_is_asked_for_past_a_check_that_failed_and_all_once_it_passes(world: World) -> None:
    dump(world)
    world.settle()
    world.make("raw_reviews")
    assert world.tick() == ["reviews"]
    world.make("reviews")
    world.judge("reviews", failed="reviews_not_collapsed")
    assert world.tick() == []
    assert world.tick() == []
    world.make("raw_reviews")  # the next dump is well again
    assert world.tick() == ["reviews"]
    world.finish("reviews")
    asked = world.settle()
    assert asked["interactions"] == asked["report"] == 1


@pytest.mark.long
def test_what_is_upstream_is_waited_for_however_long_it_takes(world: World) -> None:
    dump(world)
    world.settle()
    dump(world)
    while SLOW not in (requested := world.tick()):
        for asset in requested:
            world.finish(asset)
    job = world.definitions.resolve_implicit_global_asset_job_def()
    run = world.instance.create_run_for_job(
        job.get_subset(asset_selection={dg.AssetKey(SLOW)}),
        tags={"dagster/partition": "sample"},
        asset_selection=frozenset({dg.AssetKey(SLOW)}),
        status=dg.DagsterRunStatus.STARTED,
    )
    for asset in requested:
        if asset != SLOW:
            world.finish(asset)
    asked = Counter(asset for _ in range(6) for asset in world.tick() for _ in [world.finish(asset)])
    assert not set(asked) & {"image_embeddings", "item_graph", "tuning", "leaderboard", "report"}
    world.instance.report_dagster_event(
        dg.DagsterEvent(dg.DagsterEventType.PIPELINE_SUCCESS.value, job.name, message=""), run.run_id
    )
    world.finish(SLOW)
    asked += world.settle()
    assert set(asked.values()) == {1}
    assert {"image_embeddings", "report"} <= set(asked)


def test_a_dataset_that_is_not_enabled_is_left_alone(world: World) -> None:
    for asset in RAW:
        world.make(asset, dataset="quick")
    assert world.tick() == []


def test_every_derived_asset_has_the_one_condition_and_raw_ones_have_none(world: World) -> None:
    conditions = {
        key.path[-1]: world.graph.get(key).automation_condition for key in world.graph.materializable_asset_keys
    }
    assert {name for name, condition in conditions.items() if condition is None} == set(RAW)
    assert {conditions[name] for name in world.derived} == {follow_changes}
