"""Reads `datasets.yaml`: which datasets there are, and where their raw files come from.

Entries are checked one by one when they are asked for, so that a mistake in one never holds up another.
"""

import difflib
import os
import re
import reprlib
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pydantic
import yaml

from storage.errors import InputError
from storage.layout import PROJECT_ROOT

SHOWN_CHARACTERS = 80  # of a value, or a name, in a sentence about it
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")

Format = Literal["amazon2014", "amazon2018", "amazon2023"]
Setting = bool | int | float | str | list[int] | list[str] | None
PLACES = ("reviews", "metadata", "images", "image_links")


class Dataset(pydantic.BaseModel):
    """One entry of the catalogue.

    `reviews` and `metadata` are a URL, a path (relative to the file that names it), or `sample:` for what the project
    writes itself. `images` is the folder in which relative picture paths are looked up; without it, the folder of a
    local `metadata` file. Symbolic links in it may lead to what lies below `image_links`, and nowhere else. In all
    four, `{category}` stands for what follows the first '-' of the name.
    """

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)

    name: str
    format: Format
    reviews: str
    metadata: str
    images: str | None = None
    image_links: str | None = None
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
            raise InputError(f"there is no dataset {name!r} in the catalogue{closest_to(name, self.names)}")
        file, entry = self.entries[name]
        if not isinstance(entry, dict):
            raise InputError(f"{file.name}, dataset {name}: an entry is a mapping with format, reviews and metadata")
        if "name" in entry:
            raise InputError(
                f"{file.name}, dataset {name}: there is no setting 'name': the key of an entry is its name"
            )
        try:
            dataset = Dataset.model_validate({"name": name, **entry})
        except pydantic.ValidationError as error:
            raise InputError(f"{file.name}, dataset {name}: {first_mistake(error)}") from None
        places = {key: _place(getattr(dataset, key), dataset, file.parent) for key in PLACES}
        return dataset.model_copy(update=places)


def closest_to(name: str, known: Collection[str]) -> str:
    """The names most like one that is not there, as the end of a sentence; nothing where none is like it."""
    names = {each.lower(): each for each in known}
    closest = [names[match] for match in difflib.get_close_matches(name.lower(), names)]
    return f"; the closest to it: {', '.join(closest)}" if closest else ""


def load_catalogue(file: Path | None = None) -> Catalogue:
    """Read `file`, or what `REC_DATASETS` names, or the project's `datasets.yaml` and then `datasets.local.yaml`.

    Raises:
        InputError: a file is missing, is not YAML, has a key twice, or names a dataset with characters that do not fit
            a file name.
    """
    if file is None and (named := os.environ.get("REC_DATASETS")):
        file = Path(named)
    files = [file] if file else [PROJECT_ROOT / "datasets.yaml", PROJECT_ROOT / "datasets.local.yaml"]
    required = files[0]
    entries: dict[str, tuple[Path, object]] = {}
    for path in files:
        if path.exists() or path == required:
            for name, entry in _read(path).items():
                entries[name] = path.absolute(), _laid_over(entries[name][1], entry) if name in entries else entry
    return Catalogue(entries)


def _laid_over(listed: object, entry: object) -> object:
    """An entry with what it does not say itself taken from the one of its name that was listed before."""
    if not isinstance(listed, dict) or not isinstance(entry, dict):
        return entry
    before, own = listed.get("settings", {}), entry.get("settings", {})
    settings = {**before, **own} if isinstance(before, dict) and isinstance(own, dict) else own
    return {**listed, **entry, "settings": settings}


def first_mistake(error: pydantic.ValidationError) -> str:
    """The first of pydantic's complaints as half a sentence that names the setting."""
    mistake = error.errors()[0]
    setting = ".".join(str(part) for part in mistake["loc"])
    if mistake["type"] == "extra_forbidden":
        return f"there is no setting {_shown(setting)}"
    if mistake["type"] == "missing":
        return f"{setting!r} is missing"
    what = mistake["msg"].removeprefix("Value error, ")
    return f"{_shown(setting)} is {_shown(mistake['input'])}: {what[0].lower()}{what[1:]}"


def _shown(value: object) -> str:
    """A value as a sentence quotes it: YAML can name one list within another until they are endless."""
    short = reprlib.Repr()
    short.maxlevel = 2
    short.maxstring = short.maxother = short.maxlong = SHOWN_CHARACTERS
    return short.repr(value)


class _KeyTwiceError(yaml.MarkedYAMLError):
    """A mapping has one key twice."""


class _Loader(yaml.SafeLoader):
    """Safe YAML in which a key that is there twice is a mistake, where YAML would let the later one win."""

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        node = super().compose_mapping_node(anchor)
        seen: set[str] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode):
                if key.value in seen:
                    raise _KeyTwiceError(
                        problem=f"the key {_shown(key.value)} is there twice", problem_mark=key.start_mark
                    )
                seen.add(key.value)
        return node


def _read(path: Path) -> dict[str, object]:
    try:
        content = yaml.load(path.read_text(encoding="utf-8"), _Loader)
    except FileNotFoundError:
        raise InputError(f"the catalogue {path} does not exist (REC_DATASETS)") from None
    except OSError as error:
        raise InputError(f"the catalogue {path} cannot be read: {error.strerror} (REC_DATASETS)") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        place = getattr(error, "problem_mark", None)
        line = f", line {place.line + 1}" if place else ""
        mistake = "this is not YAML"
        if isinstance(error, _KeyTwiceError):
            mistake = str(error.problem)
        elif isinstance(error, yaml.composer.ComposerError) and error.problem:  # an alias of what is in another file
            mistake = error.problem
        raise InputError(f"{path.name}{line}: {mistake}") from None
    datasets = content.get("datasets", ()) if isinstance(content, dict) else content
    if datasets is None:  # the last one was taken out
        return {}
    if not isinstance(datasets, dict):
        raise InputError(f"{path.name}: the file holds one mapping, 'datasets', from names to entries")
    for name in datasets:
        if not isinstance(name, str) or not NAME.fullmatch(name):
            raise InputError(f"{path.name}, dataset {_shown(name)}: a name is made of letters, digits, '-' and '_'")
    return datasets


def _place(source: str | None, dataset: Dataset, folder: Path) -> str | None:
    """An absolute path for a relative one; URLs and `sample:` stay as they are, but for the category in them."""
    if source is None:
        return None
    source = source.replace("{category}", dataset.name.split("-", 1)[-1])
    if re.match(r"[a-z][a-z0-9+.-]+:", source):
        return source
    return os.path.normpath(folder / Path(source).expanduser())
