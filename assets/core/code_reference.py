"""Where the function of an asset is written, for the link in the UI."""

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dagster as dg

from assets.core.dagster_warnings import no_preview_warnings


def refer_to_code(function: Callable[..., Any]) -> dg.CodeReferencesMetadataValue:
    """Where a function is written; Dagster itself would name the file of the decorator that wraps it."""
    written = inspect.unwrap(function).__code__
    path = str(Path(written.co_filename).resolve())
    with no_preview_warnings():
        here = dg.LocalFileCodeReference(file_path=path, line_number=written.co_firstlineno)
        return dg.CodeReferencesMetadataValue(code_references=[here])
