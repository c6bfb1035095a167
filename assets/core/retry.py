"""Steps that fail for a temporary reason are tried again."""

import sys
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager

import dagster as dg

from storage.errors import OutOfReachError

RETRY_AFTER_S = (60, 600)


@contextmanager
def retry_temporary_failures(context: dg.AssetExecutionContext) -> Iterator[None]:
    """Let Dagster try a step again later where that can help: a network failed, or other runs fill the GPU."""
    try:
        yield
    except Exception as error:
        if not is_temporary(error) or context.retry_number >= len(RETRY_AFTER_S):
            raise
        wait_s = RETRY_AFTER_S[context.retry_number]
        context.log.warning(f"{error}; tried again in {wait_s} s, if the run is not ended before")
        traceback.clear_frames(error.__traceback__)  # they may hold what is on a GPU
        time.sleep(wait_s)  # here, where a signal ends the run at once: while Dagster waits by itself, it hears none
        raise dg.RetryRequested(len(RETRY_AFTER_S), seconds_to_wait=0) from error


def is_temporary(error: BaseException) -> bool:
    """Whether an error may disappear by itself after a while."""
    torch = sys.modules.get("torch")  # where it was never imported, no GPU is full
    passing = (OutOfReachError, torch.OutOfMemoryError) if torch else (OutOfReachError,)
    return isinstance(error, passing) or (error.__cause__ is not None and is_temporary(error.__cause__))
