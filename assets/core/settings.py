"""Every setting there is, by the assets that read it.

A value comes from the default here, or from the dataset's `settings` in the catalogue, or from a run's config; the
later wins. A name means the same wherever it appears: a dataset sets it once, for all assets that have it.
"""

import re
from typing import Literal, TypeAlias

import dagster as dg
from pydantic import Field, ValidationInfo, field_validator

from models.config import LOSSES, Loss, TrainingSettings, VectorSettings
from models.model_spec import MAX_ITEMS, NAMES, PRESETS, names_of
from storage.catalogue import closest_to

Precision: TypeAlias = Literal["auto", "fp32", "bf16", "fp16"]
PARTS = 5  # of a core: when one of them has changed, settings are searched anew
NEVER_EXPLAIN = ("blend", "popularity", "mmgcn", "bpr_mf", "vbpr", "ablation_no_graph")
BEST = "best"  # of the models on validation
PRECISION = "Arithmetic of the encoder; auto takes half precision where the hardware has it, fp32 is exact."


class AssetSettings(dg.Config):
    """The settings that every asset has."""

    force: bool = Field(False, description="Make it again even if nothing has changed.")
    promote: bool = Field(
        False, description="Let what a run's own settings make take the place of what is published and served."
    )


class TunedSettings(AssetSettings):
    """Settings of which tuning chooses those that neither the catalogue nor a run's config gives."""


class SourceSettings(AssetSettings):
    """Getting the raw files."""

    max_dump_bytes: int = Field(100 * 2**30, ge=1, description="A larger raw file is refused.")
    sample_users: int = Field(700, ge=10, description="Users of the dataset that the project writes itself.")
    sample_items: int = Field(320, ge=16, description="Items of the dataset that the project writes itself.")
    sample_seed: int = Field(7, ge=0, description="Seed of the dataset that the project writes itself.")


class ReviewSettings(AssetSettings):
    """Reading reviews."""

    max_reject_rate: float = Field(
        0.01, ge=0, le=1, description="The check of the table fails if a larger share of the raw records is unusable."
    )


class ItemSettings(ReviewSettings):
    """Reading product metadata."""

    max_not_read_rate: float = Field(
        0.01, ge=0, le=1, description="A check warns if a larger share of the items has a value that cannot be read."
    )
    text_max_chars: int = Field(2000, ge=1, description="The text of an item that the encoder reads ends here.")


class CoreSettings(AssetSettings):
    """Which interactions count."""

    min_rating: float | None = Field(None, description="Reviews with a lower rating are left out; none by default.")
    user_core: int = Field(5, ge=1, description="Interactions that every remaining user has at least.")
    item_core: int = Field(5, ge=1, description="Interactions that every remaining item has at least.")


class IndexSettings(AssetSettings):
    """Which items are numbered, and so embedded."""

    min_described_share: float = Field(
        0.9,
        ge=0,
        le=1,
        description="A check warns if the metadata know a smaller share of the core; none at all is an error.",
    )
    items: Literal["core", "all"] = Field("core", description="Items of the core alone, or all that have metadata.")


class SplitSettings(AssetSettings):
    """How interactions are divided into train, validation and test."""

    split: Literal["temporal", "random", "ratio_811", "leave_one_out"] = Field(
        "temporal", description="The rule of the split; the docs say what each does."
    )
    split_seed: int = Field(0, ge=0, description="Seed of the random rules.")
    split_points: list[int] = Field(
        [], description="Start of validation and of test in ms since the epoch, for temporal; else 80 % and 90 %."
    )

    @field_validator("split_points")
    @classmethod
    def _two_in_order(cls, points: list[int]) -> list[int]:
        if points and (len(points) != 2 or points[0] > points[1]):
            raise ValueError("it holds two times, the earlier first, or none")
        return points


class PictureSettings(AssetSettings):
    """Fetching product pictures."""

    pictures_per_item: int = Field(1, ge=1, description="Pictures kept of an item: its first ones that are usable.")
    picture_timeout_s: float = Field(20.0, gt=0, description="Seconds that one request for a picture may take.")
    picture_max_bytes: int = Field(20 * 2**20, ge=1, le=2**30, description="A larger picture file is refused.")
    picture_max_pixels: int = Field(50_000_000, ge=1, le=80_000_000, description="A picture of more pixels is refused.")
    picture_min_pixels: int = Field(
        16, ge=1, description="A picture whose shorter side has fewer pixels is refused: it stands for none."
    )
    picture_exclude: list[str] = Field(
        [],
        description="SHA-256 of pictures that stand for none, such as a shop's placeholder: an item's next is taken.",
    )

    @field_validator("picture_exclude")
    @classmethod
    def _checksums(cls, given: list[str]) -> list[str]:
        found = [one.strip().lower() for one in given]
        if wrong := next((one for one in found if not re.fullmatch(r"[0-9a-f]{64}", one)), None):
            raise ValueError(f"{wrong[:80]!r} is no SHA-256, which has 64 digits from 0 to f")
        return found

    picture_placeholder_share: float = Field(
        0.01, gt=0, le=1, description="A check warns of a picture that is the first of a larger share of the items."
    )
    picture_concurrency: int = Field(64, ge=1, description="Pictures fetched at a time.")
    picture_host_concurrency: int = Field(16, ge=1, description="Pictures fetched at a time from one host.")
    picture_retries: int = Field(
        2, ge=0, description="Immediate retries of a URL after a temporary failure, such as a timeout."
    )
    picture_retry_failed: bool = Field(
        False, description="Ask again for what failed for good in an earlier run, not only for what is new or may pass."
    )


