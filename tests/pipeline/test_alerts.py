"""Who is told when something fails: on real runs, with a real server for the webhook."""

import json
import logging
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import ClassVar

import dagster as dg
import pytest

from pipeline.alerts import Alert, degradations, notify, run_failures
from pipeline.runs.failure_reason import last_run, reason_of
from storage.artifacts.manifest import Manifest, Recipe
from tests.pipeline.in_process import Pipeline

ALERT = Alert("run_failed", "toys", "run-1", "refresh", "The disk is full.", "Make room.")
SECRET = "/hooks/very-secret"


class Received(BaseHTTPRequestHandler):
    bodies: ClassVar[list[dict[str, str]]] = []
    status = 200

    def do_POST(self) -> None:
        self.bodies.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        self.send_response(self.status)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def hook(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Received]]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(Received, "bodies", [])
    with HTTPServer(("127.0.0.1", 0), Received) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        monkeypatch.setenv("REC_WEBHOOK_URL", f"http://127.0.0.1:{server.server_port}{SECRET}")
        monkeypatch.setenv("REC_NOTIFIER", "pipeline.alerts:to_webhook")
        yield Received
        server.shutdown()


def test_the_log_is_told_by_default(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("REC_NOTIFIER", raising=False)
    notify(ALERT)
    notify(Alert("degraded", "toys", "run-1", "pictures_found of item_images", "It did not pass.", "Look."))
    assert [(record.levelno, record.getMessage()) for record in caplog.records] == [
        (logging.ERROR, "run_failed: refresh of toys, run run-1: The disk is full. Make room."),
        (logging.WARNING, "degraded: pictures_found of item_images of toys, run run-1: It did not pass. Look."),
    ]


def test_a_webhook_gets_the_alert_as_json(hook: type[Received]) -> None:
    notify(ALERT)
    (body,) = hook.bodies
    assert body == {
        "kind": "run_failed", "dataset": "toys", "run": "run-1", "what": "refresh", "sentence": "The disk is full.",
        "advice": "Make room.",
    }  # fmt: skip


@pytest.mark.parametrize("notifier", ["pipeline.alerts:to_webhook", "no.such:thing", "pipeline.alerts:nothing", "json"])
def test_a_notifier_that_fails_leaves_the_alert_in_the_log_and_no_secret(
    hook: type[Received], caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, notifier: str
) -> None:
    monkeypatch.setattr(hook, "status", 500)
    monkeypatch.setenv("REC_NOTIFIER", notifier)
    notify(ALERT)
    assert f"REC_NOTIFIER ({notifier}) could not be told" in caplog.text
    assert "The disk is full." in caplog.text
    assert SECRET not in caplog.text


def tell(sensor: object, pipeline: Pipeline, result: dg.ExecuteInProcessResult) -> None:
    """The sensor looks at a run that has ended."""
    run = pipeline.instance.get_run_by_id(result.run_id)
    assert run is not None
    ended = next(event for event in result.all_events if event.is_job_failure or event.is_job_success)
    context = dg.build_run_status_sensor_context("sensor", ended, pipeline.instance, run)
    sensor(context if result.success else context.for_run_failure())  # type: ignore[operator]


def test_a_failed_run_is_told_with_the_sentence_that_says_why(tmp_path: Path, hook: type[Received]) -> None:
    pipeline = Pipeline(tmp_path)
    result = pipeline.run("no_file", "key:raw_reviews")
    tell(run_failures, pipeline, result)
    (body,) = hook.bodies
    assert (body["kind"], body["dataset"]) == ("run_failed", "no_file")
    assert body["sentence"].startswith("Dataset no_file: 'reviews' names ")
    assert body["sentence"].endswith("and there is no such file.")
    assert last_run(pipeline.instance, "no_file") == result.run_id
    assert reason_of(pipeline.instance, result.run_id) == body["sentence"]


def test_a_check_that_fails_is_told_with_its_figures_and_those_that_pass_are_not(
    tmp_path: Path, hook: type[Received]
) -> None:
    pipeline = Pipeline(tmp_path)
    tell(degradations, pipeline, pipeline.run("quick", "*reviews"))
    assert hook.bodies == []
    tell(run_failures, pipeline, pipeline.run("quick", "*reviews", {"raw_reviews": {"sample_users": 150}}))
    failed, check = hook.bodies
    assert failed["kind"] == "run_failed"
    assert failed["sentence"].startswith("Dataset quick: reviews has failed its check reviews_not_collapsed: least ")
    assert failed["sentence"].endswith(
        "; nothing is built on it: run it again when data or settings are mended, or `make restore DATASET=quick` "
        "takes the table before."
    )
    assert (check["kind"], check["dataset"]) == ("check_failed", "quick")
    assert check["what"] == "reviews_not_collapsed of reviews"
    assert "rows_before " in check["sentence"]


def test_a_report_that_grew_old_degrades(tmp_path: Path, hook: type[Received], monkeypatch: pytest.MonkeyPatch) -> None:
    pipeline = Pipeline(tmp_path)
    recipe = Recipe(code_version="1", settings={}, inputs={})
    pipeline.root.write_manifest(
        Manifest(
            asset="report", dataset="quick", path="r", bytes=0, sha256="", data_version="1", recipe=recipe,
            numbering={}, facts={}, seconds=0, made_at=1,
        )
    )  # fmt: skip
    monkeypatch.setitem(pipeline.catalogue.entries["quick"][1]["settings"], "max_age_days", 30)  # type: ignore[index]
    job = pipeline.definitions.resolve_job_def("freshness")
    tell(degradations, pipeline, job.execute_in_process(partition_key="quick", instance=pipeline.instance))
    (body,) = hook.bodies
    assert (body["kind"], body["dataset"], body["what"]) == ("degraded", "quick", "report_fresh of report")
