"""Losses, negatives, and the steps that join them."""

import numpy as np
import pytest
import torch

from models.config import RecommenderConfig, TrainerConfig
from models.recommenders.recommender import Recommender
from models.training.losses import bpr_loss, l2_penalty, sampled_softmax_loss
from models.training.objectives import objective_of
from models.training.sampling import TrainItems, UniformNegatives


def test_bpr_is_the_mean_log_odds_of_the_right_order() -> None:
    user = torch.tensor([[1.0, 0.0], [0.0, 2.0]])
    positive = torch.tensor([[3.0, 9.0], [9.0, 1.0]])
    negative = torch.tensor([[1.0, 9.0], [9.0, 2.0]])
    # Differences of scores: 3 - 1 = 2 and 2 - 4 = -2.
    expected = (np.log(1 + np.exp(-2)) + np.log(1 + np.exp(2))) / 2
    assert bpr_loss((user * (positive - negative)).sum(dim=1)).item() == pytest.approx(expected)


def test_the_penalty_is_half_the_mean_of_the_squared_norms() -> None:
    first, second = torch.tensor([[3.0, 4.0], [0.0, 0.0]]), torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    assert l2_penalty(first, second).item() == pytest.approx((25 + 0 + 1 + 1) / 2 / 2)


def test_negatives_are_uniform_and_a_known_one_is_redrawn_once() -> None:
    # User 0 knows 4 of 5 items: a draw is unknown with 1/5, else drawn again: 1/5 + 4/5 · 1/5 = 0.36.
    known = torch.tensor([0, 0, 0, 0, 1]), torch.tensor([0, 1, 2, 3, 4])
    negatives = UniformNegatives(*known, items=5)
    user = torch.zeros(200_000, dtype=torch.int64)
    drawn, collisions = negatives.draw(user, torch.Generator().manual_seed(0))
    shares = torch.bincount(drawn, minlength=5) / len(drawn)
    assert collisions.item() == pytest.approx(0.8, abs=0.005)
    assert shares[4].item() == pytest.approx(0.36, abs=0.005)
    assert shares[:4].tolist() == pytest.approx([0.16] * 4, abs=0.005)


def test_the_same_seed_draws_the_same_items() -> None:
    negatives = UniformNegatives(torch.tensor([0]), torch.tensor([0]), items=100)
    user = torch.zeros(50, dtype=torch.int64)
    first, second = (negatives.draw(user, torch.Generator().manual_seed(5))[0] for _ in range(2))
    assert torch.equal(first, second)


def test_softmax_is_the_mean_log_chance_of_the_positive() -> None:
    positive, negative = torch.tensor([1.0, 0.0]), torch.tensor([[1.0, -torch.inf], [2.0, 3.0]])
    # Chances e / (e + e) = 1/2 and 1 / (1 + e² + e³).
    expected = (np.log(2) + np.log(1 + np.exp(2) + np.exp(3))) / 2
    assert sampled_softmax_loss(positive, negative, torch.tensor([0, 1])).item() == pytest.approx(expected)


def test_positives_of_one_user_share_its_negatives() -> None:
    positive = torch.tensor([1.0, -2.0, 0.0])
    # The first user has two positives, against e + e² each; all negatives of the second one are left out.
    negative = torch.tensor([[1.0, 2.0], [-torch.inf, -torch.inf]])
    total = np.exp(1) + np.exp(2)
    expected = (np.log((np.exp(1) + total) / np.exp(1)) + np.log((np.exp(-2) + total) / np.exp(-2)) + 0) / 3
    found = sampled_softmax_loss(positive, negative.clone(), torch.tensor([0, 0, 1]))
    assert found.item() == pytest.approx(expected, rel=1e-6)


def test_logits_far_apart_are_no_infinity() -> None:
    positive = torch.tensor([-300.0, 300.0], requires_grad=True)
    negative = torch.tensor([[300.0, 299.0]], requires_grad=True)
    loss = sampled_softmax_loss(positive, negative * 1.0, torch.tensor([0, 0]))
    loss.backward()
    # 600 + log(1 + 1/e) of the first, log(2 + 1/e) of the second.
    assert loss.item() == pytest.approx((600 + np.log(1 + np.exp(-1)) + np.log(2 + np.exp(-1))) / 2)
    assert torch.isfinite(positive.grad).all()
    assert torch.isfinite(negative.grad).all()


