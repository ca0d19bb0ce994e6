from __future__ import annotations

import numpy as np
import torch

from illmrec.models.vbpr import Vbpr


def test_scores_are_the_papers_formula() -> None:
    torch.manual_seed(0)
    features = torch.randn(5, 3)
    model = Vbpr(4, 5, width=2, features=features, visual_width=6)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn_like(parameter))
    scores = model.represent_users() @ model.represent_items().T
    for user in range(4):
        for item in range(5):
            wanted = (
                model.bias.weight[item, 0]
                + model.users.weight[user] @ model.items.weight[item]
                + model.visual_users.weight[user] @ (model.project.weight @ features[item])
                + model.visual_bias.weight[0] @ features[item]
            )
            assert abs(scores[user, item] - float(wanted.detach())) < 1e-5


def test_without_features_it_is_matrix_factorisation() -> None:
    torch.manual_seed(0)
    model = Vbpr(4, 5, width=2)
    with torch.no_grad():
        model.bias.weight.copy_(torch.randn_like(model.bias.weight))
    weights = {name: value.detach().numpy() for name, value in model.named_parameters()}
    wanted = weights["users.weight"] @ weights["items.weight"].T + weights["bias.weight"].T
    assert np.abs(model.represent_users() @ model.represent_items().T - wanted).max() < 1e-6


def test_features_are_not_saved_with_the_model() -> None:
    model = Vbpr(4, 5, width=2, features=torch.randn(5, 3), visual_width=6)
    assert not [name for name in model.state_dict() if "features" in name]
    scores = model.represent_items()
    other = Vbpr(4, 5, width=2, features=model.features, visual_width=6)
    other.load_state_dict(model.state_dict())
    assert np.array_equal(other.represent_items(), scores)
