"""What automation never saw: assets that are missing or out of date when it is switched on, or after a failure."""

import dagster as dg

from assets.core.blocking_checks import blocking_checks
from storage.artifacts.data_root import DataRoot


def out_of_date(definitions: dg.Definitions, root: DataRoot, dataset: str) -> list[str]:
    """The assets of a dataset that are missing, damaged, failed, of other code, or made of something else than now.

    They come in the order in which they are made; what is downstream of one of them is one of them.
    """
    graph = definitions.resolve_asset_graph()
    made: dict[str, str] = {}  # data version of what is there, but for what is out of date
    stale: list[str] = []
    for key in graph.toposorted_asset_keys:
        node, asset = graph.get(key), key.path[-1]
        upstream = [parent.path[-1] for parent in node.parent_keys]
        found = root.find_sound(asset, dataset)
        passed = found is not None and all(found.verdicts.get(check) for check in blocking_checks(asset))
        of_now = found is not None and passed and found.recipe.code_version == node.code_version
        if found and of_now and found.read == {parent: made.get(parent) for parent in upstream}:
            made[asset] = found.data_version
        else:
            stale.append(asset)
    return stale
