"""Settings in force, where they came from, and inputs that do not belong together."""

import pytest

from assets.core.asset_context import common_numbering
from assets.core.effective_settings import resolve_settings
from assets.core.settings import ALL_SETTINGS, CoreSettings
from storage.artifacts.manifest import Manifest, Recipe
from storage.catalogue import Dataset
from storage.errors import InputError


def dataset(**settings: object) -> Dataset:
    return Dataset.model_validate(
        {"name": "d", "format": "amazon2023", "reviews": "r", "metadata": "m", "settings": settings}
    )


def manifest(asset: str, **numbering: str) -> Manifest:
    recipe = Recipe(code_version="", settings={}, inputs={})
    return Manifest(
        asset=asset, dataset="d", path="", bytes=0, sha256="", data_version="", recipe=recipe, numbering=numbering,
        facts={}, seconds=0,
    )  # fmt: skip


def test_run_config_overrides_the_catalogue_which_overrides_the_default() -> None:
    settings, origins = resolve_settings(CoreSettings, dataset(user_core=3, item_core=4), {"item_core": 7})
    assert (settings.user_core, settings.item_core, settings.min_rating) == (3, 7, None)
    assert origins == {
        "force": "default",
        "promote": "default",
        "min_rating": "default",
        "user_core": "catalogue",
        "item_core": "run config",
    }


def test_a_setting_of_another_asset_is_passed_over() -> None:
    settings, origins = resolve_settings(CoreSettings, dataset(learning_rate=0.1), {})
    assert settings.user_core == 5
    assert "learning_rate" not in origins


@pytest.mark.parametrize(
    ("settings", "given", "sentence"),
    [
        ({"usercore": 3}, {}, "the catalogue's settings have 'usercore', which no asset has"),
        ({"force": True}, {}, "the catalogue's settings have 'force', which belongs to the config of one run"),
        ({"promote": True}, {}, "the catalogue's settings have 'promote', which belongs to the config of one run"),
        ({"user_core": "many"}, {}, "the setting 'user_core' is 'many'"),
        ({"user_core": 0}, {}, "the setting 'user_core' is 0: input should be greater than or equal to 1"),
        ({}, {"item_core": -1}, "the setting 'item_core' is -1"),
    ],
)
def test_what_does_not_fit_is_one_sentence(settings: dict, given: dict, sentence: str) -> None:
    with pytest.raises(InputError) as error:
        resolve_settings(CoreSettings, dataset(**settings), given)
    assert str(error.value).startswith(sentence)


def test_every_setting_has_a_sentence_and_one_meaning() -> None:
    by_name: dict[str, set] = {}
    for kind in ALL_SETTINGS:
        for name, field in kind.model_fields.items():
            assert field.description, f"{kind.__name__}.{name}"
            by_name.setdefault(name, set()).add((repr(field.default), field.description))
    assert {name: meanings for name, meanings in by_name.items() if len(meanings) > 1} == {}


def test_inputs_of_one_generation_share_their_numbering() -> None:
    upstream = [manifest("splits", interactions="1", item_index="2"), manifest("image_embeddings", item_index="2")]
    assert common_numbering(upstream) == {"interactions": "1", "item_index": "2"}


def test_inputs_of_different_generations_are_refused() -> None:
    upstream = [manifest("splits", item_index="2"), manifest("image_embeddings", item_index="1")]
    with pytest.raises(InputError, match="splits and image_embeddings were made from different generations of item_"):
        common_numbering(upstream)
