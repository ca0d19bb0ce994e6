"""I-LLMRec: recommendation with a frozen language model that reads one image token per item.

The library holds tensors, tables and ids. It knows no file layout, no ``params.yaml``, no MLflow, no DVC: those live
in the ``pipelines`` package, which imports this one and never the other way round.
"""

from illmrec.features import cpu_torchvision

__version__ = "0.1.0"

cpu_torchvision.install()
