"""I-LLMRec: recommendation with a frozen language model that reads one image token per item.

The library holds tensors, tables and ids. It knows no file layout, no ``params.yaml``, no MLflow, no DVC: those live
in the ``pipelines`` package, which imports this one and never the other way round.

The names in ``__all__`` are the library's face; docs/python.md describes them. Each is imported when it is first asked
for, so ``import illmrec`` costs next to nothing. Every other name may change from one version to the next.
"""

import importlib
from typing import TYPE_CHECKING, Any

from illmrec.features import cpu_torchvision

if TYPE_CHECKING:
    from illmrec.data.catalog import Catalog
    from illmrec.data.histories import read_sequences
    from illmrec.data.interactions import select_core
    from illmrec.data.readers import read_raw
    from illmrec.data.splitting.leave_one_out import split_leave_one_out
    from illmrec.errors import IllmrecError
    from illmrec.evaluation.metrics import compute_metrics
    from illmrec.evaluation.protocol import DotScorer, rank_users
    from illmrec.features.matrix import open_matrix
    from illmrec.models.recommender import Recommender
    from illmrec.scoring.head import Head
    from illmrec.scoring.output import read_latest, read_user
    from illmrec.scoring.search import open_search
else:  # a type checker that sees this takes any name for granted

    def __getattr__(name: str) -> Any:
        """Import a name of the face when it is first asked for (PEP 562)."""
        if name not in _HOMES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value = getattr(importlib.import_module(_HOMES[name]), name)
        globals()[name] = value
        return value


__version__ = "0.1.0"

__all__ = [  # noqa: RUF022 - in the order of the data
    "read_raw",
    "select_core",
    "Catalog",
    "split_leave_one_out",
    "read_sequences",
    "open_matrix",
    "Recommender",
    "DotScorer",
    "rank_users",
    "compute_metrics",
    "Head",
    "open_search",
    "read_latest",
    "read_user",
    "IllmrecError",
]

_HOMES = {
    "read_raw": "illmrec.data.readers",
    "select_core": "illmrec.data.interactions",
    "Catalog": "illmrec.data.catalog",
    "split_leave_one_out": "illmrec.data.splitting.leave_one_out",
    "read_sequences": "illmrec.data.histories",
    "open_matrix": "illmrec.features.matrix",
    "Recommender": "illmrec.models.recommender",
    "DotScorer": "illmrec.evaluation.protocol",
    "rank_users": "illmrec.evaluation.protocol",
    "compute_metrics": "illmrec.evaluation.metrics",
    "Head": "illmrec.scoring.head",
    "open_search": "illmrec.scoring.search",
    "read_latest": "illmrec.scoring.output",
    "read_user": "illmrec.scoring.output",
    "IllmrecError": "illmrec.errors",
}
"""Name of the face -> module that defines it."""


def __dir__() -> list[str]:
    """List the face, imported or not, and what every module has."""
    return sorted([*__all__, *(name for name in globals() if name.startswith("__"))])


cpu_torchvision.install()
