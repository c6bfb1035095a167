"""Training shared by embedding dimension, in real processes: what one process does, whatever their number."""

import itertools
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import multiprocessing

import models.trainer
from assets.interactions.splits import TEST, TRAIN, VALIDATION, Parts
from assets.training.held_out import HeldOut
from models.config import RecommenderConfig, TrainerConfig
from models.errors import ModelError
from models.fitting import Content, TrainSet, fit, new_model
from models.fusion import Modality
from models.launching import team_of
from models.propagation import normalised_adjacency
from models.ranking import Vectors, matrix_of, rank
from models.recommender import Recommender
from models.sharding import axes_of, cut, shard
from models.shared_ranking import rank_share, share_of
from models.team import ALONE, Alone, Team, joined
from models.zoo import LEARNED
from storage.models import FileCheckpoint

USERS, ITEMS, DIM, STEPS = 60, 50, 16, 50
VISUAL_DIM, TEXTUAL_DIM = 12, 20
SIZES = (2, 4)
BATCH, NEGATIVES = 128, 32


def parts() -> Parts:
    """Random pairs, a fifth of them held out; the last user and the last item have none in train."""
    rng = np.random.default_rng(0)
    user, item = np.divmod(np.unique(rng.integers(0, USERS * ITEMS, 800)), ITEMS)
    split = rng.choice([TRAIN, VALIDATION, TEST], len(user), p=[0.8, 0.1, 0.1]).astype(np.int8)
    split[(split == TRAIN) & ((user == USERS - 1) | (item == ITEMS - 1))] = TEST
    return Parts(user, item, split, USERS, ITEMS)


def train_set() -> TrainSet:
    """Every kind of item: with both views, with one of them, with neither (the last, which has no edges either)."""
    rng = np.random.default_rng(1)
    has = rng.random((2, ITEMS)) < 0.7
    has[:, -1] = False
    assert all(((has[0] == one) & (has[1] == other)).any() for one, other in itertools.product([0, 1], repeat=2))
    views = [
        Modality.of(rng.normal(size=(ITEMS, dim)).astype(np.float32), there)
        for dim, there in zip((VISUAL_DIM, TEXTUAL_DIM), has, strict=True)
    ]
    nearest = [np.where(there[:, None], rng.integers(0, ITEMS, (ITEMS, 20)), -1).astype(np.int32) for there in has]
    pairs = parts().pairs(TRAIN)
    return TrainSet(*pairs, USERS, ITEMS, normalised_adjacency(*pairs, USERS, ITEMS), Content(*views, *nearest))


Case = tuple[str, str, dict[str, Any]]
CASES: dict[str, Case] = {
    "lightgcn, BPR": ("lightgcn", "bpr", {}),
    "lightgcn, softmax, shared": ("lightgcn", "softmax", {}),
    "lightgcn, softmax, in batch": ("lightgcn", "softmax", {"softmax_negatives": "in_batch"}),
    "gate, BPR": ("gated_lightgcn", "bpr", {"score": "cosine"}),
    "gate, softmax, both": ("gated_lightgcn", "softmax", {"softmax_negatives": "both", "l2": 0.01}),
    "gate without IDs": ("ablation_no_id", "softmax", {}),  # a vector of zeros is among the items
    "gate and like items": ("gated_lightgcn_plus", "softmax", {"item_graph_layers": 2}),
    "half ID, half picture": ("vbpr", "bpr", {}),
    "concatenated": ("ablation_concat", "softmax", {}),
    "summed": ("ablation_sum", "bpr", {}),
    "gate held at one half": ("ablation_no_gate", "bpr", {}),
}


def configured(case: Case, **given: Any) -> tuple[RecommenderConfig, TrainerConfig]:
    model, loss, settings = case
    common = {"dim": DIM, "shared_negatives": NEGATIVES, "learning_rate": 0.003, "batch_size": BATCH, "device": "cpu"}
    values = common | settings | given | LEARNED[model].made_of | {"loss": loss}
    return RecommenderConfig.model_validate(values), TrainerConfig.model_validate(values)


