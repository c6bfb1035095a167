"""Reads `datasets.yaml`: which datasets there are, and where their raw files come from.

Entries are checked one by one when they are asked for, so that a mistake in one never holds up another.
"""

import difflib
import os
import re
import reprlib
from collections.abc import Collection, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, Literal

import pydantic
import yaml

from storage.environment import PROJECT_ROOT, expand_user, path_named
from storage.errors import InputError
from storage.text import shorten

SHOWN_CHARACTERS = 80  # of a value, or a name, in a sentence about it
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")
MAX_NAME_CHARACTERS = 100  # it becomes the name of files, which have suffixes of their own

Format = Literal["amazon2014", "amazon2018", "amazon2023"]
Setting = bool | int | float | str | list[int] | list[str] | None
WEIGHTS = ("image_weights", "text_encoder")  # settings that may be a path
PLACES = ("reviews", "metadata", "images", "image_links", "unavailable")


class Dataset(pydantic.BaseModel):
    """One entry of the catalogue.

    `reviews` and `metadata` are a URL, a path (relative to the file that names it), or `sample:` for what the project
    writes itself. `images` is the folder in which relative picture paths are looked up; without it, the folder of a
    local `metadata` file. Symbolic links in it may lead to what lies below `image_links`, and nowhere else.
    `unavailable` is a text file with the ids of items that are not recommended, one a line. In all five, `{category}`
    stands for what follows the first '-' of the name. `available` is the key of the metadata's records that says
    whether an item is available.
    """

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)

    name: str
    format: Format
    reviews: str
    metadata: str
    images: str | None = None
    image_links: str | None = None
    unavailable: str | None = None
    available: str | None = None
    enabled: bool = False
    settings: dict[str, Setting] = {}

    @pydantic.field_validator("settings", mode="before")
    @classmethod
    def _without_dates(cls, settings: object) -> object:
        """YAML makes dates of what nobody has put into quotes; the sentence says what they would have to be."""
        for name, value in settings.items() if isinstance(settings, dict) else ():
            values = value if isinstance(value, list) else [value]
            if found := next((one for one in values if isinstance(one, date)), None):
                instead = f"as ms since the epoch it is {_milliseconds(found)}"
                raise ValueError(f"{shorten(str(name), SHOWN_CHARACTERS)} holds {found}, a date; {instead}")
        return settings

    def source(self, kind: Literal["reviews", "metadata"]) -> str:
        """The place of one of the two raw files, as the catalogue gives it."""
        return self.reviews if kind == "reviews" else self.metadata


