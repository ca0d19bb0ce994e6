"""Runs, curves and the model registry; the only module that imports MLflow.

The store is an SQLite file beside the project unless ``MLFLOW_TRACKING_URI`` names another; a URI is never read from
the parameters, because it may hold a password.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mlflow
import mlflow.onnx
import numpy as np
import numpy.typing as npt
from mlflow.entities import Metric
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException
from mlflow.models import ModelSignature
from mlflow.tracking import MlflowClient
from mlflow.types import Schema, TensorSpec

from illmrec.errors import ModelError
from pipelines.lock import hold_lock

CHAMPION, CHALLENGER = "champion", "challenger"
EXPERIMENT = "illmrec"
MODEL_TAG = "tensors_sha256"
"""Tag of a training run: digest of the model it made."""

_FLUSH_ROWS = 200


@dataclass(frozen=True)
class Released:
    """A registered version and its files."""

    name: str
    version: str
    run_id: str
    tags: Mapping[str, str]


class Tracker:
    """Client of one store.

    Args:
        root: project folder; the default store is ``mlflow.db`` in it, its artifacts ``mlartifacts/``.
    """

    def __init__(self, root: Path) -> None:
        logging.getLogger("alembic").setLevel(logging.WARNING)
        # It warns about a missing pip, which it needs only to describe environments.
        logging.getLogger("mlflow").setLevel(logging.ERROR)
        self._root = root
        configured = os.environ.get("MLFLOW_TRACKING_URI")
        self.uri = configured or f"sqlite:///{(root / 'mlflow.db').absolute()}"
        mlflow.set_tracking_uri(self.uri)
        mlflow.set_registry_uri(self.uri)
        if configured is None:
            # MLflow leaves the address in the environment, where the next project of this process would find it.
            os.environ.pop("MLFLOW_TRACKING_URI", None)
        # Opening a store sets up its database the first time; two processes doing so at once break it.
        with self._alone():
            self.client = MlflowClient(self.uri, self.uri)
            self.client.search_registered_models(max_results=1)

    def _alone(self) -> AbstractContextManager[None]:
        return hold_lock(self._root / "work" / "locks" / "tracking.lock", wait_seconds=120)

    def open_experiment(self, name: str) -> str:
        """Return the id of an experiment, creating it the first time."""
        with self._alone():
            found = self.client.get_experiment_by_name(name)
            if found is not None:
                return str(found.experiment_id)
            local = self.uri.startswith("sqlite:")
            artifacts = (self._root / "mlartifacts").absolute().as_uri() if local else None
            return str(self.client.create_experiment(name, artifact_location=artifacts))

    def start_run(self, experiment: str, name: str, *, run_id: str | None = None) -> TrackedRun:
        """Open a run, or continue ``run_id`` where the store still has it."""
        experiment_id = self.open_experiment(experiment)
        if run_id is not None:
            try:
                self.client.update_run(run_id, status="RUNNING")
                return TrackedRun(self.client, run_id)
            except MlflowException:
                logging.getLogger(__name__).warning("run %s is gone from the store; a new one is opened", run_id)
        run = self.client.create_run(experiment_id, run_name=name)
        return TrackedRun(self.client, run.info.run_id)

    def find_run(self, experiment: str, tensors_sha256: str) -> str | None:
        """Return the training run that made a model, or None where this store has not seen it."""
        found = self.client.search_runs(
            [self.open_experiment(experiment)], f"tags.{MODEL_TAG} = '{tensors_sha256}'", max_results=1
        )
        return str(found[0].info.run_id) if found else None

    def register(
        self,
        run_id: str,
        name: str,
        model: Any,
        *,
        signature: ModelSignature,
        example: Mapping[str, Any],
        extra_files: list[Path],
        tags: Mapping[str, str],
        alias: str,
    ) -> Released:
        """Log an ONNX model with its files and make it a registered version.

        Tags are written and read back before the alias, which alone publishes the version, is set: a crash leaves at
        most a version that nothing points to.
        """
        with mlflow.start_run(run_id=run_id), _quiet_environment():
            info = mlflow.onnx.log_model(
                model,
                name="head",
                signature=signature,
                input_example=dict(example),
                pip_requirements=["onnxruntime"],
                # Without a list MLflow tries CUDA first and prints errors where there is no GPU.
                onnx_execution_providers=["CPUExecutionProvider"],
                save_as_external_data=False,
                extra_files=[str(path) for path in extra_files],
            )
        try:
            self.client.create_registered_model(name)
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
        version = self.client.create_model_version(
            name, info.model_uri, run_id=run_id, model_id=info.model_id, tags=dict(tags)
        ).version
        stored = self.client.get_model_version(name, version).tags
        lost = {key for key, value in tags.items() if stored.get(key) != value}
        if lost:
            raise ModelError(f"{name} version {version} lost its tags {sorted(lost)}.", hint="Register again.")
        self.client.set_registered_model_alias(name, alias, version)
        return Released(name, str(version), run_id, dict(tags))

    def resolve(self, name: str, alias: str) -> Released:
        """Return the version an alias points to.

        Raises:
            ModelError: when the model or the alias does not exist.
        """
        try:
            version: ModelVersion = self.client.get_model_version_by_alias(name, alias)
        except MlflowException:
            hint = "Run `illmrec register` and `illmrec promote` first."
            raise ModelError(f"the registry has no {alias} of {name}.", hint=hint) from None
        return Released(name, str(version.version), str(version.run_id), dict(version.tags))

    def set_alias(self, released: Released, alias: str) -> None:
        """Point an alias to a version."""
        self.client.set_registered_model_alias(released.name, alias, released.version)

    def download_file(self, released: Released, name: str, folder: Path) -> Path:
        """Copy one of a version's files into ``folder`` and return where it is.

        Raises:
            ModelError: when the version has no such file.
        """
        uri = f"models:/{released.name}/{released.version}/{name}"
        try:
            with _quiet_environment():
                return Path(mlflow.artifacts.download_artifacts(artifact_uri=uri, dst_path=str(folder)))
        except (MlflowException, OSError):
            lost = f"version {released.version} of {released.name} has no file {name}."
            raise ModelError(lost, hint="Register it again.") from None

    def download(self, released: Released, folder: Path) -> Path:
        """Copy a version's files into ``folder`` and return where they are."""
        uri = f"models:/{released.name}/{released.version}"
        folder.mkdir(parents=True, exist_ok=True)
        with _quiet_environment():
            return Path(mlflow.artifacts.download_artifacts(artifact_uri=uri, dst_path=str(folder)))


