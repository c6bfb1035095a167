"""Trains one model of a published dataset on the processes that `torchrun` or Ray Train has begun, on any machines.

    torchrun --nproc-per-node 2 -m assets.training.distributed --dataset sample --model gated_lightgcn --out FOLDER
    python -m assets.training.distributed --ray 2 --dataset sample --model gated_lightgcn --out FOLDER

All processes need the same data root (`REC_DATA`), `--out` and `--checkpoint`. It publishes what the asset of the
model would for one loss and seed, with the same settings, but below `--out`, and prints what was exchanged as JSON.
"""

import argparse
import json
import logging
import os
import shutil
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, get_args

import scipy.sparse as sp
from pydantic import BaseModel, field_validator

from assets.core.asset_context import common_numbering, refuse_failed
from assets.core.compute import Compute
from assets.core.effective_settings import resolve_settings
from assets.core.io_managers import ArraysIOManager, TablesIOManager
from assets.core.ray_cluster import Shares, on_cluster, own_error
from assets.core.settings import ModelSettings
from assets.interactions.splits import VALIDATION
from assets.training.fit_one import on_processors, saved_model, train_model
from assets.training.held_out import HeldOut
from assets.training.inputs import inputs_of
from assets.training.model_config import chosen_values, configure_model
from assets.training.train_set import everything, train_set
from models.config import Loss, RecommenderConfig, TrainerConfig
from models.distributed.launching import TIMEOUT_S, join_processes
from models.distributed.process_group import ProcessGroup
from models.distributed.sharding import ShardedTraining
from models.errors import ModelError
from models.model_spec import LEARNED
from models.training.build_and_fit import TrainSet
from storage.artifacts.arrays import NearestItems
from storage.artifacts.data_root import DataRoot
from storage.artifacts.saved_models import FileCheckpoint, SavedModels, write_models
from storage.catalogue import load_catalogue
from storage.errors import InputError
from storage.progress import Progress


class Task(BaseModel):
    """One training of one dataset, as it is sent to processes that know nothing else.

    Attributes:
        root: the data root, which all of them see.
        out: a folder for the trained model; checkpoint: a file that a training broken off goes on from.
        timeout_s: a process that waits longer for another gives up.
        on_everything: whether all interactions are learned from, and nothing is validated.
        variant: see `storage.artifacts.data_root.DataRoot`.
    """

    root: Path
    dataset: str
    model: str
    recommender: RecommenderConfig
    training: TrainerConfig
    out: Path
    checkpoint: Path | None = None
    timeout_s: float = TIMEOUT_S
    on_everything: bool = False
    variant: str = ""

    @field_validator("root", "out", "checkpoint")
    @classmethod
    def _wherever_a_process_runs(cls, path: Path | None) -> Path | None:
        return path and path.absolute()


