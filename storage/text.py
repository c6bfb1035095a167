"""Texts for people."""


def shorten(text: str, characters: int) -> str:
    """A text, or its beginning and an ellipsis, of at most so many characters."""
    return text if len(text) <= characters else text[: characters - 1] + "…"
