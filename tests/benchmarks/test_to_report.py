"""What a whole run is measured by: a process, what it begins, and what they leave behind when they end."""

import os
import subprocess
import sys
from pathlib import Path

from benchmarks.to_report import Watch, measure, processes_of, resident_of, seconds_of, stages
from storage.artifacts.data_root import DataRoot
from storage.artifacts.manifest import Manifest, Recipe

# A child that works for half a second of the processor and ends, and then as much by the process itself.
WORK = "import time\nwhile time.process_time() < 0.5: pass\n"
BOTH = f"import subprocess, sys\nsubprocess.run([sys.executable, '-c', {WORK!r}])\n{WORK}"


def test_processor_seconds_are_those_of_a_process_and_of_all_that_it_began() -> None:
    seconds, watch = measure([sys.executable, "-c", BOTH], dict(os.environ))
    assert 0.9 < watch.processor[-1] < 4
    assert seconds >= watch.times[-1] - watch.times[0]
    assert watch.processor == sorted(watch.processor)
    assert watch.between(watch.times[0], watch.times[-1]) == watch.processor[-1] - watch.processor[0]
    assert watch.peak_bytes > 2**20


def test_a_process_is_found_with_its_children_and_what_is_gone_counts_nothing() -> None:
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        assert {os.getpid(), child.pid} <= set(processes_of(os.getpid()))
        assert resident_of(child.pid) > 0
    finally:
        child.communicate(b"\n")
    assert (seconds_of(child.pid), resident_of(child.pid)) == (0.0, 0)


def test_an_asset_has_the_processor_seconds_of_the_time_in_which_it_was_made(tmp_path: Path) -> None:
    root, watch = DataRoot(tmp_path), Watch(0, [100.0, 101.0, 102.0, 103.0, 104.0], [0.0, 1.0, 3.0, 5.0, 5.5])
    for asset, made_at, seconds in (("reviews", 101.0, 1.0), ("lightgcn", 103.0, 2.0), ("old", 90.0, 5.0)):
        root.write_manifest(
            Manifest(
                asset=asset, dataset="d", path=f"{asset}/d", bytes=0, sha256="", data_version="1", numbering={},
                recipe=Recipe(code_version="1", settings={}, inputs={}), facts={}, seconds=seconds,
                made_at=int(made_at * 1000),
            )
        )  # fmt: skip
    found = stages(root, "d", 95.0, watch)
    assert found == {
        "reviews": {"seconds": 1.0, "cpu_seconds": 1.0, "cores": 0.0},
        "lightgcn": {"seconds": 2.0, "cpu_seconds": 4.0, "cores": 2.0},
    }
