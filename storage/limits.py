"""Limits of values that come from outside. What exceeds one is rejected or cut, and counted."""

MAX_ID_BYTES = 512
MAX_URL_CHARACTERS = 8_192
MAX_PICTURES = 500  # of an item
MAX_PARTS = 1_000  # of a field that is a list of texts
MAX_TEXT_CHARACTERS = 4_096  # of a title, a brand or a category
