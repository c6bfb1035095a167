"""Asks the sources of enabled datasets for change, some at each tick, and has what changed fetched once."""

import hashlib
import logging
from collections.abc import Iterator, Sequence

import dagster as dg
import pydantic

from assets.core.asset_decorator import DATASETS
from pipeline.jobs import fetch_dumps
from pipeline.tags import WHY
from storage.catalogue import Catalogue, load_catalogue
from storage.errors import InputError
from storage.raw.upstream_state import ask_states

logger = logging.getLogger(__name__)

DATASETS_A_TICK = 8  # of two sources each


class Seen(pydantic.BaseModel):
    """What is known of a dataset's sources.

    `asked` is the number of the tick in which they were asked last, and `changes` how often they had changed by then.
    """

    asked: int = 0
    fingerprint: str = ""
    changes: int = 0


class Cursor(pydantic.BaseModel):
    """What the sensor remembers from tick to tick; ticks are counted, because a clock may go back."""

    tick: int = 0
    datasets: dict[str, Seen] = {}

    @classmethod
    def of(cls, text: str | None) -> "Cursor":
        """The cursor as it was written; a new one, with a warning, of what cannot be read."""
        try:
            return cls.model_validate_json(text) if text else cls()
        except pydantic.ValidationError:
            logger.warning("the cursor of new_dumps cannot be read; all sources count as never asked")
            return cls()

    def next_tick(self, names: Sequence[str]) -> "Cursor":
        """The cursor for these datasets alone, in the order in which they are to be asked."""
        known = {name: self.datasets.get(name, Seen()) for name in names}
        return Cursor(tick=self.tick + 1, datasets=dict(sorted(known.items(), key=lambda pair: pair[1].asked)))


@dg.sensor(job=fetch_dumps, minimum_interval_seconds=300, default_status=dg.DefaultSensorStatus.STOPPED)
def new_dumps(context: dg.SensorEvaluationContext) -> dg.SensorResult:
    """Asks the sources of enabled datasets, eight datasets a tick, whether they have changed; fetches what has."""
    catalogue = load_catalogue()
    enabled = [name for name in catalogue.enabled if DATASETS.has_partition_key(name)]
    cursor = Cursor.of(context.cursor).next_tick(enabled)
    requests = list(request_changed(cursor, catalogue))
    unknown = sorted(set(catalogue.enabled) - set(enabled))
    reason = f"Asked {', '.join(choose_datasets(cursor)) or 'nobody: no dataset is enabled'}."
    if unknown:
        reason += f" New in the catalogue, and known when the code is loaded again: {', '.join(unknown)}."
    return dg.SensorResult(
        run_requests=requests or None, skip_reason=None if requests else reason, cursor=cursor.model_dump_json()
    )


def choose_datasets(cursor: Cursor) -> list[str]:
    """The datasets that were asked in this tick."""
    return [name for name, seen in cursor.datasets.items() if seen.asked == cursor.tick]


def request_changed(cursor: Cursor, catalogue: Catalogue) -> Iterator[dg.RunRequest]:
    """Ask the datasets whose turn it is, and request a run for each whose sources have changed.

    A change back to what was there before is a change, too: so the key of a run counts changes. Where the cursor was
    lost, a state that is still the first one asks for no second run.
    """
    places: dict[str, list[str]] = {}
    for name in list(cursor.datasets)[:DATASETS_A_TICK]:
        cursor.datasets[name].asked = cursor.tick
        try:
            dataset = catalogue.dataset(name)
            places[name] = [dataset.source("reviews"), dataset.source("metadata")]
            places[name] += [dataset.unavailable] if dataset.unavailable else []
        except InputError as error:
            logger.warning(f"Dataset {name}: {error}.")
    found = ask_states(source for sources in places.values() for source in sources)
    for name, sources in places.items():
        answers = [found[source] for source in sources]
        for problem in (answer for answer in answers if isinstance(answer, InputError)):
            logger.warning(f"Dataset {name}: {problem}; what was known of it stays.")
        if any(isinstance(answer, InputError) for answer in answers):
            continue
        seen, fingerprint = cursor.datasets[name], fingerprint_of(sources, [str(answer) for answer in answers])
        if fingerprint == seen.fingerprint:
            continue
        seen.fingerprint, seen.changes = fingerprint, seen.changes + 1
        key = f"{name} {fingerprint} {seen.changes}"
        yield dg.RunRequest(run_key=key, partition_key=name, tags={WHY: "its sources have changed"})


def fingerprint_of(sources: Sequence[str], answers: Sequence[str]) -> str:
    """A short hash of where a dataset comes from and in which state that is."""
    return hashlib.sha256("\n".join([*sources, *answers]).encode()).hexdigest()[:16]
