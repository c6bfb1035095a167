"""What the items' pictures and texts add to their vectors: one view, both, or both as a gate weighs them.

The gate is after Liu et al., "Gated Multimodal Graph Learning for Personalized Recommendation", arXiv 2506.00107; the
exact form is our reading of its abstract. The other ways to fuse are what it is compared with.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn

MOSTLY_PRESENT = 0.8  # above this share of items that have a view, all are projected: to pick them would cost more

Fusing = Literal["visual", "text", "sum", "mean", "concat", "gated"]


@dataclass(frozen=True)
class Modality:
    """One frozen view of all items.

    Attributes:
        features: float32 [n, d_m], centred over the (known) items that have it and L2-normalised; zeros elsewhere.
        present: float32 [n, 1], 1 where an item has it.
    """

    features: Tensor
    present: Tensor

    @classmethod
    def of(cls, matrix: np.ndarray, has_value: np.ndarray, known: np.ndarray | None = None) -> "Modality":
        """Prepare an embedding matrix float32 [n, d_m]; `has_value` is bool [n].

        `known`, bool [n], says which items decide where the centre is; all by default.
        """
        features = np.zeros_like(matrix, dtype=np.float32)
        if has_value.any():
            there = matrix[has_value].astype(np.float32)
            inside = there if known is None else there[known[has_value]]
            centred = there - (inside.mean(axis=0) if len(inside) else 0)
            features[has_value] = centred / np.maximum(np.linalg.norm(centred, axis=1, keepdims=True), 1e-12)
        return cls(torch.from_numpy(features), torch.from_numpy(has_value.astype(np.float32))[:, None])


class Fusion(nn.Module):
    """v = P_v x_v and t = P_t x_t; m_v, m_t ∈ {0, 1} say which of them an item has. The content c of an item is

        visual: m_v v                text: m_t t                sum: m_v v + m_t t
        concat: [m_v v; m_t t], half of the dimensions each
        gated:  m_v m_t (g ⊙ v + (1 − g) ⊙ t) + m_v (1 − m_t) v + (1 − m_v) m_t t   with g = σ(W [v; t] + b)
        mean:   the same with g = ½

    Args:
        visual, textual: two views of the same items; of the one that `fusing` does not use, nothing is kept.
        dim: length of a content vector.
    """

    visual_features: Tensor
    visual_present: Tensor
    visual_rows: Tensor | None
    textual_features: Tensor
    textual_present: Tensor
    textual_rows: Tensor | None

    def __init__(self, fusing: Fusing, visual: Modality, textual: Modality, dim: int):
        super().__init__()
        self.fusing, self.dim = fusing, dim
        self.kept = slice(None)  # of a gate whose output is shared, the dimensions made here; its W has their rows
        visual_dim, textual_dim = (dim - dim // 2, dim // 2) if fusing == "concat" else (dim, dim)
        if fusing != "text":
            self._keep("visual", visual)
            self.project_visual = nn.Linear(visual.features.shape[1], visual_dim, bias=False)
        if fusing != "visual":
            self._keep("textual", textual)
            self.project_textual = nn.Linear(textual.features.shape[1], textual_dim, bias=False)
        if fusing == "gated":
            self.gate = nn.Linear(2 * dim, dim)

    def _keep(self, name: str, modality: Modality) -> None:
        """Keep a view; where many items lack it, its features are those of the others alone, and their numbers."""
        rows = modality.present[:, 0].nonzero()[:, 0]
        is_whole = len(rows) > MOSTLY_PRESENT * len(modality.present)
        features = modality.features if is_whole else modality.features.index_select(0, rows)
        self.register_buffer(f"{name}_features", features, persistent=False)
        self.register_buffer(f"{name}_present", modality.present, persistent=False)
        self.register_buffer(f"{name}_rows", None if is_whole else rows, persistent=False)

    def _project(self, features: Tensor, present: Tensor, rows: Tensor | None, project: nn.Linear) -> Tensor:
        """The projected view of all items, [n, dim]; zeros where an item lacks it."""
        projected = project(features)
        if rows is None:
            return present * projected
        return projected.new_zeros(len(present), projected.shape[1]).index_copy(0, rows, projected)

    def _visual(self) -> Tensor:
        return self._project(self.visual_features, self.visual_present, self.visual_rows, self.project_visual)

    def _textual(self) -> Tensor:
        return self._project(self.textual_features, self.textual_present, self.textual_rows, self.project_textual)

    def forward(self) -> Tensor:
        """Content vectors of all items, [n, dim]."""
        parts = [part for part in self.contributions() if part is not None]
        return torch.cat(parts, dim=1) if self.fusing == "concat" else sum(parts[1:], start=parts[0])

    def contributions(self) -> tuple[Tensor | None, Tensor | None]:
        """What each view adds to the content, weighed where both are there: two tensors [n, dim], or None if unused.

        For `concat` they are as long as their part of the content.
        """
        if self.fusing == "text":
            return None, self._textual()
        v = self._visual()  # [n, dim]
        if self.fusing == "visual":
            return v, None
        t = self._textual()
        if self.fusing in ("sum", "concat"):
            return v, t
        g: Tensor | float = 0.5
        if self.fusing == "gated":
            g = torch.sigmoid(self.gate(torch.cat([v, t], dim=1)))
            v, t = v[:, self.kept], t[:, self.kept]
        both = self.visual_present * self.textual_present  # [n, 1]
        return (both * g + (1 - both)) * v, (both * (1 - g) + (1 - both)) * t

    @torch.no_grad()
    def visual_share(self) -> Tensor | None:
        """‖visual part‖ / (‖visual part‖ + ‖textual part‖) for every item, [n]; NaN where an item has neither view.

        None where one view alone is used.
        """
        visual, textual = self.contributions()
        if visual is None or textual is None:
            return None
        return visual.norm(dim=1) / (visual.norm(dim=1) + textual.norm(dim=1))
