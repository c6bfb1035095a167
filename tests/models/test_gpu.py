"""What a GPU computes against what a processor does; skipped where there is no GPU."""

from pathlib import Path

import numpy as np
import pytest
import torch

from models.config import RecommenderConfig, TrainerConfig
from models.encoders.clip import ImageEncoder
from models.recommenders.fusion import Modality
from models.recommenders.item_graph import nearest_items
from models.recommenders.propagation import normalised_adjacency
from models.training.build_and_fit import Content, TrainSet, fit
from tests.models.photos import SOME, batches_of, centred_cosine, photos
from tests.models.training.test_trainer import Kept, camp_auc, two_camps

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")
MODELS = {
    "bpr_mf": {"layers": 0},
    "lightgcn": {},
    "gated": {"item_encoder": "gated"},
    "gated_plus": {"item_encoder": "gated", "item_graph_layers": 1, "knn_k": 3},
    "mmgcn": {"architecture": "mmgcn"},
}
LOSSES = {"bpr": {}, "shared": {"loss": "softmax"}, "both": {"loss": "softmax", "softmax_negatives": "both"}}


def with_content() -> TrainSet:
    user, item = two_camps()
    users, items = user.max() + 1, item.max() + 1
    rng = np.random.default_rng(0)
    views = [(rng.standard_normal((items, 12), np.float32), rng.random(items) < 0.9) for _ in range(2)]
    content = Content(*(Modality.of(*view) for view in views), *(nearest_items(*view, 3) for view in views))
    return TrainSet(user, item, users, items, normalised_adjacency(user, item, users, items), content)


def trained(device: str, model: dict, epochs: int = 4, checkpoint: Kept | None = None, **loss: object):
    settings = {"learning_rate": 0.01, "batch_size": 64, "max_epochs": epochs, "device": device, **loss}
    recommender, how = RecommenderConfig(**{"dim": 8, "layers": 2, **model}), TrainerConfig(**settings)
    return fit(recommender, how, with_content(), camp_auc, checkpoint=checkpoint)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("model", MODELS)
def test_a_gpu_takes_the_steps_of_a_processor(model: str, loss: str) -> None:
    (here, ours), (there, theirs) = (trained(device, MODELS[model], **LOSSES[loss]) for device in ("cpu", "cuda"))
    assert theirs.collision_rate == pytest.approx(ours.collision_rate)  # the same batches, the same negatives
    assert theirs.loss == pytest.approx(ours.loss, rel=1e-5)
    for one, other in zip(here.vectors(), there.vectors(), strict=True):
        np.testing.assert_allclose(other, one, atol=1e-4)


@pytest.mark.parametrize("devices", [("cuda", "cuda"), ("cuda", "cpu"), ("cpu", "cuda")])
def test_training_goes_on_on_either(devices: tuple[str, str]) -> None:
    whole, history = trained("cpu", MODELS["gated"], evaluate_every=1)
    checkpoint = Kept(dies_after=2)
    with pytest.raises(KeyboardInterrupt):
        trained(devices[0], MODELS["gated"], checkpoint=checkpoint, evaluate_every=1)
    checkpoint.dies_after = None
    resumed, resumed_history = trained(devices[1], MODELS["gated"], checkpoint=checkpoint, evaluate_every=1)
    assert resumed_history.loss == pytest.approx(history.loss, rel=1e-5)
    np.testing.assert_allclose(resumed.vectors()[1], whole.vectors()[1], atol=1e-4)


@pytest.mark.parametrize(("precision", "least"), [("fp32", 0.99999), ("auto", 0.99)])
def test_a_gpu_sees_in_a_picture_what_a_processor_sees(shared_data: Path, precision: str, least: float) -> None:
    pictures = photos(shared_data, SOME)

    def seen(device: str, precision: str) -> np.ndarray:
        encoder = ImageEncoder("ViT-B-32", "untrained", device, 8, precision, workers=1)
        found = list(encoder.encode(batches_of(pictures, 8), lambda count, waited: None))
        assert [key for keys, _ in found for key in keys] == list(pictures)
        return np.concatenate([vectors for _, vectors in found])

    assert centred_cosine(seen("cpu", "fp32"), seen("cuda", precision)) > least
