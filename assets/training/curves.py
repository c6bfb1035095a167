"""How training went, as a picture for the UI."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from assets.core.asset_result import markdown
from assets.core.inline import inline_figure
from assets.training.search import Study
from storage.artifacts.saved_models import SavedModel


def training_curves(fits: Sequence[SavedModel]) -> dict[str, str]:
    """Train loss and validation NDCG@20 by epoch of every fit, with a dot where its weights were kept."""
    figure = Figure(figsize=(9, 2.8), layout="constrained")
    loss, validation = figure.subplots(1, 2)
    for fit in fits:
        config = fit.config
        loss.plot(range(1, len(config["loss_curve"]) + 1), config["loss_curve"], label=fit.name)
        (line,) = validation.plot(*zip(*config["validation_curve"], strict=True))
        validation.plot(config["best_epoch"], config["validation_ndcg@20"], "o", color=line.get_color())
    loss.set(xlabel="epoch", ylabel="train loss", yscale="log")
    loss.legend(frameon=False)
    validation.set(xlabel="epoch", ylabel="validation NDCG@20")
    return markdown(inline_figure(figure))


def search_picture(studies: Sequence[Study]) -> dict[str, str]:
    """How far every trial was trained, and the best validation NDCG@20 that it showed; the chosen one is marked."""
    figure = Figure(figsize=(9, 2.8), layout="constrained")
    for axes, study in zip(np.atleast_1d(figure.subplots(1, len(studies), sharey=True)), studies, strict=True):
        ended = [trial for trial in study.trials if trial.ended != "failed"]
        axes.scatter([trial.epochs for trial in ended], [trial.value for trial in ended], s=18)
        axes.scatter(study.best.epochs, study.best.value, s=80, facecolors="none", edgecolors="C1", label="chosen")
        axes.set(title=study.loss, xlabel="epochs", ylabel="validation NDCG@20")
        axes.legend(frameon=False)
    return markdown(inline_figure(figure))
