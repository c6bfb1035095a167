"""Users ranked on a Ray cluster, block by block, as a single machine ranks them."""

from collections.abc import Iterator
from functools import partial
from typing import Any

import pyarrow as pa

from assets.core.asset_context import AssetContext
from assets.core.ray_cluster import Shares, on_cluster
from assets.serving.recommend import Recommending
from models.torch_warnings import allow_read_only
from storage.schemas import SCHEMAS


def batches_on_cluster(context: AssetContext, recommending: Recommending) -> Iterator[pa.RecordBatch]:
    """What `Recommending.batches` gives, in the same order; a few blocks at a time pass through here."""
    for rows in on_cluster(context.compute, context.root, partial(ranked_blocks, recommending)):
        yield from rows.to_batches()


def ranked_blocks(recommending: Recommending, shares: Shares) -> Iterator[pa.Table]:
    import ray
    from ray.data import ActorPoolStrategy, DataContext, from_items

    DataContext.get_current().execution_options.preserve_order = True
    starts = [{"start": start} for start in recommending.blocks]
    ranked = from_items(starts, override_num_blocks=len(starts)).map_batches(
        BlockRanker,
        batch_size=1,
        fn_constructor_args=(ray.put(recommending),),
        compute=ActorPoolStrategy(size=shares.workers),
        num_cpus=shares.worker_cpus,
    )
    rows: pa.Table
    for rows in ranked.iter_batches(batch_size=None, batch_format="pyarrow"):
        yield rows.cast(SCHEMAS["recommendations"])


class BlockRanker:
    """Ranks one block of users after another."""

    def __init__(self, held: Any):
        import ray

        allow_read_only()
        self.recommending: Recommending = ray.get(held)

    def __call__(self, rows: dict[str, Any]) -> Iterator[pa.Table]:
        for start in rows["start"].tolist():
            yield pa.Table.from_batches([self.recommending.batch(start)])