def run(case: Case, team: Alone = ALONE, **given: Any) -> dict[str, Any]:
    """The losses of all steps, the last weights and vectors, and validation by every metric."""
    made_of, config = configured(case, **{"max_epochs": STEPS // 5, "evaluate_every": STEPS // 5} | given)
    losses: list[float] = []
    original, held_out = models.trainer.objective_of, HeldOut.of(parts(), VALIDATION)
    metrics: dict[tuple[str, int], float] = {}

    def recording(*asked: Any) -> Callable[..., Any]:
        objective = original(*asked)

        def step(*batch: Any) -> Any:
            loss, collisions = objective(*batch)
            losses.append(loss.item())
            return loss, collisions

        return step

    def validate(user: np.ndarray, item: np.ndarray) -> float:
        metrics.update(held_out.means(Vectors(user, item, made_of.score), team=team))
        return metrics["ndcg", 20]

    models.trainer.objective_of = recording  # type: ignore[assignment]
    try:
        model, history = fit(made_of, config, train_set(), validate, team=team)
    finally:
        models.trainer.objective_of = original
    weights = {name: weight.numpy() for name, weight in model.state_dict().items()}
    curve, sent = history.model_dump(exclude={"seconds"}), dict(team.sent) if isinstance(team, Team) else {}
    return {"losses": losses, "weights": weights, "metrics": metrics, "curve": curve, "sent": sent}


def run_all(team: Alone) -> dict[str, dict[str, Any]]:
    found = {}
    for name in OF_FOUR if team.size == 4 else CASES:
        if isinstance(team, Team):
            team.sent.clear()
        found[name] = run(CASES[name], team)
    return found


def begun(
    folder: Path, size: int, job: Callable[..., Any], *given: Any, timeout_s: float = 60
) -> tuple[list[Any], Any]:
    """The processes of a team that run `job(team, *given)`, and the queue of (rank, what it returns)."""
    context = multiprocessing.get_context("spawn")
    queue, store = context.Queue(), (folder / f"store-{size}").as_uri()
    places = [(store, rank_, size, timeout_s) for rank_ in range(size)]
    members = [context.Process(target=_member, args=(queue, place, job, given), daemon=True) for place in places]
    for member in members:
        member.start()
    return members, queue


def _member(queue: Any, place: tuple[str, int, int, float], job: Callable[..., Any], given: tuple[Any, ...]) -> None:
    torch.set_num_threads(1)
    with joined(*place) as team:
        queue.put((team.rank, job(team, *given)))


def in_team(folder: Path, size: int, job: Callable[..., Any], *given: Any) -> list[Any]:
    """What `job(team, *given)` returns in every process of a team, by rank."""
    members, queue = begun(folder, size, job, *given)
    found = dict(queue.get(timeout=120) for _ in members)
    for member in members:
        member.join()
    return [found[rank_] for rank_ in range(size)]


# What is also asked of four processes.
OF_FOUR = ("lightgcn, BPR", "lightgcn, softmax, shared", "gate, BPR", "gate, softmax, both", "gate and like items")
PLACES = [(case, size) for size in SIZES for case in (CASES if size == 2 else OF_FOUR)]
# Who goes on with the training that others began.
SUCCESSORS = {1: 2, 2: 4, 4: 1}


def everything(team: Alone, folder: Path) -> dict[str, Any]:
    """All that a team is asked to do in these tests; starting processes is what takes time."""
    found: dict[str, Any] = {"cases": run_all(team)}
    resumed(team, folder / str(team.size), 5)
    if isinstance(team, Team):
        before = next(size for size, after in SUCCESSORS.items() if after == team.size)
        resumed(team, folder / str(before), 10)
        found["ranked"] = {block: ranked_together(team, block) for block in (7, 1000)}
        found["fault"], found["half seen"] = ranked_with_a_fault(team), half_seen(team, folder)
    return found


Teams = dict[int, list[dict[str, Any]]]


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of checkpoints after 10 epochs, by who trained for the first 5."""
    return tmp_path_factory.mktemp("checkpoints")


@pytest.fixture(scope="module")
def teams(checkpoints: Path) -> Teams:
    """Of one process, of two and of four, what every rank found."""
    found = {1: [everything(ALONE, checkpoints)]}
    found |= {size: in_team(checkpoints, size, everything, checkpoints) for size in SIZES}
    resumed(ALONE, checkpoints / "4", 10)
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
    with joined((tmp_path / "store").as_uri(), 0, 1) as team:
        found = run(CASES[case], team)
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


def drawn(epochs: int = STEPS // 5) -> list[tuple[int, int]]:
    """Sizes of every step's batch and of what of its shared negatives are distinct, drawn as the trainer does."""
    train, generator = len(train_set().user), torch.Generator().manual_seed(0)
    steps = []
    for _ in range(epochs):
        torch.randperm(train, generator=generator)
        for start in range(0, train, BATCH):
            shared = torch.randint(ITEMS, (NEGATIVES,), generator=generator)
            steps.append((min(BATCH, train - start), len(set(shared.tolist()))))
    return steps


def sent(teams: Teams, size: int, case: str) -> list[dict[str, int]]:
    return [one["cases"][case]["sent"] for one in teams[size]]


@pytest.mark.parametrize("size", SIZES)
def test_a_step_of_softmax_exchanges_scores_and_squared_norms_alone(size: int, teams: Teams) -> None:
    steps = drawn()
    for found in sent(teams, size, "lightgcn, softmax, shared"):
        assert found["scores"] + found["positive_scores"] == sum(4 * batch * (n + 1) for batch, n in steps)
        assert found["squared_norms"] == sum(4 * (2 * batch + n) for batch, n in steps)
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
    """What `shard` asks a team for, without processes."""
    return SimpleNamespace(rank=rank_, size=size)


def test_a_rank_makes_its_dimensions_of_the_gate_by_its_formula() -> None:
    made_of, _ = configured(CASES["gate, BPR"])
    model = new_model(made_of, train_set(), seed=5)
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
    made_of, _ = configured((model, "bpr", {}))
    whole = new_model(made_of, train_set(), seed=5)
    for rank_ in range(size):
        mine = new_model(made_of, train_set(), seed=5)
        shard(mine, place(rank_, size))
        for own, all_ in zip(mine.vectors(), whole.vectors(), strict=True):
            np.testing.assert_allclose(own, all_[:, rank_::size], atol=1e-6)
        for name, axis in axes_of(whole).items():
            expected = cut(whole.get_parameter(name).detach(), axis, place(rank_, size))
            torch.testing.assert_close(mine.get_parameter(name).detach(), expected, rtol=0, atol=0)


def test_what_cannot_be_shared_is_refused_in_one_sentence() -> None:
    model = new_model(configured(CASES["lightgcn, BPR"])[0], train_set(), seed=0)
    with pytest.raises(ModelError, match=r"^3 processes cannot share the 16 dimensions of user_id\.weight equally$"):
        shard(model, place(0, 3))
    mixing = new_model(configured(("mmgcn", "bpr", {}))[0], train_set(), seed=0)
    with pytest.raises(ModelError, match=r"mmgcn.* mixes the dimensions"):
        shard(mixing, place(0, 2))


def resumed(team: Alone, path: Path, epochs: int) -> None:
    case = CASES["gate, softmax, both"]
    made_of, config = configured(case, max_epochs=epochs, evaluate_every=5, patience=1000)
    fit(made_of, config, train_set(), lambda *_: 0.5, checkpoint=FileCheckpoint(path), team=team)


def kept(path: Path) -> dict[str, np.ndarray]:
    saved = FileCheckpoint(path).load()
    assert saved is not None
    return saved[0]


@pytest.mark.parametrize(("first", "then"), SUCCESSORS.items())
def test_any_number_of_processes_goes_on_where_another_stopped(
    first: int, then: int, teams: Teams, checkpoints: Path, tmp_path: Path
) -> None:
    resumed(ALONE, tmp_path / "whole", 10)
    whole, found = kept(tmp_path / "whole"), kept(checkpoints / str(first))
    assert whole.keys() == found.keys()
    assert whole["optimiser/0.step"] == found["optimiser/0.step"] == 10 * 5
    for name, array in whole.items():
        assert found[name].shape == array.shape, name
        np.testing.assert_allclose(found[name], array, rtol=0, atol=1e-5, err_msg=name)


def half_seen(team: Team, folder: Path) -> str:
    with pytest.raises(ModelError) as error:
        resumed(team, folder / ("1" if team.rank == 0 else "nothing"), 5)
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


def ranked_together(team: Team, block_items: int) -> tuple[np.ndarray, np.ndarray]:
    user, item = (vectors[:, team.rank :: team.size] for vectors in small_numbers(3))
    users, masked = np.arange(1, USERS), matrix_of(*parts().pairs(TRAIN), USERS, ITEMS)
    found = rank_share(Vectors(user, item), users, masked, 20, team, tie_seed=7, block_items=block_items)
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


def ranked_with_a_fault(team: Team) -> str:
    user, item = (vectors[:, team.rank :: team.size].copy() for vectors in small_numbers(3))
    users, masked = np.arange(USERS), matrix_of(*parts().pairs(TRAIN), USERS, ITEMS)
    user[share_of(users, team, rank=1)[0]] = np.nan  # of one user, whom rank 1 ranks
    with pytest.raises(ModelError) as error:
        rank_share(Vectors(user, item), users, masked, 20, team, block_items=7)
    return str(error.value)


@pytest.mark.parametrize("size", SIZES)
def test_a_score_that_is_not_finite_ends_the_ranking_on_all_ranks(size: int, teams: Teams) -> None:
    assert all("not finite" in one["fault"] for one in teams[size])


def endless(team: Team, folder: Path) -> tuple[str, float]:
    """Train until it fails; what it said, and when that was after rank 1 was gone."""
    (folder / str(team.rank)).write_text(str(os.getpid()))
    with pytest.raises(ModelError) as error:
        run(CASES["lightgcn, BPR"], team, max_epochs=10**6, evaluate_every=10**6, dim=24)
    return str(error.value), time.time()


@pytest.mark.parametrize(
    ("fault", "size"),
    [
        (signal.SIGKILL, 2),
        pytest.param(signal.SIGKILL, 4, marks=pytest.mark.long),
        pytest.param(signal.SIGSTOP, 3, marks=pytest.mark.long),
    ],
)
def test_a_process_that_dies_or_hangs_ends_the_others_with_one_sentence(
    fault: signal.Signals, size: int, tmp_path: Path
) -> None:
    patience_s = 5.0
    members, queue = begun(tmp_path, size, endless, tmp_path, timeout_s=patience_s)
    try:
        while not all((tmp_path / str(rank_)).exists() for rank_ in range(size)):
            time.sleep(0.1)
        time.sleep(1)
        os.kill(int((tmp_path / "1").read_text()), fault)
        struck = time.time()
        for _ in range(size - 1):
            rank_, (message, when) = queue.get(timeout=60)
            assert (
                message == f"process {rank_} of the {size} that share a training lost another: it ended or fell silent"
            )
            assert 0 < when - struck < 4 * patience_s
    finally:
        for member in members:
            member.kill()
            member.join()


def test_a_process_begins_the_others_by_itself_and_they_end_with_it() -> None:
    case = CASES["gate, softmax, both"]
    with team_of(2, helping, case) as team:
        found = run(case, team)
        names = {process.name for process in multiprocessing.active_children()}
        assert len(names) == 1
    assert not multiprocessing.active_children()
    for name, weight in run(case)["weights"].items():
        np.testing.assert_allclose(found["weights"][name], weight, rtol=0, atol=1e-5, err_msg=name)


def helping(team: Alone, case: Case) -> None:
    run(case, team)


class Deadly:
    """Ends the process that unpacks it."""

    def __reduce__(self) -> Any:
        return os._exit, (1,)


def test_a_process_that_cannot_begin_is_told_at_once() -> None:
    with (
        pytest.raises(ModelError, match=r"^process 1 of the 2 that were to share a training ended at once$"),
        team_of(2, helping, Deadly()),
    ):
        pytest.fail("nothing is trained by half a team")


def failing(team: Alone) -> None:
    raise ModelError("the helper has had enough")


def test_a_helper_that_fails_fails_the_team(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ModelError, match="lost another"), team_of(2, failing) as team:
        run(CASES["lightgcn, BPR"], team)
    assert "the helper has had enough" in capfd.readouterr().err
