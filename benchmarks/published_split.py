"""A published split, and every model fitted to it, each once."""

import time
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from assets.core.settings import EaseSettings, ItemKnnSettings
from assets.evaluation.evaluate import Bench, Evaluation, evaluate_fit
from assets.interactions.splits import TEST, VALIDATION, Parts
from assets.training.baselines import blend_of, counted_fit, popularity_of
from assets.training.fit_one import fit_one
from assets.training.held_out import HeldOut
from assets.training.scorers import scorer_of
from benchmarks.mmrec import read_content, read_split, train_set
from benchmarks.tuned import settings_of, shipped, values_of
from models.config import LOSSES, Loss
from models.model_spec import LEARNED
from models.training.build_and_fit import TrainSet
from storage.artifacts.saved_models import SavedModel, SavedModels

DEFAULTS = EaseSettings.model_validate({}).model_dump() | ItemKnnSettings.model_validate({}).model_dump()
BLENDED: tuple[str, str, Loss] = ("ease", "lightgcn", "softmax")


@dataclass
class PublishedSplit:
    """One folder in the form of the MMRec toolbox; its features are read only if asked for."""

    folder: Path
    with_content: bool = True
    fitted: dict[tuple[str, str, int], tuple[SavedModel, float]] = field(default_factory=dict)

    @property
    def split(self) -> str:
        return self.folder.resolve().name

    @cached_property
    def parts(self) -> Parts:
        return read_split(self.folder)

    @cached_property
    def data(self) -> TrainSet:
        content = read_content(self.folder, self.parts.items) if self.with_content else None
        return train_set(self.parts, content)

    @cached_property
    def validation(self) -> HeldOut:
        return HeldOut.of(self.parts, VALIDATION)

    @cached_property
    def test(self) -> HeldOut:
        return HeldOut.of(self.parts, TEST)

    def losses(self, model: str, asked: str) -> tuple[str, ...]:
        """The losses that a model is trained under: those asked for, or none."""
        if model in LEARNED:
            return LOSSES if asked == "both" else (asked,)
        return (BLENDED[2],) if model == "blend" else ("none",)

    def fit(self, model: str, loss: str, seed: int) -> tuple[SavedModel, float]:
        """A model with the settings shipped for the split, and the seconds that it took."""
        key = (model, loss, seed)
        if key not in self.fitted:
            self.fitted[key] = self._fit(model, loss, seed)
        return self.fitted[key]

    def _fit(self, model: str, loss: str, seed: int) -> tuple[SavedModel, float]:
        if loss in LOSSES and model in LEARNED:
            return fit_one(model, *settings_of(self.split, model, loss, seed), self.data, self.validation)
        before = 0.0
        if model == "blend":  # what is blended has to be trained, too
            first, second, partner_loss = BLENDED
            before = self.fit(first, "none", 0)[1] + self.fit(second, partner_loss, seed)[1]
        started = time.perf_counter()
        if model == "popularity":
            made = popularity_of(self.validation.train)
        elif model == "blend":
            made = blend_of(BLENDED[0], [BLENDED[1]], self.blended(seed), self.validation).main
        else:
            made = counted_fit(model, self.validation, DEFAULTS | values_of(shipped(self.split), model, loss))
        return made, before + time.perf_counter() - started

    def blended(self, seed: int) -> dict[str, SavedModels]:
        """The models that are blended, by name."""
        first, second, loss = BLENDED
        return {
            first: SavedModels((self.fit(first, "none", 0)[0],)),
            second: SavedModels((self.fit(second, loss, seed)[0],)),
        }

    def evaluate(self, model: str, loss: str, seed: int) -> Evaluation:
        """A model on the test part."""
        fit, _ = self.fit(model, loss, seed)
        others = self.blended(seed) if model == "blend" else None
        return evaluate_fit(fit, scorer_of(fit, self.test.train, others), Bench(self.test, {}, 0))
