"""Where an encoder's weights are: a path, an installed package, a name on a model hub, or nowhere (`untrained`).

Importing this costs nothing, so that a run can be refused before any expensive work.
"""

from importlib.util import find_spec
from pathlib import Path

from models.errors import ModelError

UNTRAINED = "untrained"
PACKAGE = "package:"


def require_architecture(name: str) -> None:
    """Raise ModelError unless open_clip or this project has such an architecture of an image encoder."""
    found = find_spec("open_clip")
    assert found is not None
    assert found.submodule_search_locations
    folders = [Path(found.submodule_search_locations[0]) / "model_configs", Path(__file__).parent]
    if not any(path.stem == name for folder in folders for path in folder.glob("*.json")):
        raise ModelError(f"image_encoder is {name!r}, and open_clip has no such architecture")


def is_path(place: str) -> bool:
    """Whether a setting means a file or folder rather than a name on a hub."""
    return place.startswith(("/", "./", "../", "~")) or Path(place).exists()


def local_path(place: str, setting: str) -> Path | None:
    """The file or folder that `place` means, or None if it is a name on a hub.

    Args:
        place: a path, `package:NAME/FOLDER` for a folder inside an installed package, or a name.
        setting: the setting that gave it, for the sentence of an error.

    Raises:
        ModelError: it means something local that is not there.
    """
    if place.startswith(PACKAGE):
        package, _, folder = place.removeprefix(PACKAGE).partition("/")
        found = find_spec(package) if package.isidentifier() else None
        if found is None or not found.submodule_search_locations:
            raise ModelError(f"{setting} is {place!r}, and the package {package!r} is not installed")
        path = Path(found.submodule_search_locations[0]) / folder
    elif is_path(place):
        path = Path(place).expanduser()
    else:
        return None
    if not path.exists():
        raise ModelError(f"{setting} is {place!r}, and nothing is there")
    return path