def test_the_gradient_of_softmax_is_that_of_its_formula() -> None:
    positive, negative = torch.randn(5, requires_grad=True), torch.randn(3, 4, requires_grad=True)
    row = torch.tensor([2, 0, 0, 1, 0])
    both = torch.cat([positive[:, None], negative[row]], dim=1)
    expected = torch.autograd.grad((torch.logsumexp(both, dim=1) - positive).mean() * 5, [positive, negative])
    found = torch.autograd.grad(sampled_softmax_loss(positive, negative * 1.0, row) * 5, [positive, negative])
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other)


TRAIN = torch.tensor([0, 0, 0, 2]), torch.tensor([1, 4, 2, 1])  # user 1 has none


def test_train_items_are_found_counted_and_masked_by_the_rows_of_a_batch() -> None:
    train = TrainItems(*TRAIN, users=3, items=5)
    row, item = train.of(torch.tensor([2, 1, 0]))
    assert sorted(zip(row.tolist(), item.tolist(), strict=True)) == [(0, 1), (2, 1), (2, 2), (2, 4)]
    expected = [[False, True, False], [False] * 3, [True, True, False]]
    assert train.known(3, row, item, torch.tensor([4, 1, 0])).tolist() == expected
    # The first row counts twice: 2 x 2 of its pairs, and 3 of the last one's.
    times = torch.tensor([2, 1, 1])
    assert train.share(times, row, item, torch.tensor([4, 1, 1, 0])).item() == pytest.approx(7 / 16)


def softmax_of(negatives: str, users: int = 3, items: int = 5, **config: float) -> tuple[float, float, np.ndarray]:
    """Loss and collision rate of the batch (0, 1), (2, 1), (0, 4), and the cosines of all users and items."""
    torch.manual_seed(3)
    model = Recommender(RecommenderConfig(layers=0, dim=4), users, items)
    settings = TrainerConfig(loss="softmax", softmax_negatives=negatives, temperature=0.5, l2=0, **config)
    objective = objective_of(settings, *TRAIN, users, items)
    batch = torch.tensor([0, 2, 0]), torch.tensor([1, 1, 4])
    loss, collisions = objective(model, *batch, torch.Generator().manual_seed(0))
    user, item = (part / np.linalg.norm(part, axis=1, keepdims=True) for part in model.vectors())
    return loss.item(), collisions.item(), user @ item.T


def test_in_batch_negatives_are_corrected_for_popularity_and_known_ones_left_out() -> None:
    loss, collisions, cosine = softmax_of("in_batch", logq_weight=0.7)
    # Columns are the items 1, 1, 4. User 0 has all of them in train; user 2 has item 1, and is set against item 4,
    # which holds 1/4 of train where an item of mean popularity would hold 1/5.
    right, wrong = cosine[2, 1] / 0.5, cosine[2, 4] / 0.5 - 0.7 * np.log(5 / 4)
    assert loss == pytest.approx(np.log(1 + np.exp(wrong - right)) / 3, rel=1e-5)
    assert collisions == pytest.approx(8 / 9)


@pytest.mark.parametrize("items", [5, 1000])  # histories are 4/15 of all items, or 4/3000: long, or short
def test_shared_negatives_are_masked_where_histories_are_long(items: int) -> None:
    loss, _, cosine = softmax_of("shared", items=items, shared_negatives=64)
    shared = torch.randint(items, (64,), generator=torch.Generator().manual_seed(0)).tolist()
    known = {0: {1, 4, 2}, 2: {1}} if items == 5 else {0: set(), 2: set()}
    terms = []
    for user, positive in ((0, 1), (2, 1), (0, 4)):
        against = [np.exp(cosine[user, item] / 0.5) for item in shared if item not in known[user]]
        right = np.exp(cosine[user, positive] / 0.5)
        terms.append(-np.log(right / (right + sum(against))))
    assert loss == pytest.approx(np.mean(terms), rel=1e-5)


def test_both_kinds_of_negatives_stand_in_one_sum() -> None:
    loss, _, cosine = softmax_of("both", items=1000, shared_negatives=8, logq_weight=0)
    shared = torch.randint(1000, (8,), generator=torch.Generator().manual_seed(0)).tolist()
    terms = []
    for user, positive, against in ((0, 1, shared), (2, 1, [4, *shared]), (0, 4, shared)):
        right = np.exp(cosine[user, positive] / 0.5)
        terms.append(-np.log(right / (right + np.exp(cosine[user, against] / 0.5).sum())))
    assert loss == pytest.approx(np.mean(terms), rel=1e-5)
