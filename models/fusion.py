"""Gated fusion of what an item looks like and what is written about it.

After Liu et al., "Gated Multimodal Graph Learning for Personalized Recommendation", arXiv 2506.00107; the exact form is
our reading of its abstract.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class Modality:
    """One frozen view of all items.

    Attributes:
        features: float32 [n, d_m], centred over the items that have it and L2-normalised; zeros elsewhere.
        present: float32 [n, 1], 1 where an item has it.
    """

    features: Tensor
    present: Tensor

    @classmethod
    def of(cls, matrix: np.ndarray, has_value: np.ndarray) -> "Modality":
        """Prepare an embedding matrix float32 [n, d_m]; `has_value` is bool [n]."""
        features = np.zeros_like(matrix, dtype=np.float32)
        if has_value.any():
            there = matrix[has_value]
            centred = there - there.mean(axis=0)
            features[has_value] = centred / np.maximum(np.linalg.norm(centred, axis=1, keepdims=True), 1e-12)
        return cls(torch.from_numpy(features), torch.from_numpy(has_value.astype(np.float32))[:, None])


class GatedFusion(nn.Module):
    """v = P_v x_v, t = P_t x_t, g = σ(W [v; t] + b), per dimension; an item lacking one view is given by the other:

    c = m_v m_t (g ⊙ v + (1 − g) ⊙ t) + m_v (1 − m_t) v + (1 − m_v) m_t t
    """

    visual_features: Tensor
    visual_present: Tensor
    textual_features: Tensor
    textual_present: Tensor

    def __init__(self, visual: Modality, textual: Modality, dim: int):
        super().__init__()
        for name, modality in (("visual", visual), ("textual", textual)):
            self.register_buffer(f"{name}_features", modality.features, persistent=False)
            self.register_buffer(f"{name}_present", modality.present, persistent=False)
        self.project_visual = nn.Linear(visual.features.shape[1], dim, bias=False)
        self.project_textual = nn.Linear(textual.features.shape[1], dim, bias=False)
        self.gate = nn.Linear(2 * dim, dim)

    def forward(self) -> Tensor:
        """Content vectors of all items, [n, dim]."""
        visual, textual = self.contributions()
        return visual + textual

    def contributions(self) -> tuple[Tensor, Tensor]:
        """What each view adds to the content vector, gated where both are there: two tensors [n, dim]."""
        m_v, m_t = self.visual_present, self.textual_present  # [n, 1]
        v = m_v * self.project_visual(self.visual_features)  # [n, dim]
        t = m_t * self.project_textual(self.textual_features)
        g = torch.sigmoid(self.gate(torch.cat([v, t], dim=1)))
        both = m_v * m_t
        return (both * g + (1 - both)) * v, (both * (1 - g) + (1 - both)) * t

    @torch.no_grad()
    def visual_share(self) -> Tensor:
        """‖visual part‖ / (‖visual part‖ + ‖textual part‖) for every item, [n]; NaN where an item has neither view."""
        visual, textual = (part.norm(dim=1) for part in self.contributions())
        return visual / (visual + textual)
