"""The gate, by its formula."""

import numpy as np
import pytest
import torch

from models.recommenders.fusion import Fusion, Modality

VISUAL = np.array([[1.0, 0.0], [0.0, 1.0], [2.0, 3.0], [9.0, 9.0]], dtype=np.float32)
TEXTUAL = np.array([[1.0, 1.0, 0.0], [0.0, 1.0, 5.0], [9.0, 9.0, 9.0], [9.0, 9.0, 9.0]], dtype=np.float32)
HAS_VISUAL = np.array([True, True, True, False])
HAS_TEXTUAL = np.array([True, True, False, False])
DIM = 5


@pytest.fixture
def fusion() -> Fusion:
    torch.manual_seed(3)
    return Fusion("gated", Modality.of(VISUAL, HAS_VISUAL), Modality.of(TEXTUAL, HAS_TEXTUAL), DIM)


def test_features_are_centred_over_those_that_have_them_and_normalised() -> None:
    modality = Modality.of(VISUAL, HAS_VISUAL)
    centred = VISUAL[:3] - np.array([1.0, 4 / 3])
    expected = centred / np.sqrt((centred**2).sum(axis=1, keepdims=True))
    np.testing.assert_allclose(modality.features[:3], expected, rtol=1e-6)
    assert modality.features[3].tolist() == [0.0, 0.0]
    assert modality.present[:, 0].tolist() == [1, 1, 1, 0]


def test_content_is_the_formula_item_by_item(fusion: Fusion) -> None:
    p_v, p_t = fusion.project_visual.weight.detach().numpy(), fusion.project_textual.weight.detach().numpy()
    w, b = fusion.gate.weight.detach().numpy(), fusion.gate.bias.detach().numpy()
    x_v, x_t = Modality.of(VISUAL, HAS_VISUAL).features.numpy(), Modality.of(TEXTUAL, HAS_TEXTUAL).features.numpy()
    content = fusion().detach().numpy()
    for item in range(4):
        v, t = p_v @ x_v[item], p_t @ x_t[item]
        g = 1 / (1 + np.exp(-(w @ np.concatenate([v, t]) + b)))
        match bool(HAS_VISUAL[item]), bool(HAS_TEXTUAL[item]):
            case (True, True):
                expected = g * v + (1 - g) * t
            case (True, False):
                expected = v
            case _:
                expected = np.zeros(DIM)
        np.testing.assert_allclose(content[item], expected, atol=1e-6)


def test_a_missing_modality_contributes_nothing_and_gets_no_gradient(fusion: Fusion) -> None:
    visual, textual = fusion.contributions()
    assert textual[2].abs().sum() == 0  # a picture alone
    assert visual[3].abs().sum() == textual[3].abs().sum() == 0  # neither
    fusion()[2:].sum().backward()
    assert fusion.project_textual.weight.grad is not None
    assert fusion.project_textual.weight.grad.abs().sum() == 0
    assert fusion.project_visual.weight.grad.abs().sum() > 0
    assert fusion.gate.weight.grad.abs().sum() == 0


def test_the_share_is_that_of_the_norms(fusion: Fusion) -> None:
    share = fusion.visual_share().numpy()
    visual, textual = (part.detach().numpy() for part in fusion.contributions())
    expected = np.linalg.norm(visual[0]) / (np.linalg.norm(visual[0]) + np.linalg.norm(textual[0]))
    assert share[0] == pytest.approx(expected)
    assert share[2] == 1
    assert np.isnan(share[3])


def test_a_dataset_without_any_picture_is_its_texts() -> None:
    torch.manual_seed(0)
    nothing = np.zeros((2, 4), dtype=np.float32)
    visual = Modality.of(nothing, np.array([False, False]))
    fusion = Fusion("gated", visual, Modality.of(TEXTUAL[:2], np.array([True, True])), DIM)
    torch.testing.assert_close(fusion(), fusion.project_textual(fusion.textual_features))


@pytest.mark.parametrize("fusing", ["visual", "text", "sum", "mean", "concat"])
def test_other_ways_to_fuse_are_their_formulas(fusing: str) -> None:
    torch.manual_seed(1)
    fusion = Fusion(fusing, Modality.of(VISUAL, HAS_VISUAL), Modality.of(TEXTUAL, HAS_TEXTUAL), DIM)
    nothing = torch.zeros(4, 0)
    v, t = nothing, nothing
    if fusing != "text":
        v = (Modality.of(VISUAL, HAS_VISUAL).features @ fusion.project_visual.weight.T).detach()
        assert not v[3].any()  # has no picture
    if fusing != "visual":
        t = (Modality.of(TEXTUAL, HAS_TEXTUAL).features @ fusion.project_textual.weight.T).detach()
        assert not t[2:].any()  # have no text
    expected = {
        "visual": lambda: v,
        "text": lambda: t,
        "sum": lambda: v + t,
        "mean": lambda: torch.stack([(v + t)[0] / 2, (v + t)[1] / 2, v[2], torch.zeros(DIM)]),
        "concat": lambda: torch.cat([v, t], dim=1),
    }[fusing]()
    assert expected.shape == (4, DIM)
    torch.testing.assert_close(fusion().detach(), expected)


@pytest.mark.parametrize("share", [0.5, 0.9])
def test_items_that_lack_a_view_are_not_projected_where_they_are_many(share: float) -> None:
    rng = np.random.default_rng(0)
    there = rng.random(100) < share
    view = Modality.of(rng.normal(size=(100, 7)).astype(np.float32), there)
    torch.manual_seed(0)
    fusion = Fusion("visual", view, view, DIM)
    assert len(fusion.visual_features) == (100 if share > 0.8 else there.sum())
    expected = view.features @ fusion.project_visual.weight.T
    found = fusion()
    torch.testing.assert_close(found, expected)
    weight = torch.randn(100, DIM)
    one, other = (
        torch.autograd.grad((made * weight).sum(), fusion.project_visual.weight)[0] for made in (found, expected)
    )
    torch.testing.assert_close(one, other)


def test_one_view_has_no_share() -> None:
    fusion = Fusion("visual", Modality.of(VISUAL, HAS_VISUAL), Modality.of(TEXTUAL, HAS_TEXTUAL), DIM)
    assert fusion.visual_share() is None
    assert not any("textual" in name for name in fusion.state_dict())