def _milliseconds(day: date) -> int:
    """Milliseconds from 1970 to a date, or to a date and a time, that is UTC where it names no zone."""
    time = day if isinstance(day, datetime) else datetime(day.year, day.month, day.day)
    return int((time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp() * 1000)


def _is_on(entry: dict[str, object]) -> bool:
    """What `enabled` of an entry means; one that means nothing is off, and `Catalogue.dataset` says so."""
    try:
        return pydantic.TypeAdapter(bool).validate_python(entry.get("enabled", False))
    except pydantic.ValidationError:
        return False


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
        return [name for name, (_, entry) in self.entries.items() if isinstance(entry, dict) and _is_on(entry)]

    @property
    def local_files(self) -> frozenset[Path]:
        """The raw files of all sound entries that lie on this machine."""
        found: set[Path] = set()
        for name in self.names:
            with suppress(InputError):
                dataset = self.dataset(name)
                found.update(Path(place) for place in (dataset.reviews, dataset.metadata) if Path(place).is_absolute())
        return frozenset(found)

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
        try:
            places: dict[str, Any] = {key: _place(getattr(dataset, key), dataset, file.parent) for key in PLACES}
        except InputError as error:
            raise InputError(f"{file.name}, dataset {name}: {error}") from None
        settings = {key: _weights(key, value, file.parent) for key, value in dataset.settings.items()}
        return dataset.model_copy(update={**places, "settings": settings})


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
    file = file or path_named("REC_DATASETS")
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
    mistakes = error.errors()
    mistake = next(
        (one for one in mistakes if one["type"] == "extra_forbidden"), mistakes[0]
    )  # it may be the missing one
    setting = ".".join(str(part) for part in mistake["loc"])
    if mistake["type"] == "extra_forbidden":
        return f"there is no setting {_shown(setting)}{closest_to(setting, list(Dataset.model_fields))}"
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
        return _with_settings_laid_over(node)


def _with_settings_laid_over(node: yaml.MappingNode) -> yaml.MappingNode:
    """A mapping whose own `settings` hold what they do not say themselves of the settings of what it merges (`<<`).

    YAML merges one level, so that an entry with one setting of its own would lose all of its release, without a word.
    """
    own = _value_of(node, "settings")
    if not isinstance(own, yaml.MappingNode) or _value_of(node, "<<") is None:
        return node
    pairs = _pairs(own)
    for theirs in _merged_settings(node):
        pairs = _pairs(theirs) | pairs
    odd = [pair for pair in own.value if not isinstance(pair[0], yaml.ScalarNode)]  # a mistake, for whoever reads them
    laid_over = yaml.MappingNode(own.tag, [*pairs.values(), *odd], own.start_mark, own.end_mark)
    node.value = [(key, laid_over if value is own else value) for key, value in node.value]
    return node


def _merged_settings(node: yaml.MappingNode) -> Iterator[yaml.MappingNode]:
    """The settings of all that a mapping merges, and of what those merge, what counts most first."""
    waiting, seen = [node], {id(node)}
    while waiting:
        for other in _merged(waiting.pop(0)):
            if id(other) not in seen:
                seen.add(id(other))
                waiting.append(other)
                if isinstance(settings := _value_of(other, "settings"), yaml.MappingNode):
                    yield settings


def _pairs(node: yaml.MappingNode) -> dict[str, tuple[yaml.Node, yaml.Node]]:
    """Key and value of a mapping by the text of the key, with those that it merges itself."""
    found: dict[str, tuple[yaml.Node, yaml.Node]] = _own_pairs(node)
    found.pop("<<", None)
    for other in _merged(node):
        found = _own_pairs(other) | found
    return found


def _own_pairs(node: yaml.MappingNode) -> dict[str, tuple[yaml.Node, yaml.Node]]:
    return {key.value: (key, value) for key, value in node.value if isinstance(key, yaml.ScalarNode)}


def _merged(node: yaml.MappingNode) -> list[yaml.MappingNode]:
    """The mappings that a mapping merges (`<<`), what counts most first."""
    merged = _value_of(node, "<<")
    others = merged.value if isinstance(merged, yaml.SequenceNode) else [merged]
    return [other for other in others if isinstance(other, yaml.MappingNode) and other is not node]


def _value_of(node: yaml.MappingNode, name: str) -> yaml.Node | None:
    """The value of a key of a mapping."""
    return next((value for key, value in node.value if isinstance(key, yaml.ScalarNode) and key.value == name), None)


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
            mistake = shorten(error.problem, SHOWN_CHARACTERS)
        raise InputError(f"{path.name}{line}: {mistake}") from None
    datasets = content.get("datasets", ()) if isinstance(content, dict) else content
    if datasets is None:  # the last one was taken out
        return {}
    if not isinstance(datasets, dict):
        raise InputError(f"{path.name}: the file holds one mapping, 'datasets', from names to entries")
    for name in datasets:
        if wrong := _mistake_in_name(name):
            raise InputError(f"{path.name}, dataset {_shown(name)}: {wrong}")
    return datasets


def _mistake_in_name(name: object) -> str | None:
    """What is wrong with the name of a dataset, as half a sentence."""
    if isinstance(name, bool):
        return f"YAML reads this as {str(name).lower()}, whether it says no, off, yes or on; put the name into quotes"
    if name is None:
        return "YAML reads this as nothing; put the name into quotes"
    if not isinstance(name, str):
        kind = "a number" if isinstance(name, int | float) else "a date" if isinstance(name, date) else "no name"
        return f"YAML reads this as {kind}; put the name into quotes"
    if not NAME.fullmatch(name):
        return "a name is made of letters, digits, '-' and '_'"
    if len(name) > MAX_NAME_CHARACTERS:
        return f"a name has at most {MAX_NAME_CHARACTERS} characters, and this one has {len(name):,}"
    return None


def _place(source: str | None, dataset: Dataset, folder: Path) -> str | None:
    """An absolute path for a relative one; URLs and `sample:` stay as they are, but for the category in them."""
    if source is None:
        return None
    source = source.replace("{category}", dataset.name.split("-", 1)[-1])
    if re.match(r"[a-z][a-z0-9+.-]+:", source):
        return source
    return os.path.normpath(folder / expand_user(source))


def _weights(setting: str, value: Setting, folder: Path) -> Setting:
    """A setting of weights that is a relative path, made absolute like all paths of this file; others as they are."""
    if setting not in WEIGHTS or not isinstance(value, str) or not value.startswith(("./", "../")):
        return value
    return os.path.normpath(folder / value)
