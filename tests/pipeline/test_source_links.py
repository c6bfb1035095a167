"""Where the UI finds an asset's code."""

from pathlib import Path

import dagster as dg
import pytest

from pipeline.definitions import defs
from pipeline.source_links import link_to_git

PROJECT = Path(__file__).parents[2]


def references(assets: list[dg.AssetsDefinition]) -> dict[str, dg.LocalFileCodeReference | dg.UrlCodeReference]:
    found = {}
    for asset in assets:
        (reference,) = asset.metadata_by_key[asset.key]["dagster/code_references"].code_references
        found[asset.key.to_user_string()] = reference
    return found


@pytest.fixture
def assets() -> list[dg.AssetsDefinition]:
    return [defs.get_assets_def(key) for key in defs.resolve_asset_graph().get_all_asset_keys()]


def test_every_asset_points_at_the_lines_that_make_it(assets: list[dg.AssetsDefinition]) -> None:
    for name, reference in references(assets).items():
        lines = Path(reference.file_path).read_text().splitlines()[reference.line_number - 1 :]
        assert lines[0].strip().startswith(("@dataset_asset", "@asset_of")), name
        first = next(line.strip() for line in lines if line.strip().startswith("def "))
        assert first.startswith((f"def {name}(", "def train(")), name


def test_a_git_host_takes_the_place_of_files(
    assets: list[dg.AssetsDefinition], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("REC_GIT_URL", raising=False)
    assert link_to_git(assets) is assets
    monkeypatch.setenv("REC_GIT_URL", "https://github.com/some/one.git")
    monkeypatch.setenv("REC_GIT_BRANCH", "next")
    file, link = references(assets)["splits"], references(list(link_to_git(assets)))["splits"]
    assert link.url == f"https://github.com/some/one/tree/next/assets/interactions/assets.py#L{file.line_number}"
    assert str(PROJECT) not in link.url
