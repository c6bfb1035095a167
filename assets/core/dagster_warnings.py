"""Warnings of Dagster about parts of it that are not final; constraints.txt pins the version they were tried with."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from dagster_shared.utils.warnings import BetaWarning, PreviewWarning


@contextmanager
def no_preview_warnings() -> Iterator[None]:
    """Use parts of Dagster that are in preview or beta without a warning each time."""
    with warnings.catch_warnings():
        for kind in (BetaWarning, PreviewWarning):
            warnings.simplefilter("ignore", kind)
        yield
