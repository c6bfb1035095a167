"""Who is told when something fails: on real runs, with a real server for the webhook."""

import json
import logging
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import ClassVar

import dagster as dg
import pytest
from conftest import Pipeline

from pipeline.alerts import Alert, check_failures, failed_checks, notify, run_failures
from pipeline.reasons import last_run, reason_of

ALERT = Alert("run_failed", "toys", "run-1", "refresh", "the disk is full")
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
    notify(Alert("degraded", "toys", "run-1", "pictures_found of item_images", "it did not pass (found 0)"))
    assert [(record.levelno, record.getMessage()) for record in caplog.records] == [
        (logging.ERROR, "run_failed: refresh of toys, run run-1: the disk is full"),
        (logging.WARNING, "degraded: pictures_found of item_images of toys, run run-1: it did not pass (found 0)"),
    ]


def test_a_webhook_gets_the_alert_as_json(hook: type[Received]) -> None:
    notify(ALERT)
    (body,) = hook.bodies
    assert body == {
        "kind": "run_failed", "dataset": "toys", "run": "run-1", "what": "refresh", "sentence": "the disk is full",
    }  # fmt: skip


@pytest.mark.parametrize("notifier", ["pipeline.alerts:to_webhook", "no.such:thing", "pipeline.alerts:nothing", "json"])
def test_a_notifier_that_fails_leaves_the_alert_in_the_log_and_no_secret(
    hook: type[Received], caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, notifier: str
) -> None:
    monkeypatch.setattr(hook, "status", 500)
    monkeypatch.setenv("REC_NOTIFIER", notifier)
    notify(ALERT)
    assert f"REC_NOTIFIER ({notifier}) could not be told" in caplog.text
    assert "the disk is full" in caplog.text
    assert SECRET not in caplog.text


def test_a_failed_run_is_told_with_the_sentence_that_says_why(tmp_path, hook: type[Received]) -> None:
    pipeline = Pipeline(tmp_path)
    result = pipeline.run("no_file", "key:raw_reviews")
    assert not result.success
    run = pipeline.instance.get_run_by_id(result.run_id)
    assert run is not None
    failure = next(event for event in result.all_events if event.event_type_value == "PIPELINE_FAILURE")
    run_failures(dg.build_run_status_sensor_context("run_failures", failure, pipeline.instance, run).for_run_failure())
    (body,) = hook.bodies
    assert body["kind"], body["dataset"] == ("run_failed", "no_file")
    assert body["sentence"].startswith("Dataset no_file: 'reviews' names ")
    assert body["sentence"].endswith("and there is no such file.")
    assert last_run(pipeline.instance, "no_file") == result.run_id
    assert reason_of(pipeline.instance, result.run_id) == body["sentence"]


def test_a_check_that_fails_is_told_once_and_those_that_pass_are_not(tmp_path, hook: type[Received]) -> None:
    pipeline = Pipeline(tmp_path)
    last, told = failed_checks(pipeline.instance, None)
    assert told == []
    assert pipeline.run("quick", "*reviews").success
    fewer = {"raw_reviews": {"sample_users": 150}}
    assert not pipeline.run("quick", "*reviews", fewer).success
    for _ in range(2):
        context = dg.build_sensor_context(pipeline.instance, cursor=str(last))
        last = int(check_failures.evaluate_tick(context).cursor or "")
    (body,) = hook.bodies
    assert (body["kind"], body["dataset"]) == ("check_failed", "quick")
    assert body["what"] == "reviews_not_collapsed of reviews"
    assert "rows " in body["sentence"] and "rows_before " in body["sentence"]