class ImageEncoderSettings(AssetSettings):
    """The encoder of pictures."""

    image_encoder: str = Field("ViT-B-32", description="An open_clip architecture, or 'tiny', a small one of ours.")
    image_weights: str = Field(
        "laion2b_s34b_b79k",
        description="An open_clip tag, the path of a checkpoint, or 'untrained' for seeded random weights.",
    )
    image_batch: int = Field(64, ge=1, description="Pictures encoded at a time.")
    image_precision: Precision = Field("auto", description=PRECISION)
    image_workers: int | None = Field(
        None, ge=1, description="Processes that decode pictures; one per core by default."
    )
    embedding_dtype: Literal["float32", "float16"] = Field("float32", description="Of the vectors in the table.")
    device: str = Field("auto", description="cpu, cuda, cuda:1, …; auto takes a GPU where there is one.")


class TextEncoderSettings(AssetSettings):
    """The encoder of texts."""

    text_encoder: str = Field(
        "sentence-transformers/all-MiniLM-L6-v2",
        description="A sentence-transformers name, the path of a model's folder, or package:NAME/FOLDER.",
    )
    text_batch: int = Field(64, ge=1, description="Texts encoded at a time.")
    text_precision: Precision = Field("auto", description=PRECISION)
    text_prompt: str = Field("", description="Put before every text, for models that were trained with one.")
    text_max_tokens: int | None = Field(
        None, ge=1, description="Tokens read of a text; the model's own limit by default."
    )
    embedding_dtype: Literal["float32", "float16"] = Field("float32", description="Of the vectors in the table.")
    device: str = Field("auto", description="cpu, cuda, cuda:1, …; auto takes a GPU where there is one.")


class LearnedSettings(VectorSettings, TrainingSettings, TunedSettings):
    """What every learned model has, and what tuning chooses where neither catalogue nor run config fix it."""

    loss: Literal["both", "bpr", "softmax"] = Field(
        "both", description="What training minimises: pairwise BPR, a softmax over sampled negatives, or each, apart."
    )

    @property
    def losses(self) -> tuple[Loss, ...]:
        """The losses that this asks for."""
        return LOSSES if self.loss == "both" else (self.loss,)


class SearchSettings(TunedSettings):
    """The search for a model's hyper-parameters, of the same size for every model and loss."""

    tuning_trials: int = Field(16, ge=0, description="Configurations tried per model and loss; 0: defaults.")
    retune: Literal["never", "new_core", "monthly", "always"] = Field(
        "new_core",
        description="When a new dump is searched anew: never; when its core has changed by a fifth or the search is "
        "older than 90 days (new_core), or 30 (monthly); or always.",
    )
    tuning_seed: int = Field(0, ge=0, description="Seed of what is tried.")


class AskedSettings(AssetSettings):
    """Which models are wanted."""

    models: list[str] = Field(
        ["paper"],
        description="Models that are trained: names, or 'paper' (the paper's model and its baselines), 'ablations' "
        "(these and the paper's model without its parts), 'all'.",
    )

    @field_validator("models", mode="before")
    @classmethod
    def _one_or_many(cls, given: object) -> object:
        return [given] if isinstance(given, str) else given

    @field_validator("models")
    @classmethod
    def _known(cls, given: list[str]) -> list[str]:
        known = (*PRESETS, *NAMES)
        if unknown := next((name for name in given if name not in known), None):
            raise ValueError(f"there is no model {unknown[:40]!r}{closest_to(unknown, known)}")
        return given

    def asks_for(self, model: str) -> bool:
        """Whether a model is among those that are wanted."""
        return model in names_of(self.models)


class ModelSettings(LearnedSettings, SearchSettings, AskedSettings):
    """The search and the training of a recommender whose make-up is given by its name."""

    seeds: int = Field(3, ge=1, description="Number of seeds: it is trained once per seed under each loss.")
    trainings_at_once: int | None = Field(
        None, ge=1, description="Trainings side by side; by default as many as processors and memory have room for."
    )
    processes: int = Field(1, ge=1, description="Processes that share a training by the dimensions of its vectors.")
    warm_start: bool = Field(
        True, description="Begin from the version before of the model, where settings and the order of time allow it."
    )

    @field_validator("processes")
    @classmethod
    def _divides_dim(cls, processes: int, others: ValidationInfo) -> int:
        if (dim := others.data.get("dim")) and dim % processes:
            raise ValueError(f"it must divide dim, which is {dim}")
        return processes