class TrackedRun:
    """One open run; curve values are sent in batches."""

    def __init__(self, client: MlflowClient, run_id: str) -> None:
        self.run_id = run_id
        self._client = client
        self._waiting: list[Metric] = []

    def log(self, step: int, values: dict[str, float]) -> None:
        """Keep values of one step."""
        now = int(time.time() * 1000)
        self._waiting += [Metric(key, value, now, step) for key, value in values.items()]
        if len(self._waiting) >= _FLUSH_ROWS:
            self.flush()

    def flush(self) -> None:
        """Send what waits."""
        for start in range(0, len(self._waiting), _FLUSH_ROWS):
            self._client.log_batch(self.run_id, metrics=self._waiting[start : start + _FLUSH_ROWS])
        self._waiting = []

    def describe(self, params: Mapping[str, Any], tags: Mapping[str, str]) -> None:
        """Keep parameters (flat names) and tags."""
        for key, value in params.items():
            self._client.log_param(self.run_id, key, value)
        for key, value in tags.items():
            self._client.set_tag(self.run_id, key, value)

    def attach(self, path: Path, folder: str | None = None) -> None:
        """Keep a file as an artifact."""
        self._client.log_artifact(self.run_id, str(path), folder)

    def finish(self, status: str = "FINISHED") -> None:
        """Send what waits and close the run."""
        self.flush()
        self._client.set_terminated(self.run_id, status)


@contextmanager
def _quiet_environment() -> Iterator[None]:
    """Keep MLflow from printing progress bars and from asking package indexes for requirements."""
    before = dict(os.environ)
    os.environ["MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR"] = "false"
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def metric_tag(name: str) -> str:
    """Return the tag under which a version carries a metric; the registry allows no ``@`` in it."""
    return f"metric/{name.replace('@', '_at_')}"


def infer_head_signature(
    llm_width: int, widths: Mapping[str, int]
) -> tuple[dict[str, npt.NDArray[np.float32]], ModelSignature]:
    """Return an input example of a head and its signature: any number of rows per input and output."""
    example = {"hidden": np.zeros((1, llm_width), np.float32)}
    example |= {kind: np.zeros((1, width), np.float32) for kind, width in widths.items()}
    inputs = [TensorSpec(np.dtype(np.float32), (-1, value.shape[1]), name) for name, value in example.items()]
    outputs = [TensorSpec(np.dtype(np.float32), (-1, -1), name) for name in ("users", "items")]
    return example, ModelSignature(Schema(inputs), Schema(outputs))
