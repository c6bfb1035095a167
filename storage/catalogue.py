"""Reads `datasets.yaml`: which datasets there are, and where their raw files come from.

Entries are checked one by one when they are asked for, so that a mistake in one never holds up another.
"""

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pydantic
import yaml

from storage.errors import InputError
from storage.layout import PROJECT_ROOT

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")

Format = Literal["amazon2014", "amazon2018", "amazon2023"]
Setting = bool | int | float | str | list[int] | None


class Dataset(pydantic.BaseModel):
    """One entry of the catalogue.

    `reviews` and `metadata` are a URL, a path (relative to the file that names it), or `sample:` for what the project
    writes itself. `images` is the folder in which relative picture paths are looked up; without it, the folder of a
    local `metadata` file.
    """

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)

    name: str
    format: Format
    reviews: str
    metadata: str
    images: str | None = None
    enabled: bool = False
    settings: dict[str, Setting] = {}

    def source(self, kind: Literal["reviews", "metadata"]) -> str:
        """The place of one of the two raw files, as the catalogue gives it."""
        return self.reviews if kind == "reviews" else self.metadata


@dataclass(frozen=True)
class Catalogue:
    """All datasets by name, in the order of the file, entries not yet checked."""

    entries: dict[str, tuple[Path, object]]

    @property
    def names(self) -> list[str]:
        return list(self.entries)

    @property
    def enabled(self) -> list[str]:
        """Names of the datasets that schedules look at: the entries that say so and are without mistakes otherwise."""
        return [name for name, (_, entry) in self.entries.items() if isinstance(entry, dict) and entry.get("enabled")]

    def dataset(self, name: str) -> Dataset:
        """The checked entry of one dataset.

        Raises:
            InputError: there is no such dataset, or its entry has a wrong key or value.
        """
        if name not in self.entries:
            raise InputError(f"there is no dataset {name!r} in the catalogue; it has {', '.join(self.names)}")
        file, entry = self.entries[name]
        if not isinstance(entry, dict):
            raise InputError(f"{file.name}, dataset {name}: an entry is a mapping with format, reviews and metadata")
        try:
            dataset = Dataset.model_validate({"name": name, **entry})
        except pydantic.ValidationError as error:
            raise InputError(f"{file.name}, dataset {name}: {first_mistake(error)}") from None
        places = {key: _place(getattr(dataset, key), file.parent) for key in ("reviews", "metadata", "images")}
        return dataset.model_copy(update=places)


def load_catalogue(file: Path | None = None) -> Catalogue:
    """Read `file`, or what `REC_DATASETS` names, or the project's `datasets.yaml` and then `datasets.local.yaml`.

    Raises:
        InputError: a file is missing, is not YAML, or names a dataset with characters that do not fit a file name.
    """
    if file is None and (named := os.environ.get("REC_DATASETS")):
        file = Path(named)
    files = [file] if file else [PROJECT_ROOT / "datasets.yaml", PROJECT_ROOT / "datasets.local.yaml"]
    required = files[0]
    entries: dict[str, tuple[Path, object]] = {}
    for path in files:
        if path.exists() or path == required:
            entries |= {name: (path.absolute(), entry) for name, entry in _read(path).items()}
    return Catalogue(entries)


def first_mistake(error: pydantic.ValidationError) -> str:
    """The first of pydantic's complaints as half a sentence that names the setting."""
    mistake = error.errors()[0]
    setting = ".".join(str(part) for part in mistake["loc"])
    if mistake["type"] == "extra_forbidden":
        return f"there is no setting {setting!r}"
    if mistake["type"] == "missing":
        return f"{setting!r} is missing"
    return f"{setting!r} is {mistake['input']!r}: {mistake['msg'][0].lower()}{mistake['msg'][1:]}"


def _read(path: Path) -> dict[str, object]:
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"the catalogue {path} does not exist (REC_DATASETS)") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        place = getattr(error, "problem_mark", None)
        line = f", line {place.line + 1}" if place else ""
        raise InputError(f"{path.name}{line}: this is not YAML") from None
    datasets = content.get("datasets") if isinstance(content, dict) else None
    if not isinstance(datasets, dict):
        raise InputError(f"{path.name}: the file holds one mapping, 'datasets', from names to entries")
    for name in datasets:
        if not isinstance(name, str) or not NAME.fullmatch(name):
            raise InputError(f"{path.name}, dataset {name!r}: a name is made of letters, digits, '-' and '_'")
    return datasets


def _place(source: str | None, folder: Path) -> str | None:
    """An absolute path for a relative one; URLs and `sample:` stay as they are."""
    if source is None or re.match(r"[a-z][a-z0-9+.-]+:", source):
        return source
    return os.path.normpath(folder / source)