class ItemKnnSettings(SearchSettings, AskedSettings):
    """Likeness of items by who has them."""

    neighbours: int = Field(100, ge=1, description="Nearest items that count.")
    shrinkage: float = Field(0.0, ge=0, description="Takes trust from likeness that rests on few users.")


class EaseSettings(SearchSettings, AskedSettings):
    """Ridge regression of every item on the others."""

    regularisation: float = Field(200.0, gt=0, description="Weight λ of the squared weights.")
    max_items: int = Field(MAX_ITEMS, ge=1, description="Models that keep items x items numbers stop above this.")


class ItemGraphSettings(AssetSettings):
    """The nearest items in embedding space."""

    knn_max: int = Field(20, ge=20, le=100, description="Neighbours kept of every item; 'knn_k' of them are used.")


class EvaluationSettings(AssetSettings):
    """Judging models on the test split."""

    mask_validation: bool = Field(False, description="Leave a user's validation items out of the ranking, as train's.")
    evaluation_seed: int = Field(0, ge=0, description="Seed of the order of equal scores and of the bootstrap.")


class ExplainedSettings(AssetSettings):
    """Whether recommendations come with reasons."""

    explain: bool = Field(
        False, description="Say of each recommendation what of the history, the picture and the text adds to its score."
    )


class ServingSettings(ExplainedSettings):
    """Which model is served."""

    serve: str = Field("best", description="'best' for the best model on validation, or the name of a model.")

    @field_validator("serve")
    @classmethod
    def _known(cls, name: str) -> str:
        if name not in (BEST, *NAMES):
            raise ValueError(f"there is no such model{closest_to(name, (BEST, *NAMES))}")
        return name


class RefitSettings(AssetSettings):
    """Fitting a model to all interactions."""

    processes: int = Field(1, ge=1, description="Processes that share a training by the dimensions of its vectors.")
    device: str = Field("auto", description="cpu, cuda, cuda:1, …; auto takes a GPU where there is one.")


class ListSettings(AssetSettings):
    """How long a list is."""

    top_k: int = Field(20, ge=1, description="Items recommended to a user.")


class RecommendationSettings(ExplainedSettings, ListSettings):
    """Recommendations for every user."""

    new_items: Literal["apart", "mixed"] = Field(
        "apart", description="Whether items that nobody has are scored in a table apart alone, or enter the lists, too."
    )
    new_item_share: float = Field(
        0.2, gt=0, le=1, description="Largest share of a list that such items may take where they are mixed in."
    )


class NewItemSettings(AssetSettings):
    """How well items are placed that nobody has bought yet."""

    cold_share: float = Field(0.1, gt=0, lt=1, description="Share of the items that training is not shown at all.")
    cold_seed: int = Field(0, ge=0, description="Seed of the draw of these items.")
    device: str = Field("auto", description="cpu, cuda, cuda:1, …; auto takes a GPU where there is one.")


class RegressionCheckSettings(AssetSettings):
    """What a table may lose against the generation before, and how old a report may be; checks read the catalogue's."""

    max_row_drop: float = Field(0.5, ge=0, le=1, description="Share of its rows that a table may lose.")
    max_coverage_drop: float = Field(0.2, ge=0, le=1, description="By how much the share with a vector may fall.")
    max_age_days: float | None = Field(None, gt=0, description="Days after which a report counts as stale.")


class PromotionSettings(AssetSettings):
    """Which models are served."""

    max_validation_drop: float = Field(
        0.3, ge=0, le=1, description="A model is refused that reaches less of the promoted one's validation NDCG@20."
    )
    keep_variants: int = Field(5, ge=1, description="Variants by runs with settings of their own that are kept.")
    keep_versions: int = Field(3, ge=1, description="Promoted generations, and versions of a model, that are kept.")


class ReportSettings(AssetSettings):
    """The report."""

    report_users: int = Field(12, ge=1, description="Users whose history and recommendations are shown.")


ALL_SETTINGS: tuple[type[AssetSettings], ...] = (
    SourceSettings,
    ReviewSettings,
    ItemSettings,
    CoreSettings,
    IndexSettings,
    SplitSettings,
    PictureSettings,
    ImageEncoderSettings,
    TextEncoderSettings,
    ItemGraphSettings,
    AskedSettings,
    ModelSettings,
    ItemKnnSettings,
    EaseSettings,
    EvaluationSettings,
    ServingSettings,
    RefitSettings,
    ListSettings,
    RecommendationSettings,
    NewItemSettings,
    RegressionCheckSettings,
    PromotionSettings,
    ReportSettings,
)
