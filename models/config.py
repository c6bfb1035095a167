"""The hyper-parameters of recommenders and of their training. Importing this costs nothing."""

from typing import Literal, TypeAlias

from pydantic import BaseModel, Field

Loss: TypeAlias = Literal["bpr", "softmax"]
LOSSES: tuple[Loss, ...] = ("bpr", "softmax")
MANY_PAIRS = 50_000


class VectorSettings(BaseModel):
    """What of a recommender may be chosen freely; what it is by its name is in `RecommenderConfig`."""

    dim: int = Field(64, ge=2, description="Length of user and item vectors.")
    layers: int = Field(2, ge=0, le=4, description="Layers over the user-item graph; 0 is matrix factorisation.")
    item_graph_layers: int = Field(
        0, ge=0, le=4, description="Layers over the graph of items near in embedding space; 0 leaves it out."
    )
    knn_k: int = Field(10, ge=1, le=20, description="Nearest items that an item is joined to in that graph.")
    visual_weight: float = Field(
        0.5, ge=0, le=1, description="Weight of nearness by picture in that graph; the rest is nearness by text."
    )
    initial_std: float = Field(0.1, gt=0, description="Standard deviation of ID vectors before training.")
    score: Literal["dot", "cosine"] = Field("dot", description="How the vectors of a user and an item are compared.")


class RecommenderConfig(VectorSettings):
    """What a recommender is made of."""

    architecture: Literal["lightgcn", "mmgcn"] = Field(
        "lightgcn", description="The shared recommender, or MMGCN, which is a module of its own."
    )
    item_encoder: Literal["id", "visual", "text", "sum", "mean", "concat", "gated"] = Field(
        "id", description="What an item starts from: its ID alone, or content beside it, fused as this says."
    )
    use_id: bool = Field(True, description="Whether an item has a vector of its own beside its content.")
    content_apart: bool = Field(
        False, description="Whether content has half of the dimensions to itself, as in VBPR, or is added to the ID's."
    )


class TrainingSettings(BaseModel):
    """How a recommender is trained, whatever the loss and the seed."""

    softmax_negatives: Literal["shared", "in_batch", "both"] = Field(
        "shared", description="Negatives of softmax: uniform ones shared by the batch, the batch's own items, or both."
    )
    shared_negatives: int = Field(512, ge=1, description="Uniform negatives of a batch, for softmax.")
    temperature: float = Field(0.2, gt=0, description="What softmax divides a cosine by; lower looks at harder items.")
    logq_weight: float = Field(
        1.0, ge=0, description="Weight α of the correction of the batch's own items for their popularity, for softmax."
    )
    learning_rate: float = Field(1e-3, gt=0, description="Step size of Adam.")
    l2: float = Field(1e-4, ge=0, description="Weight of half the mean squared norm of a batch's layer-0 vectors.")
    batch_size: int | None = Field(
        None, ge=1, description="Train interactions a step; by default 2,048, and 4,096 where there are 50,000 or more."
    )
    max_epochs: int = Field(300, ge=1, description="Epochs at the most.")
    evaluate_every: int = Field(5, ge=1, description="Epochs between two looks at the validation split.")
    patience: int = Field(6, ge=1, description="Looks without a better validation NDCG@20 before training stops.")
    threads: int = Field(
        1, ge=1, description="Processor threads of training; on graphs of some 100,000 edges more are slower."
    )
    device: str = Field("auto", description="cpu, cuda, cuda:1, …; auto takes a GPU where there is one.")


class TrainerConfig(TrainingSettings):
    """How a recommender is trained."""

    loss: Loss = Field(
        "bpr", description="What training minimises: pairwise BPR, or a softmax over sampled negatives by cosine."
    )
    seed: int = Field(0, ge=0, description="Seed of initial weights, batches and negatives.")

    def pairs_a_step(self, pairs: int) -> int:
        """Train interactions of a step, where there are so many in all.

        A step costs what its graph and its content cost, however many pairs it learns from.
        """
        return self.batch_size or (4096 if pairs >= MANY_PAIRS else 2048)
