"""What the export compares."""

from __future__ import annotations

import numpy as np

from pipelines.stages.export import choose_users


def test_all_users_are_compared_or_a_fixed_sample_of_them() -> None:
    assert choose_users(5, 5).tolist() == [0, 1, 2, 3, 4]
    drawn = choose_users(1000, 50)
    assert len(set(drawn.tolist())) == 50
    assert (np.diff(drawn) > 0).all()
    assert drawn[0] >= 0
    assert drawn[-1] < 1000
    assert drawn.tolist() == choose_users(1000, 50).tolist()
    assert drawn.mean() > 300, "not the first ones"