def train(task: Task, group: ProcessGroup, on_epoch: Callable[[], None] = lambda: None) -> dict[str, Any] | None:
    """Train as one rank of a group; at rank 0 publish the model, and say where it is and what was exchanged."""
    data, validation = data_of(task)
    checkpoint = FileCheckpoint(task.checkpoint) if task.checkpoint else None
    given = (task.recommender, task.training, data)
    epochs = 0  # of this process: history has those before it, too

    def counted() -> None:
        nonlocal epochs
        epochs += 1
        on_epoch()

    model, history = train_model(group, *given, validation, checkpoint, on_epoch=counted)
    if group.rank:
        return None
    fit = saved_model(task.model, *given, model, history)
    path, version = write_models(task.out, SavedModels((fit,)))
    steps = epochs * -(-len(data.user) // task.training.pairs_a_step(len(data.user)))
    facts = {"path": str(path), "version": version, "processes": group.size, "epochs": len(history.loss)}
    return facts | {
        "validation_ndcg@20": history.best_value,
        "seconds": history.seconds,
        "bytes_a_step": {
            what: group.sent[what] / steps for what in ProcessGroup.IN_A_STEP if steps and what in group.sent
        },
        "bytes": dict(group.sent),
    }


def data_of(task: Task) -> tuple[TrainSet, HeldOut | None]:
    """What a task learns from, and what it validates on."""
    root = DataRoot(task.root, variant=task.variant)
    kinds = inputs_of(LEARNED[task.model])
    if task.on_everything:
        kinds.pop("interaction_graph", None)
        return everything(**load_inputs(root, task.dataset, kinds)), None
    parts, data = train_set(**load_inputs(root, task.dataset, kinds))
    return data, HeldOut.of(parts, VALIDATION)


def load_inputs(root: DataRoot, dataset: str, kinds: dict[str, Any]) -> dict[str, Any]:
    """Assets of a dataset by name, each as its type, of one generation.

    Raises:
        InputError: they are not, or one of them is not there.
    """
    manifests = [root.manifest(asset, dataset) for asset in kinds]
    common_numbering(manifests)
    managers = {sp.csr_matrix: ArraysIOManager, NearestItems: ArraysIOManager}
    return {
        manifest.asset: managers.get(kind, TablesIOManager)(root).load(root.artefact(manifest), kind)
        for manifest, kind in zip(manifests, kinds.values(), strict=True)
    }


def by_ray(task: Task, processes: int, compute: Compute) -> dict[str, Any]:
    """Train on as many workers of Ray Train, which begin and join a group by themselves.

    Raises:
        ModelError, InputError: a worker met it.
    """
    [facts] = on_cluster(compute, DataRoot(task.root), partial(fit_on_workers, task, processes))
    return facts


def fit_on_workers(task: Task, processes: int, shares: Shares) -> Iterator[dict[str, Any]]:
    """What rank 0 of so many workers says in the end."""
    if processes > shares.cpus:
        raise InputError(f"{processes} processes were asked for, and the Ray cluster has {shares.cpus} processors")
    from ray.train import RunConfig, ScalingConfig, TrainingFailedError
    from ray.train.torch import TorchConfig, TorchTrainer

    kept = task.out / ".ray"  # Ray wants a place of its own, where this leaves nothing
    trainer = TorchTrainer(
        ray_worker,  # type: ignore[arg-type]  # its stub knows of no result, and Ray passes it on
        train_loop_config=task.model_dump(mode="json"),
        scaling_config=ScalingConfig(num_workers=processes),
        torch_config=TorchConfig(backend="gloo", timeout_s=int(task.timeout_s)),
        run_config=RunConfig(storage_path=str(kept)),
    )
    try:
        yield trainer.fit().return_value  # type: ignore[attr-defined]
    except TrainingFailedError as error:
        met = getattr(error, "worker_failures", {})
        if own := next(filter(None, map(own_error, met.values())), None):
            raise own from error
        raise
    finally:
        shutil.rmtree(kept, ignore_errors=True)


def ray_worker(config: dict[str, Any]) -> dict[str, Any] | None:
    """What each worker of Ray Train runs; Ray takes what rank 0 returns, and passes on what it logs."""
    task, group = Task.model_validate(config), ShardedTraining()
    if group.rank:
        return train(task, group)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    with Progress(f"{task.model} {task.dataset}", task.training.max_epochs, "epochs") as progress:
        return train(task, group, progress.advance)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--dataset", required=True)
    parser.add_argument("--model", required=True, choices=LEARNED)
    parser.add_argument("--loss", default="bpr", choices=get_args(Loss))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--config", type=json.loads, default={}, help="settings as JSON, over the dataset's")
    parser.add_argument("--out", type=Path, required=True, help="a folder for the trained model")
    parser.add_argument("--checkpoint", type=Path, help="a file to go on from, of any number of processes")
    parser.add_argument("--timeout-s", type=float, default=TIMEOUT_S, help="a process that waits longer gives up")
    parser.add_argument("--ray", type=int, default=0, metavar="WORKERS", help="begin them by Ray Train")
    return parser.parse_args()


def task_of(given: argparse.Namespace) -> Task:
    """What the command line asks for, with the settings that the asset of the model has.

    Raises:
        InputError: what the model is trained on is not there, is of different generations, or failed a check.
    """
    root = DataRoot.from_environment()
    root.pull(given.dataset)
    refuse_failed(root, [root.manifest(asset, given.dataset) for asset in inputs_of(LEARNED[given.model])])
    settings, _ = resolve_settings(ModelSettings, load_catalogue().dataset(given.dataset), given.config)
    values = chosen_values(root, given.dataset, given.model, given.loss)
    recommender, training = configure_model(given.model, given.loss, given.seed, settings, values)
    training = on_processors(training)
    return Task(
        root=root.root,
        recommender=recommender,
        training=training,
        **{name: getattr(given, name) for name in ("dataset", "model", "out", "checkpoint", "timeout_s")},
    )


def main() -> None:
    given = arguments()
    if not given.ray and "RANK" not in os.environ:
        raise SystemExit("begin it by torchrun, or with --ray")
    try:
        task = task_of(given)
        if given.ray:
            facts: dict[str, Any] | None = by_ray(task, given.ray, Compute.from_environment())
        else:
            with join_processes(timeout_s=task.timeout_s) as group:
                facts = train(task, group)
    except (InputError, ModelError) as error:
        raise SystemExit(f"{given.model} of {given.dataset}: {error}.") from error
    if facts:
        print(json.dumps(facts))


if __name__ == "__main__":
    main()
