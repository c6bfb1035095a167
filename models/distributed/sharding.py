"""A recommender shared by embedding dimension: of P ranks, r holds the dimensions r, r + P, r + 2P, … of every vector.

Propagation, over users and items and over like items, acts on every dimension alone, so each rank does it for its own,
with the whole graph. Content of one view, and their sum or concatenation, come from the rows of a projection, which are
dimensions too. The gate needs all dimensions of both projected views: every rank holds the features and both
projections whole, and the gradients of these are summed; of the gate's own W and b each rank has its rows.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from models.config import RecommenderConfig
from models.distributed.process_group import ProcessGroup
from models.errors import ModelError
from models.recommenders.recommender import Recommender, VectorModel
from models.training.checkpoint import Checkpoint, State

ID_AXES = {"user_id.weight": 1, "item_id.weight": 1}


def can_be_shared(config: RecommenderConfig) -> bool:
    """Whether every part of a model treats dimensions alone, or can be made to."""
    return config.architecture != "mmgcn"


def axes_of(model: VectorModel) -> dict[str, int | None]:
    """The axis of the embedding's dimensions in every weight, in their order; None where each rank has it whole.

    Raises:
        ModelError: the model mixes dimensions, and cannot be shared.
    """
    if not isinstance(model, Recommender):
        raise ModelError("architecture 'mmgcn' mixes the dimensions of its vectors, so no processes can share it")
    whole = ("fusion.project_visual.weight", "fusion.project_textual.weight") if model.is_gated else ()
    return {name: None if name in whole else ID_AXES.get(name, 0) for name, _ in model.named_parameters()}


def cut(whole: Tensor, axis: int | None, group: ProcessGroup) -> Tensor:
    """The dimensions of a rank: every P-th along `axis`, from its own number on; a copy."""
    if axis is None:
        return whole.clone()
    return whole.unflatten(axis, (-1, group.size)).select(axis + 1, group.rank).clone()


def shard(model: VectorModel, group: ProcessGroup) -> None:
    """Keep of a whole model what this rank holds, in place.

    Afterwards `of_batch` and `vectors` have the rank's dimensions alone.

    Raises:
        ModelError: the dimensions cannot be dealt out equally, or the model cannot be shared.
    """
    axes = axes_of(model)
    for name, weight in model.named_parameters():
        axis = axes[name]
        if axis is not None and weight.shape[axis] % group.size:
            raise ModelError(
                f"{group.size} processes cannot share the {weight.shape[axis]} dimensions of {name} equally"
            )
    for name, weight in list(model.named_parameters()):
        if axes[name] is None:
            weight.register_hook(lambda gradient: group.added("gradients", gradient))
        else:
            _put(model, name, cut(weight.detach(), axes[name], group))
    _keep(model, slice(group.rank, None, group.size))


def unshard(model: VectorModel, group: ProcessGroup) -> None:
    """Make the model of rank 0 whole again, in place, on the CPU; the others keep their dimensions."""
    model.cpu()
    for name, axis in axes_of(model).items():
        part = model.get_parameter(name).detach()
        whole = part if axis is None else group.gathered("weights", part, axis, to=0)
        if whole is not None:
            _put(model, name, whole)
    if group.rank == 0:
        _keep(model, slice(None))


def _put(model: nn.Module, name: str, weight: Tensor) -> None:
    module, _, leaf = name.rpartition(".")
    setattr(model.get_submodule(module), leaf, nn.Parameter(weight))


def _keep(model: VectorModel, dimensions: slice) -> None:
    if isinstance(model, Recommender) and model.is_gated and model.fusion is not None:
        model.fusion.kept = dimensions


@dataclass(frozen=True)
class SharedCheckpoint:
    """A checkpoint of one process, saved and loaded by many: any number of them may go on with it.

    Rank 0 saves; all load, so the place has to be one that they all see.

    Attributes:
        axes: of the weights, see `axes_of`.
    """

    whole: Checkpoint
    axes: dict[str, int | None]
    group: ProcessGroup

    def load(self) -> tuple[State, str] | None:
        """This rank's part of what was saved last.

        Raises:
            ModelError: some ranks see a checkpoint, and others none.
        """
        saved = self.whole.load()
        seen = int(self.group.added("agreement", torch.tensor([float(saved is not None)])))
        if seen not in (0, self.group.size):
            raise ModelError(f"{seen} of {self.group.size} processes see the checkpoint; all must see one folder")
        if saved is None:
            return None
        arrays, facts = saved
        return {key: self._cut(key, array) for key, array in arrays.items()}, facts

    def save(self, arrays: State, facts: str) -> None:
        """Save the whole, an array at a time put together at rank 0, which holds all of it in memory."""
        together: State = {}
        for key, array in arrays.items():
            axis, part = self._axis(key, array), torch.from_numpy(array)
            whole = part if axis is None else self.group.gathered("checkpoint", part, axis, to=0)
            if whole is not None:
                together[key] = whole.numpy()
        if self.group.rank == 0:
            self.whole.save(together, facts)

    def _cut(self, key: str, array: np.ndarray) -> np.ndarray:
        return cut(torch.from_numpy(np.array(array)), self._axis(key, array), self.group).numpy()

    def _axis(self, key: str, array: np.ndarray) -> int | None:
        """Along which the array `key` of `models.training.trainer` is dealt out."""
        part, name = key.split("/", 1)
        if part == "random" or array.ndim == 0:  # the state of the generator, and the optimiser's count of steps
            return None
        if part == "optimiser":
            return list(self.axes.values())[int(name.split(".")[0])]
        return self.axes[name]


class ShardedTraining(ProcessGroup):
    """The ranks that train one model by sharing its dimensions."""

    def divide(self, model: VectorModel, checkpoint: Checkpoint | None) -> Checkpoint | None:
        shard(model, self)
        return SharedCheckpoint(checkpoint, axes_of(model), self) if checkpoint else None

    def unite(self, model: VectorModel) -> None:
        unshard(model, self)
