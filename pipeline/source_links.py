"""Where the UI finds an asset's code: the file here, or the page of a git host where `REC_GIT_URL` names one."""

import os
from collections.abc import Sequence
from typing import Any, Literal
from urllib.parse import urlsplit

import dagster as dg

from assets.core.dagster_warnings import no_preview_warnings
from storage.environment import PROJECT_ROOT


def link_to_git(assets: Sequence[Any]) -> Sequence[Any]:
    """The assets, their code references turned into links to `REC_GIT_URL` at `REC_GIT_BRANCH` (main).

    Without that URL they are files of this machine, which an editor opens.
    """
    url = os.environ.get("REC_GIT_URL", "").rstrip("/").removesuffix(".git")
    if not url:
        return assets
    branch = os.environ.get("REC_GIT_BRANCH") or "main"
    platform: Literal["github", "gitlab"] = "github" if "github" in (urlsplit(url).hostname or "") else "gitlab"
    with no_preview_warnings():
        anchor = dg.AnchorBasedFilePathMapping(PROJECT_ROOT / "pyproject.toml", "pyproject.toml")
        return dg.link_code_references_to_git(assets, url, branch, anchor, platform=platform)
