"""Parts of the items for which models are evaluated separately: popular, rare and cold ones, those lacking a view."""

import numpy as np

COLD_BELOW = 5
DECILES = 10


def item_strata(popularity: np.ndarray, has_picture: np.ndarray, has_text: np.ndarray) -> dict[str, np.ndarray]:
    """Which items each stratum holds, bool [items] by name.

    `popularity_01` is the tenth of all items with the fewest train interactions, `popularity_10` that with the most;
    items with equally many are taken in the order of their numbers.

    Args:
        popularity: int [items], train interactions; has_picture, has_text: bool [items].
    """
    order = np.argsort(popularity, kind="stable")
    decile = np.empty(len(order), np.int64)
    decile[order] = np.arange(len(order)) * DECILES // len(order)
    tenths = {f"popularity_{number + 1:02d}": decile == number for number in range(DECILES)}
    apart = {"cold_items": popularity < COLD_BELOW, "lacking_picture": ~has_picture, "lacking_text": ~has_text}
    return tenths | apart
