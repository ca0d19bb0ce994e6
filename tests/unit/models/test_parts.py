from __future__ import annotations

import pytest
import torch
from torch import nn

from illmrec.models.adaptor import balance_parts, build_adaptor
from illmrec.models.centring import FirstLayer
from illmrec.models.projection import ProjectionHeads, build_projector


def test_parts_of_a_slot_weigh_the_same_whatever_their_width() -> None:
    torch.manual_seed(0)
    wide, narrow = torch.randn(500, 1000), torch.randn(500, 10)
    whole = balance_parts([wide, narrow])
    left, right = whole[:, :1000].square().sum(), whole[:, 1000:].square().sum()
    assert float(left / right) == pytest.approx(1.0, rel=0.05)
    assert float(whole.square().mean()) == pytest.approx(1.0, rel=0.05)
    assert torch.equal(balance_parts([narrow]), narrow)


def test_the_adaptors_of_the_paper_and_of_the_authors() -> None:
    paper, authors = build_adaptor(8, 16, 4, "paper"), build_adaptor(8, 16, 4, "authors")
    assert [type(layer) for layer in paper] == [FirstLayer, nn.ReLU, nn.Linear]
    assert [type(layer) for layer in authors] == [FirstLayer, nn.LayerNorm, nn.GELU, nn.Linear]
    assert authors[1].eps == 1e-8
    features = torch.randn(5, 8)
    by_hand = torch.relu(features @ paper[0].weight.T + paper[0].bias) @ paper[2].weight.T + paper[2].bias
    assert torch.allclose(paper(features), by_hand, atol=1e-6)
    assert authors(features).shape == (5, 4)
    assert paper(torch.zeros(0, 8)).shape == (0, 4)


def test_a_projector_is_the_published_one() -> None:
    projector = build_projector(6, 10)
    assert [type(layer) for layer in projector] == [FirstLayer, nn.LayerNorm, nn.ReLU, nn.Linear]
    assert projector[0].weight.shape == (20, 6)
    assert projector[3].weight.shape == (10, 20)


@pytest.mark.parametrize("shared_width", [16, 128, 512])
def test_first_scores_are_of_the_order_of_one(shared_width: int) -> None:
    torch.manual_seed(0)
    heads = ProjectionHeads(64, {"image": 32}, shared_width)
    users, items = heads.project_users(torch.randn(400, 64)), heads.project_items({"image": torch.randn(400, 32)})
    deviation = float((users @ items.T).std().detach())
    assert 0.1 < deviation < 3.0


def test_a_score_is_the_sum_over_types() -> None:
    torch.manual_seed(0)
    heads = ProjectionHeads(8, {"image": 5, "cf": 3}, 4)
    assert heads.kinds == ("image", "cf")
    hidden, features = torch.randn(6, 8), {"cf": torch.randn(6, 3), "image": torch.randn(6, 5)}
    users, items = heads.project_users(hidden), heads.project_items(features)
    assert users.shape == items.shape == (6, 8)
    shares = heads.split_scores(users, items)
    for column, kind in enumerate(heads.kinds):
        expected = (heads.user[kind](hidden) * heads.item[kind](features[kind])).sum(-1)
        assert torch.allclose(shares[:, column], expected, atol=1e-6)
    assert torch.allclose(shares.sum(-1), (users * items).sum(-1), atol=1e-6)


def test_learned_weights_multiply_each_types_score_in_torch_and_in_onnx() -> None:
    import numpy as np
    import onnxruntime

    from illmrec.models.onnx_export import export_heads

    torch.manual_seed(0)
    heads = ProjectionHeads(8, {"image": 5, "cf": 3}, 4, learned_weights=True)
    plain = ProjectionHeads(8, {"image": 5, "cf": 3}, 4)
    plain.load_state_dict({name: value for name, value in heads.state_dict().items() if name != "log_weights"})
    hidden, features = torch.randn(6, 8), {"cf": torch.randn(6, 3), "image": torch.randn(6, 5)}

    def score(model: ProjectionHeads) -> torch.Tensor:
        return model.split_scores(model.project_users(hidden), model.project_items(features)).detach()

    assert torch.equal(score(heads), score(plain)), "they begin equal"
    with torch.no_grad():
        heads.log_weights.copy_(torch.tensor([0.5, -1.0]))
    assert torch.allclose(score(heads), score(plain) * torch.tensor([0.5, -1.0]).exp(), atol=1e-6)
    session = onnxruntime.InferenceSession(export_heads(heads, 8), providers=["CPUExecutionProvider"])
    given = {"hidden": hidden.numpy()} | {kind: value.numpy() for kind, value in features.items()}
    users, items = session.run(["users", "items"], given)
    assert np.abs(users - heads.project_users(hidden).detach().numpy()).max() < 1e-6
    assert np.abs(items - heads.project_items(features).detach().numpy()).max() < 1e-6


def test_all_pairs_score_as_each_pair_does() -> None:
    torch.manual_seed(0)
    heads = ProjectionHeads(8, {"image": 5, "cf": 3}, 4)
    users, items = torch.randn(3, 8), torch.randn(7, 8)
    together = heads.split_all_scores(users, items)
    assert together.shape == (3, 7, 2)
    assert torch.allclose(together[2, 5], heads.split_scores(users[2], items[5]), atol=1e-6)
