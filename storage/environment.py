"""Folders and files that environment variables name: `~` and relative paths mean the same in each of them."""

import os
from pathlib import Path

from storage.errors import InputError
from storage.text import shorten

PROJECT_ROOT = Path(__file__).resolve().parents[1]
SHOWN_CHARACTERS = 80  # of a path in a sentence about it


def path_named(variable: str) -> Path | None:
    """The path that a variable names, absolute; None where it is not set or empty.

    `~` is the home of the user, and a relative path begins at the working directory.
    """
    given = os.environ.get(variable)
    return absolute(given) if given else None


def absolute(given: str) -> Path:
    """A path with `~` expanded, relative to the working directory, without `..`.

    Raises:
        InputError: it begins with `~` and the name of nobody.
    """
    return Path(os.path.normpath(Path.cwd() / expand_user(given)))


def expand_user(given: str) -> Path:
    """A path with `~` expanded.

    Raises:
        InputError: it begins with `~` and the name of nobody.
    """
    try:
        return Path(given).expanduser()
    except RuntimeError:
        shown = shorten(given, SHOWN_CHARACTERS)
        raise InputError(f"{shown} begins with the home of a user, and there is no such user") from None
