"""Training shared by embedding dimension, in real processes: what one process does, whatever their number."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from assets.interactions.splits import TRAIN
from models.distributed.distributed_ranking import rank_share, share_of
from models.distributed.launching import join_processes
from models.distributed.process_group import ProcessGroup
from models.distributed.sharding import shard
from models.errors import ModelError
from models.model_spec import LEARNED
from models.ranking.ranking import Vectors, matrix_of, rank
from models.recommenders.recommender import Recommender
from models.training.build_and_fit import fit, new_model
from models.training.single_process import SINGLE_PROCESS, SingleProcess
from storage.artifacts.saved_models import FileCheckpoint
from tests.models.teams import (
    BATCH,
    CASES,
    DIM,
    ITEMS,
    NEGATIVES,
    STEPS,
    TEXTUAL_DIM,
    USERS,
    VISUAL_DIM,
    configure_model,
    in_team,
    parts,
    run,
    train_set,
)

SIZES = (2, 4)


def run_all(group: SingleProcess) -> dict[str, dict[str, Any]]:
    found = {}
    for name in OF_FOUR if group.size == 4 else CASES:
        if isinstance(group, ProcessGroup):
            group.sent.clear()
        found[name] = run(CASES[name], group)
    return found


# What is also asked of four processes.
OF_FOUR = ("lightgcn, BPR", "lightgcn, softmax, shared", "gate, BPR", "gate, softmax, both", "gate and like items")
PLACES = [(case, size) for size in SIZES for case in (CASES if size == 2 else OF_FOUR)]
# Who goes on with the training that others began.
SUCCESSORS = {1: 2, 2: 4, 4: 1}


def everything(group: SingleProcess, folder: Path) -> dict[str, Any]:
    """All that a group is asked to do in these tests; starting processes is what takes time."""
    found: dict[str, Any] = {"cases": run_all(group)}
    resumed(group, folder / str(group.size), 5)
    if isinstance(group, ProcessGroup):
        before = next(size for size, after in SUCCESSORS.items() if after == group.size)
        resumed(group, folder / str(before), 10)
        found["ranked"] = {block: ranked_together(group, block) for block in (7, 1000)}
        found["fault"], found["half seen"] = ranked_with_a_fault(group), half_seen(group, folder)
    return found


Teams = dict[int, list[dict[str, Any]]]


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of checkpoints after 10 epochs, by who trained for the first 5."""
    return tmp_path_factory.mktemp("checkpoints")


@pytest.fixture(scope="module")
def teams(checkpoints: Path) -> Teams:
    """Of one process, of two and of four, what every rank found."""
    found = {1: [everything(SINGLE_PROCESS, checkpoints)]}
    found |= {size: in_team(checkpoints, size, everything, checkpoints) for size in SIZES}
    resumed(SINGLE_PROCESS, checkpoints / "4", 10)
    return found


@pytest.mark.parametrize(("case", "size"), PLACES)
def test_a_team_trains_as_one_process_does_step_by_step(case: str, size: int, teams: Teams) -> None:
    alone = teams[1][0]["cases"][case]
    assert len(alone["losses"]) == STEPS
    for one in teams[size]:
        np.testing.assert_allclose(one["cases"][case]["losses"], alone["losses"], rtol=0, atol=1e-5)
        assert one["cases"][case]["curve"]["collision_rate"] == alone["curve"]["collision_rate"]
    for name, weight in alone["weights"].items():
        found = teams[size][0]["cases"][case]["weights"][name]
        np.testing.assert_allclose(found, weight, rtol=0, atol=1e-5, err_msg=name)


@pytest.mark.parametrize(("case", "size"), PLACES)
def test_a_team_validates_as_one_process_does_and_all_ranks_agree(case: str, size: int, teams: Teams) -> None:
    first = teams[size][0]["cases"][case]
    assert first["metrics"] == pytest.approx(teams[1][0]["cases"][case]["metrics"], abs=1e-6)
    for one in teams[size][1:]:
        assert one["cases"][case]["metrics"] == first["metrics"]
        assert one["cases"][case]["curve"] == first["curve"]


def test_a_team_of_one_has_the_very_bits_of_one_process(teams: Teams, tmp_path: Path) -> None:
    case = "gate, BPR"
    with join_processes((tmp_path / "store").as_uri(), 0, 1) as group:
        found = run(CASES[case], group)
    alone = teams[1][0]["cases"][case]
    assert found["losses"] == alone["losses"]
    for name, weight in alone["weights"].items():
        np.testing.assert_array_equal(found["weights"][name], weight, err_msg=name)


@pytest.mark.parametrize("size", SIZES)
def test_projections_before_the_gate_are_the_same_on_all_ranks_and_its_rows_are_dealt_out(
    size: int, teams: Teams
) -> None:
    weights = [one["cases"]["gate, softmax, both"]["weights"] for one in teams[size]]
    for rank_, mine in enumerate(weights[1:], start=1):
        for view in ("visual", "textual"):
            name = f"fusion.project_{view}.weight"
            np.testing.assert_array_equal(mine[name], weights[0][name])
        # Rank 0 has put together the whole.
        np.testing.assert_array_equal(mine["fusion.gate.weight"], weights[0]["fusion.gate.weight"][rank_::size])


