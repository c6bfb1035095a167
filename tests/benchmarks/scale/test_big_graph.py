"""The big graph's run, on a small one: its steps are the trainer's own, and those who are judged have test items."""

import numpy as np
import pytest

from benchmarks.resource_usage import in_own_process
from benchmarks.scale.big_graph import Ledger, evaluate_users, first_steps, parts_of, train_set_of
from benchmarks.scale.stages import lightgcn
from models.ranking.ranking import Vectors
from models.training.build_and_fit import fit


def test_the_first_steps_of_a_short_epoch_are_that_epoch() -> None:
    data = train_set_of(parts_of(7_000, 500, 300))
    assert 2 * 2048 < len(data.user) <= 3 * 2048  # an epoch of three steps
    recommender, trainer = lightgcn(1)
    model, history = fit(recommender, trainer.model_copy(update={"max_epochs": 1}), data, lambda *_: 0.0)
    found, took = first_steps(data, recommender, trainer, 3)
    assert (len(history.loss), took.shape) == (1, (3, 2))
    for ours, whole in zip((found.user_vectors, found.item_vectors), model.vectors(), strict=True):
        np.testing.assert_array_equal(ours, whole)


def test_as_many_users_are_judged_as_are_asked_for_and_known_scores_give_known_metrics() -> None:
    parts = parts_of(7_000, 500, 300)
    # Everybody scores an item by its number, so the best of all that is not masked is known.
    by_number = Vectors(np.ones((500, 1), np.float32), np.arange(300, dtype=np.float32)[:, None])
    tested = [user for user in range(500) if ((parts.user == user) & (parts.split == 2)).any()]
    count, metrics = evaluate_users(parts, by_number, 500)
    hits = []
    for user in tested:
        own = parts.user == user
        masked = parts.item[own & (parts.split == 0)]
        best = np.setdiff1d(np.arange(300), masked)[::-1][:5]
        hits.append(np.isin(parts.item[own & (parts.split == 2)], best).any())
    assert count == len(tested)
    assert metrics["hit_rate@5"] == pytest.approx(np.mean(hits))
    assert evaluate_users(parts, by_number, 20)[0] == 20


def peaks() -> tuple[float, float, float]:
    """In MB: of a part that takes 320 MiB, of one that takes nothing, and of both."""
    ledger = Ledger()
    ledger.enter("hungry", lambda: np.ones(40 << 20).sum())
    ledger.enter("modest", lambda: 0)
    return ledger.parts["hungry"]["peak_rss_mb"], ledger.parts["modest"]["peak_rss_mb"], ledger.peak_rss_mb


@pytest.mark.process
def test_the_peak_is_that_of_the_hungriest_part_and_each_part_has_its_own() -> None:
    hungry, modest, both = in_own_process(peaks)  # whose memory nothing else has used before
    assert 300 < hungry - modest < 400
    assert both == hungry
