"""Errors that a person can fix, as one sentence in Dagster."""

from collections.abc import Iterator
from contextlib import contextmanager

import dagster as dg

WITHOUT_DATA = "sentence_without_data"  # in the metadata of a failure or a check whose sentence others may see


@contextmanager
def as_failure(dataset: str, *errors: type[Exception]) -> Iterator[None]:
    """Turn errors that a person can fix into one sentence in Dagster, without retries."""
    try:
        yield
    except errors as error:
        hidden = getattr(error, "without_data", None)
        facts = {WITHOUT_DATA: f"Dataset {dataset}: {hidden}."} if hidden else {}
        raise dg.Failure(f"Dataset {dataset}: {error}.", metadata=facts, allow_retries=False) from error
