"""Turns the findings on one dataset into one HTML page that needs nothing beside it."""

from collections.abc import Set
from pathlib import Path
from typing import Any

import jinja2
import numpy as np

from assets.evaluation.evaluate import WITHOUT_TRAIN
from assets.evaluation.new_items import NEW_ITEM_METRICS
from assets.evaluation.report import funnel, gate, plots, provenance, tables
from assets.evaluation.report.cards import Cards
from assets.evaluation.report.findings import Findings
from assets.evaluation.report.history_plot import history_svg
from assets.evaluation.report.user_examples import describe_examples, pick_examples
from models.model_spec import PAPER_MODEL
from storage.images.store import PictureStore

EXTREMES = 8  # items shown at either end of the gate, and with poor pictures


def render(findings: Findings, pictures: PictureStore, users: int) -> str:
    """The page, with the histories and recommendations of `users` users."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["n"] = lambda value: f"{value:,}"
    environment.filters["percent"] = lambda value: f"{value:.1%}"
    fit = next(iter(findings.gated.best()), None)
    share = fit.tensors["visual_share"] if fit else np.full(findings.parts.items, np.nan, np.float32)
    weighed = gate.weigh_items(findings.items, share)
    poor = gate.poor_pictures(weighed, EXTREMES)
    visual, textual = gate.extremes(weighed, EXTREMES)
    chosen = pick_examples(findings, users)
    shown = [*visual, *textual, *(poor.poorest if poor else ()), *(item for user in chosen for item in user.shown())]
    cards = Cards(findings.items, pictures, shown)

    def with_share(numbers: list[int]) -> list[Any]:
        return [cards.of(number, note=f"{share[number]:.2f}") for number in numbers]

    return environment.get_template("report.html.j2").render(
        dataset=findings.dataset,
        made_at=findings.made_at,
        choice=findings.choice,
        paper_model=PAPER_MODEL,
        split_rule=findings.leaderboard["split_rule"].iloc[0],
        **_content(findings),
        **_data(findings),
        **_boards(findings),
        gate_loss=fit.config["loss"] if fit else "",
        gate_plot=plots.share_histogram(weighed["share"].to_numpy()),
        gate_facts=gate_facts(share),
        categories=(categories := gate.by_category(weighed)),
        category_plot=plots.spreads(categories) if categories else "",
        visual=with_share(visual),
        textual=with_share(textual),
        poor=poor,
        poor_plot=plots.spreads(poor.groups) if poor else "",
        poorest=with_share(poor.poorest) if poor else [],
        examples=describe_examples(chosen, cards),
        over_time=history_svg(findings.history),
        variants=findings.variants,
        warm=provenance.warm_starts(findings.lineage),
        changed=provenance.find_changed_settings(findings.lineage),
        settings=list(provenance.all_settings(findings.lineage)),
        packages=provenance.package_versions(),
        lineage=findings.lineage,
    )


def _content(findings: Findings) -> dict[str, Any]:
    """What made the content of items, and what is wrong with it."""
    with_value = {made.asset: made.facts["with_value"] for made in findings.lineage if "with_value" in made.facts}
    untrained = [asset for asset, facts in findings.encoders.items() if facts["weights"] == provenance.UNTRAINED]
    return {
        "encoders": findings.encoders,
        "untrained": [asset for asset in untrained if with_value[asset]],
        "lacking": _lacking({asset for asset, count in with_value.items() if not count}),
        "undescribed": funnel.undescribed(findings.manifest("item_index")),
    }


def _lacking(without: Set[str]) -> str:
    """What the models saw where no item has a vector of one kind, or of both; "" where some have of each."""
    if {"image_embeddings", "text_embeddings"} <= without:
        return "No item has a picture or a text that was encoded, so the models that read content had none to read."
    if "image_embeddings" in without:
        return "No item has a picture that was encoded, so the models that read content saw texts alone."
    if "text_embeddings" in without:
        return "No item has a text that was encoded, so the models that read content saw pictures alone."
    return ""


def _data(findings: Findings) -> dict[str, Any]:
    """The dataset in numbers."""
    steps = funnel.funnel(*map(findings.manifest, ("reviews", "interactions", "splits")))
    core = findings.items.iloc[: findings.parts.items]
    return {
        "steps": steps,
        "funnel_plot": plots.funnel_bars(steps),
        "rejects": list(funnel.counted_rows(findings.lineage, "rejected_by_reason")),
        "not_read": list(funnel.counted_rows(findings.lineage, "values_not_read")),
        "numbers": funnel.dataset_numbers(findings),
        "tail_plot": plots.long_tail(findings.popularity()),
        "modalities": funnel.modality_rows(core, findings.popularity()),
        "placeholders": list(funnel.placeholder_rows(findings.lineage)),
        "missing_pictures": funnel.missing_pictures(core),
    }


def _boards(findings: Findings) -> dict[str, Any]:
    """The leaderboard, the strata, what the gate is worth, and how models were tuned and trained."""
    board = findings.leaderboard
    configs = {name: model.config for name, model in findings.curves.items()}
    return {
        "columns": [f"{metric.replace('_', ' ')}@{k}" for metric, k in tables.HEADLINE],
        "boards": tables.boards(board),
        "apart": tables.leaderboard_rows(board[board["block"] == "open"], WITHOUT_TRAIN),
        "skipped": tables.skipped(board),
        "strata": tables.stratum_rows(board),
        "strata_plots": [plots.stratum_bars(bars) for bars in tables.stratum_bars(board) if bars.strata],
        "new_item_metrics": NEW_ITEM_METRICS,
        "new_items": tables.new_item_rows(findings.new_items),
        "mixed": tables.mixed_rows(findings.new_items),
        "verdict": tables.verdict(findings.comparisons),
        "tuned": list(tables.tuned_rows(findings.tuning)),
        "curves": [plots.loss_curves(configs), plots.validation_curves(configs)],
    }


def gate_facts(share: np.ndarray) -> dict[str, str]:
    """The gate in words; `share` is NaN where an item has neither picture nor text."""
    there = share[~np.isnan(share)]
    both = there[(there > 0) & (there < 1)]
    low, median, high = np.quantile(both, [0.25, 0.5, 0.75]) if len(both) else [np.nan] * 3
    return {
        "items with both": f"{len(both):,}",
        "with a picture alone": f"{(there == 1).sum():,}",
        "with a text alone": f"{(there == 0).sum():,}",
        "with neither": f"{len(share) - len(there):,}",
        "median share of the picture, of items with both": f"{median:.2f}" if len(both) else "–",
        "quartiles of it": f"{low:.2f} – {high:.2f}" if len(both) else "–",
    }
