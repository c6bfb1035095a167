"""What the documents tell a reader to type: every block of bash, Python and YAML, page by page, in the order given."""

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass

from storage.environment import PROJECT_ROOT

DOCS = PROJECT_ROOT / "docs"
PAGES = sorted(path.name for path in DOCS.glob("*.md"))
_BLOCK = re.compile(r"^```(bash|python|yaml \S+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Block:
    """One block; `kind` is `bash`, `python`, or the name of the file that a block of YAML is the content of."""

    kind: str
    text: str

    def commands(self) -> Iterator[list[str]]:
        """The words of each command of a block of bash; one may go over several lines, also within quotes."""
        begun = ""
        for line in self.text.replace("\\\n", " ").splitlines():
            begun += line
            try:
                words = shlex.split(begun, comments=True)
            except ValueError:  # a quotation goes on in the next line
                begun += "\n"
                continue
            begun = ""
            if words:
                yield words
        assert not begun, f"{begun} never ends"


def blocks_of(page: str) -> list[Block]:
    """The blocks of a page of docs/, or of README.md."""
    path = PROJECT_ROOT / page if page == "README.md" else DOCS / page
    return [Block(kind.removeprefix("yaml "), text) for kind, text in _BLOCK.findall(path.read_text())]