def drawn(epochs: int = STEPS // 5) -> list[tuple[int, int, int]]:
    """Of every step: its pairs, its distinct users and its distinct shared negatives, drawn as the trainer does."""
    user, generator = train_set().user, torch.Generator().manual_seed(0)
    steps = []
    for _ in range(epochs):
        for batch in torch.randperm(len(user), generator=generator).split(BATCH):
            shared = torch.randint(ITEMS, (NEGATIVES,), generator=generator)
            steps.append((len(batch), len(set(user[batch.numpy()].tolist())), len(set(shared.tolist()))))
    return steps


def sent(teams: Teams, size: int, case: str) -> list[dict[str, int]]:
    return [one["cases"][case]["sent"] for one in teams[size]]


@pytest.mark.parametrize("size", SIZES)
def test_a_step_of_softmax_exchanges_scores_and_squared_norms_alone(size: int, teams: Teams) -> None:
    steps = drawn()
    for found in sent(teams, size, "lightgcn, softmax, shared"):
        assert found["scores"] == sum(4 * users * n for _, users, n in steps)
        assert found["positive_scores"] == sum(4 * batch for batch, _, _ in steps)
        assert found["squared_norms"] == sum(4 * (users + batch + n) for batch, users, n in steps)
        assert found["penalty"] == 4 * STEPS
        in_training = {"scores", "positive_scores", "squared_norms", "penalty"}
        assert found.keys() - in_training == {"weights", "user_vectors", "item_vectors", "metrics", "agreement"}


@pytest.mark.parametrize("size", SIZES)
def test_a_step_of_bpr_exchanges_a_difference_of_scores_a_pair(size: int, teams: Teams) -> None:
    for found in sent(teams, size, "lightgcn, BPR"):
        assert found["scores"] == 4 * len(train_set().user) * (STEPS // 5)
        assert found["penalty"] == 4 * STEPS
        assert "gradients" not in found


@pytest.mark.parametrize("size", SIZES)
def test_the_gate_also_exchanges_gradients_of_its_projections(size: int, teams: Teams) -> None:
    for found in sent(teams, size, "gate, BPR"):
        assert found["gradients"] == 4 * DIM * (VISUAL_DIM + TEXTUAL_DIM) * STEPS


@pytest.mark.parametrize("case", ["half ID, half picture", "concatenated", "summed", "gate held at one half"])
def test_other_content_exchanges_no_gradients(case: str, teams: Teams) -> None:
    assert all("gradients" not in found for found in sent(teams, 2, case))


def place(rank_: int, size: int) -> Any:
    """What `shard` asks a group for, without processes."""
    return SimpleNamespace(rank=rank_, size=size)


def test_a_rank_makes_its_dimensions_of_the_gate_by_its_formula() -> None:
    recommender, _ = configure_model(CASES["gate, BPR"])
    model = new_model(recommender, train_set(), seed=5)
    weights = {name: weight.numpy().copy() for name, weight in model.state_dict().items()}
    content = train_set().content
    assert content is not None
    (x_v, m_v), (x_t, m_t) = ((v.features.numpy(), v.present.numpy()) for v in (content.visual, content.textual))
    v, t = x_v @ weights["fusion.project_visual.weight"].T, x_t @ weights["fusion.project_textual.weight"].T
    g = 1 / (1 + np.exp(-(np.hstack([v, t]) @ weights["fusion.gate.weight"].T + weights["fusion.gate.bias"])))
    expected = m_v * m_t * (g * v + (1 - g) * t) + m_v * (1 - m_t) * v + (1 - m_v) * m_t * t
    shard(model, place(1, 4))
    assert isinstance(model, Recommender)
    users, items = model.layer_0()
    np.testing.assert_array_equal(users.detach(), weights["user_id.weight"][:, 1::4])
    np.testing.assert_allclose(items.detach(), (weights["item_id.weight"] + expected)[:, 1::4], atol=1e-6)


@pytest.mark.parametrize("model", sorted(LEARNED.keys() - {"mmgcn"}))
@pytest.mark.parametrize("size", [2, 4])
def test_before_training_ranks_hold_together_what_one_process_has(model: str, size: int) -> None:
    recommender, _ = configure_model((model, "bpr", {}))
    whole = new_model(recommender, train_set(), seed=5)
    for rank_ in range(size):
        mine = new_model(recommender, train_set(), seed=5)
        shard(mine, place(rank_, size))
        for own, all_ in zip(mine.vectors(), whole.vectors(), strict=True):
            np.testing.assert_allclose(own, all_[:, rank_::size], atol=1e-6)
        gated = "fusion.gate.weight" in dict(whole.named_parameters())
        for name, weight in whole.named_parameters():
            if name in ("user_id.weight", "item_id.weight"):
                expected = weight.detach()[:, rank_::size]
            elif gated and "project" in name:
                expected = weight.detach()
            else:
                expected = weight.detach()[rank_::size]
            torch.testing.assert_close(mine.get_parameter(name).detach(), expected, rtol=0, atol=0)


def test_what_cannot_be_shared_is_refused_in_one_sentence() -> None:
    model = new_model(configure_model(CASES["lightgcn, BPR"])[0], train_set(), seed=0)
    with pytest.raises(ModelError, match=r"^3 processes cannot share the 16 dimensions of user_id\.weight equally$"):
        shard(model, place(0, 3))
    mixing = new_model(configure_model(("mmgcn", "bpr", {}))[0], train_set(), seed=0)
    with pytest.raises(ModelError, match=r"mmgcn.* mixes the dimensions"):
        shard(mixing, place(0, 2))


def resumed(group: SingleProcess, path: Path, epochs: int) -> None:
    case = CASES["gate, softmax, both"]
    recommender, config = configure_model(case, max_epochs=epochs, evaluate_every=5, patience=1000)
    fit(recommender, config, train_set(), lambda *_: 0.5, checkpoint=FileCheckpoint(path), group=group)


def kept(path: Path) -> dict[str, np.ndarray]:
    saved = FileCheckpoint(path).load()
    assert saved is not None
    return saved[0]


@pytest.mark.parametrize(("first", "then"), SUCCESSORS.items())
def test_any_number_of_processes_goes_on_where_another_stopped(
    first: int, then: int, teams: Teams, checkpoints: Path, tmp_path: Path
) -> None:
    resumed(SINGLE_PROCESS, tmp_path / "whole", 10)
    whole, found = kept(tmp_path / "whole"), kept(checkpoints / str(first))
    assert whole.keys() == found.keys()
    assert whole["optimiser/0.step"] == found["optimiser/0.step"] == 10 * 5
    for name, array in whole.items():
        assert found[name].shape == array.shape, name
        np.testing.assert_allclose(found[name], array, rtol=0, atol=1e-5, err_msg=name)


def half_seen(group: ProcessGroup, folder: Path) -> str:
    with pytest.raises(ModelError) as error:
        resumed(group, folder / ("1" if group.rank == 0 else "nothing"), 5)
    return str(error.value)


@pytest.mark.parametrize("size", SIZES)
def test_a_checkpoint_that_only_some_can_see_is_refused_by_all(size: int, teams: Teams) -> None:
    for one in teams[size]:
        assert one["half seen"] == f"1 of {size} processes see the checkpoint; all must see one folder"


def small_numbers(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Vectors of a few small whole numbers: products are exact, and many are equal."""
    rng = np.random.default_rng(seed)
    user, item = (rng.integers(-1, 2, (count, 8)).astype(np.float32) for count in (USERS, ITEMS))
    return user, item


def ranked_together(group: ProcessGroup, block_items: int) -> tuple[np.ndarray, np.ndarray]:
    user, item = (vectors[:, group.rank :: group.size] for vectors in small_numbers(3))
    users, masked = np.arange(1, USERS), matrix_of(*parts().pairs(TRAIN), USERS, ITEMS)
    found = rank_share(Vectors(user, item), users, masked, 20, group, tie_seed=7, block_items=block_items)
    return found.items, found.scores


@pytest.mark.parametrize("block_items", [7, 1000])
@pytest.mark.parametrize("size", SIZES)
def test_users_are_ranked_by_shares_with_the_same_order_of_equal_scores(
    size: int, block_items: int, teams: Teams
) -> None:
    users, masked = np.arange(1, USERS), matrix_of(*parts().pairs(TRAIN), USERS, ITEMS)
    whole = rank(Vectors(*small_numbers(3)), users, masked, 20, tie_seed=7)
    assert (np.diff(whole.scores, axis=1) == 0).mean() > 0.5
    for rank_, one in enumerate(teams[size]):
        items, scores = one["ranked"][block_items]
        np.testing.assert_array_equal(items, whole.items[rank_::size])
        np.testing.assert_array_equal(scores, whole.scores[rank_::size])


def ranked_with_a_fault(group: ProcessGroup) -> str:
    user, item = (vectors[:, group.rank :: group.size].copy() for vectors in small_numbers(3))
    users, masked = np.arange(USERS), matrix_of(*parts().pairs(TRAIN), USERS, ITEMS)
    user[share_of(users, group, rank=1)[0]] = np.nan  # of one user, whom rank 1 ranks
    with pytest.raises(ModelError) as error:
        rank_share(Vectors(user, item), users, masked, 20, group, block_items=7)
    return str(error.value)


@pytest.mark.parametrize("size", SIZES)
def test_a_score_that_is_not_finite_ends_the_ranking_on_all_ranks(size: int, teams: Teams) -> None:
    assert all("not finite" in one["fault"] for one in teams[size])
