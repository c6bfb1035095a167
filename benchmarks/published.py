"""What others published on the splits of the MMRec toolbox: test Recall@20 and NDCG@20, train items alone masked.

MMRec's figures are the best of a grid, and those of DiffMM the best epoch, both chosen on test; ours are chosen on
validation. Sources: the toolbox's own tables (enoche/MMRec) and Jiang et al., "DiffMM", MM 2024.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Published:
    """One published row; ours is the name that it has here, if it is made here too."""

    split: str
    model: str
    recall: float
    ndcg: float | None = None
    content: bool = False
    ours: str | None = None


PUBLISHED = (
    Published("baby", "BPR-MF", 0.0575, 0.0249, ours="bpr_mf"),
    Published("baby", "LightGCN", 0.0754, 0.0328, ours="lightgcn"),
    Published("baby", "LATTICE", 0.0850, content=True),
    Published("baby", "BM3", 0.0883, content=True),
    Published("baby", "ADDVAE", 0.0910, content=True),
    Published("baby", "DiffMM", 0.0975, 0.0411, content=True),
    Published("baby", "FREEDOM", 0.0992, 0.0424, content=True),
    Published("sports", "BPR-MF", 0.0653, 0.0298, ours="bpr_mf"),
    Published("sports", "LightGCN", 0.0864, 0.0387, ours="lightgcn"),
    Published("sports", "BM3", 0.0980, content=True),
    Published("sports", "SLMRec", 0.0990, content=True),
    Published("sports", "ADDVAE", 0.1035, content=True),
    Published("sports", "FREEDOM", 0.1089, 0.0481, content=True),
    Published("tiktok", "LightGCN", 0.0653, 0.0282, ours="lightgcn"),
    Published("tiktok", "BM3", 0.0957, 0.0404, content=True),
    Published("tiktok", "DiffMM (with text)", 0.1129, 0.0456, content=True),
)


def published_of(split: str, model: str) -> Published | None:
    """What was published of one of our models on a split."""
    return next((row for row in PUBLISHED if (row.split, row.ours) == (split, model)), None)
