"""What MkDocs calls while it builds the site: it generates the reference pages and resolves links into the code."""

import inspect
import re
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page
from pydantic.fields import FieldInfo

from assets.core import settings
from storage.schemas import SCHEMAS

ROOT = Path(__file__).parents[1]
_INTO_THE_CODE = re.compile(r"\[([^\]]*)\]\(\.\./((?!\.\.)[^)#]+)(#[^)]*)?\)")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the generated pages."""
    for name, lines in (("settings", settings_page()), ("tables", tables_page())):
        files.append(File.generated(config, f"reference/{name}.md", content="\n".join(lines) + "\n"))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Show a link to a file of the project as the path of the file, which the site does not have.

    Raises:
        PluginError: there is no such file.
    """

    def shown(link: re.Match[str]) -> str:
        text, path = link[1], link[2]
        if not (ROOT / path).exists():
            raise PluginError(f"{page.file.src_uri} links to {path}, which does not exist")
        return f"`{path}`" if text.strip("`") in (path, Path(path).name) else f"{text} (`{path}`)"

    return _INTO_THE_CODE.sub(shown, markdown) if "/" not in page.file.src_uri else markdown


def settings_page() -> Iterator[str]:
    """Every setting with its default, by the class that the assets share."""
    yield "# Settings\n"
    yield (
        "This page is generated from `assets/core/settings.py`. A value comes from the default below, from the "
        "dataset's `settings` in the catalogue, or from the config of a run; the later one wins. The same name means "
        "the same thing in every asset.\n"
    )
    seen: set[str] = set()
    for _, kind in inspect.getmembers(settings, inspect.isclass):
        if not issubclass(kind, settings.AssetSettings) or kind.__module__ != settings.__name__:
            continue
        fields = {name: field for name, field in kind.model_fields.items() if name not in seen}
        if not fields:
            continue
        seen |= fields.keys()
        yield f"## {(inspect.getdoc(kind) or kind.__name__).splitlines()[0].rstrip('.')}\n"
        yield "| setting | default | meaning |"
        yield "|---|---|---|"
        yield from (f"| `{name}` | {_default(field)} | {_cell(field.description)} |" for name, field in fields.items())
        yield ""


def tables_page() -> Iterator[str]:
    """Every table with the type of every column."""
    yield "# Tables\n"
    yield (
        "This page is generated from `storage/schemas.py`. A table that does not fit its schema is not published. "
        "[Where every file lies](../artifacts.md) has the paths.\n"
    )
    for name, schema in SCHEMAS.items():
        yield f"## {name}\n"
        yield "| column | type |"
        yield "|---|---|"
        yield from (f"| `{field.name}` | {_type(field.type)} |" for field in schema)
        yield ""


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "none"
    value = field.get_default(call_default_factory=True)
    return "not set" if value is None else f"`{value}`"


def _cell(text: str | None) -> str:
    return (text or "").replace("|", "\\|")


def _type(kind: pa.DataType) -> str:
    return f"list of {_type(kind.value_type)}" if pa.types.is_list(kind) else str(kind)
