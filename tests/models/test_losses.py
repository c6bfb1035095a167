"""Losses and negatives."""

import numpy as np
import pytest
import torch

from models.losses import bpr_loss, l2_penalty
from models.sampling import UniformNegatives


def test_bpr_is_the_mean_log_odds_of_the_right_order() -> None:
    user = torch.tensor([[1.0, 0.0], [0.0, 2.0]])
    positive = torch.tensor([[3.0, 9.0], [9.0, 1.0]])
    negative = torch.tensor([[1.0, 9.0], [9.0, 2.0]])
    # Differences of scores: 3 - 1 = 2 and 2 - 4 = -2.
    expected = (np.log(1 + np.exp(-2)) + np.log(1 + np.exp(2))) / 2
    assert bpr_loss(user, positive, negative).item() == pytest.approx(expected)


def test_the_penalty_is_half_the_mean_of_the_squared_norms() -> None:
    first, second = torch.tensor([[3.0, 4.0], [0.0, 0.0]]), torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    assert l2_penalty(first, second).item() == pytest.approx((25 + 0 + 1 + 1) / 2 / 2)


def test_negatives_are_uniform_and_a_known_one_is_redrawn_once() -> None:
    # User 0 knows 4 of 5 items: a draw is unknown with 1/5, else drawn again: 1/5 + 4/5 · 1/5 = 0.36.
    known = torch.tensor([0, 0, 0, 0, 1]), torch.tensor([0, 1, 2, 3, 4])
    negatives = UniformNegatives(*known, items=5)
    user = torch.zeros(200_000, dtype=torch.int64)
    drawn = negatives.draw(user, torch.Generator().manual_seed(0))
    shares = torch.bincount(drawn, minlength=5) / len(drawn)
    assert shares[4].item() == pytest.approx(0.36, abs=0.005)
    assert shares[:4].tolist() == pytest.approx([0.16] * 4, abs=0.005)


def test_the_same_seed_draws_the_same_items() -> None:
    negatives = UniformNegatives(torch.tensor([0]), torch.tensor([0]), items=100)
    user = torch.zeros(50, dtype=torch.int64)
    first, second = (negatives.draw(user, torch.Generator().manual_seed(5)) for _ in range(2))
    assert torch.equal(first, second)
