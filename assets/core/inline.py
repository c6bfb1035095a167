"""Pictures inside the metadata that the UI shows."""

import base64
from io import BytesIO
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def inline(content: bytes, kind: str) -> str:
    """An encoded picture as Markdown that holds it; `kind` is png or jpeg."""
    return f"![](data:image/{kind};base64,{base64.b64encode(content).decode()})"


def inline_figure(figure: "Figure") -> str:
    """A drawing as Markdown that holds it."""
    file = BytesIO()
    figure.savefig(file, format="png")
    return inline(file.getvalue(), "png")
