"""How training went, as a picture for the UI."""

from collections.abc import Sequence

from matplotlib.figure import Figure

from assets.core.asset_result import markdown
from assets.core.inline import inline_figure
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
