"""New dumps: who is asked when, and that a change asks for one run."""

import json
import os
from pathlib import Path

import dagster as dg
import pytest
import yaml

from assets.core.asset_decorator import DATASETS
from pipeline.definitions import defs
from pipeline.sensors import Cursor, new_dumps

NAMES = DATASETS.get_partition_keys()


class Watch:
    """A catalogue of local files, and the sensor from tick to tick."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch):
        self.folder, self.cursor = folder, None
        monkeypatch.setenv("REC_DATASETS", str(folder / "datasets.yaml"))

    def catalogue(self, *names: str) -> None:
        """Enable these datasets, each with two files of its own."""
        entries = {}
        for name in names:
            files = {kind: self.folder / f"{name}.{kind}" for kind in ("reviews", "metadata")}
            for file in files.values():
                if not file.exists():
                    file.write_text("1")
                    os.utime(file, ns=(1, 1))
            entries[name] = {
                "format": "amazon2023",
                "enabled": True,
                **{kind: str(file) for kind, file in files.items()},
            }
        (self.folder / "datasets.yaml").write_text(yaml.safe_dump({"datasets": entries}, sort_keys=False))

    def change(self, name: str, time: int, kind: str = "reviews") -> None:
        os.utime(self.folder / f"{name}.{kind}", ns=(time, time))

    def tick(self) -> list[str]:
        """The keys of the runs that are asked for."""
        with dg.DagsterInstance.ephemeral() as instance:
            context = dg.build_sensor_context(instance, cursor=self.cursor, repository_def=defs.get_repository_def())
            found = new_dumps.evaluate_tick(context)
        self.cursor = found.cursor
        return [request.run_key or "" for request in found.run_requests or []]

    def asked(self) -> set[str]:
        """The datasets that the last tick asked."""
        cursor = Cursor.of(self.cursor)
        return {name for name, seen in cursor.datasets.items() if seen.asked == cursor.tick}


@pytest.fixture
def watch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Watch:
    return Watch(tmp_path, monkeypatch)


def test_a_change_asks_for_one_run_and_so_does_a_change_back(watch: Watch) -> None:
    watch.catalogue("sample")
    (first,) = watch.tick()
    assert first.startswith("sample ") and first.endswith(" 1")
    assert watch.tick() == []
    watch.change("sample", 2, "metadata")
    (second,) = watch.tick()
    assert watch.tick() == []
    watch.change("sample", 1, "metadata")
    (third,) = watch.tick()
    assert len({first, second, third}) == 3
    assert first.split()[1] == third.split()[1]  # the same state


def test_a_lost_cursor_asks_again_under_the_same_key(watch: Watch, caplog: pytest.LogCaptureFixture) -> None:
    watch.catalogue("sample")
    first = watch.tick()
    watch.cursor = "rubbish"
    assert watch.tick() == first
    assert "all sources count as never asked" in caplog.text


def test_eight_datasets_of_two_sources_are_asked_a_tick_and_each_in_its_turn(watch: Watch) -> None:
    names = NAMES[:11] if len(NAMES) >= 11 else pytest.fail("the tests' catalogue is too short")
    watch.catalogue(*names)
    assert len(watch.tick()) == 8
    first = watch.asked()
    assert first == set(names[:8])
    assert len(watch.tick()) == 3  # the others, and five that have not changed
    assert watch.asked() >= set(names[8:]) and len(watch.asked()) == 8
    watch.tick()
    assert watch.asked() >= first - set(names[:5])


def test_a_source_that_cannot_be_asked_keeps_what_was_known_and_holds_nobody(
    watch: Watch, caplog: pytest.LogCaptureFixture
) -> None:
    watch.catalogue("sample", "quick")
    watch.tick()
    before = json.loads(watch.cursor or "")["datasets"]["quick"]["fingerprint"]
    (watch.folder / "quick.reviews").unlink()
    watch.change("quick", 5, "metadata")  # half an answer is none
    watch.change("sample", 5)
    (asked,) = watch.tick()
    assert asked.startswith("sample ")
    assert "Dataset quick: " in caplog.text and "what was known of it stays" in caplog.text
    assert json.loads(watch.cursor or "")["datasets"]["quick"]["fingerprint"] == before
    (watch.folder / "quick.reviews").write_text("1")
    watch.change("quick", 1)
    watch.change("quick", 1, "metadata")
    assert watch.tick() == []  # all is as it was


def test_an_entry_with_a_mistake_holds_nobody(watch: Watch, caplog: pytest.LogCaptureFixture) -> None:
    watch.catalogue("sample", "quick")
    file = watch.folder / "datasets.yaml"
    entries = yaml.safe_load(file.read_text())
    entries["datasets"]["quick"]["format"] = "amazon1999"
    file.write_text(yaml.safe_dump(entries))
    (asked,) = watch.tick()
    assert asked.startswith("sample ")
    assert "dataset quick: 'format'" in caplog.text


def test_a_dataset_that_left_the_catalogue_is_forgotten_and_a_new_one_waits_for_the_code(watch: Watch) -> None:
    watch.catalogue("sample", "quick")
    watch.tick()
    watch.catalogue("sample", "brand_new")
    assert watch.tick() == []
    assert set(json.loads(watch.cursor or "")["datasets"]) == {"sample"}


def test_it_is_off_until_somebody_switches_it_on() -> None:
    assert new_dumps.default_status is dg.DefaultSensorStatus.STOPPED
