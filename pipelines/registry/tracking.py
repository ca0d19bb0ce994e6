"""Runs, curves and the model registry; the only module that imports MLflow.

The store is an SQLite file beside the project unless ``MLFLOW_TRACKING_URI`` names another; a URI is never read from
the parameters, because it may hold a password.
"""

from __future__ import annotations

import logging
import os
import platform
import re
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
from mlflow.entities import LoggedModelStatus, Metric
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException
from mlflow.models import ModelSignature
from mlflow.tracking import MlflowClient
from mlflow.types import ColSpec, Schema, TensorSpec
from mlflow.utils.mlflow_tags import MLFLOW_RUN_NOTE

from illmrec.errors import ModelError
from pipelines.project.lock import hold_lock
from pipelines.registry.version import Version

CHAMPION, CHALLENGER = "champion", "challenger"
EXPERIMENT = "illmrec"
MODEL_TAG = "tensors_sha256"
"""Tag of a training run: digest of the model it made."""
HOST_TAG, DATASET_TAG = "illmrec.host", "dataset"
"""Tags of a run: the machine it runs on, the data set it is of."""

_FLUSH_ROWS = 200


class NoVersionError(ModelError):
    """The registry answers, and has no such version."""


def _is_absence(error: MlflowException) -> bool:
    """Return whether the store says that there is no such thing, and not that it cannot say."""
    no_alias = error.error_code == "INVALID_PARAMETER_VALUE" and "not found" in str(error)
    return no_alias or error.error_code == "RESOURCE_DOES_NOT_EXIST"


@dataclass(frozen=True)
class OpenRun:
    """A run that the store believes to be under way."""

    run_id: str
    name: str
    dataset: str
    host: str
    started: float
    """Seconds since 1970."""


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
        configured = os.environ.get("MLFLOW_TRACKING_URI")  # CI systems set it to nothing where they hold no secret
        self.uri = configured or f"sqlite:///{(root / 'mlflow.db').absolute()}"
        mlflow.set_tracking_uri(self.uri)
        mlflow.set_registry_uri(self.uri)
        if not configured:
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
                self.client.set_tag(run_id, HOST_TAG, platform.node())
                return TrackedRun(self.client, run_id)
            except MlflowException:
                logging.getLogger(__name__).warning("run %s is gone from the store; a new one is opened", run_id)
        run = self.client.create_run(experiment_id, run_name=name, tags={HOST_TAG: platform.node(), DATASET_TAG: name})
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
        description: str = "",
    ) -> Version:
        """Log an ONNX model with its files and make it a version to which no alias points yet.

        The version comes into being with its tags and its description; they are read back. A crash before leaves a run
        and a half-written model, which ``illmrec registry sweep`` closes.
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
        number = self.client.create_model_version(
            name, info.model_uri, run_id=run_id, model_id=info.model_id, tags=dict(tags), description=description
        ).version
        stored = self.client.get_model_version(name, number).tags
        lost = {key for key, value in tags.items() if stored.get(key) != value}
        if lost:
            raise ModelError(f"{name} version {number} lost its tags {sorted(lost)}.", hint="Register again.")
        return Version(name, str(number), run_id, dict(tags), description=description)

    def describe_model(self, name: str, description: str) -> None:
        """Say on a registered model's page what it is."""
        self.client.update_registered_model(name, description)

    def resolve(self, name: str, alias: str) -> Version:
        """Return the version an alias points to.

        Raises:
            NoVersionError: when the model or the alias does not exist.
        """
        try:
            version: ModelVersion = self.client.get_model_version_by_alias(name, alias)
        except MlflowException as error:
            if not _is_absence(error):
                raise
            hint = "Run `illmrec register` and `illmrec promote` first."
            raise NoVersionError(f"the registry has no {alias} of {name}.", hint=hint) from None
        return _read_version(version)

    def find(self, name: str, alias: str) -> Version | None:
        """Return the version an alias points to; None where it points to none, never because the store fails."""
        try:
            return self.resolve(name, alias)
        except NoVersionError:
            return None

    def list_versions(self, name: str) -> list[Version]:
        """Return all versions of a model with their aliases, newest first; none where there is no such model."""
        aliases = self._read_model(name).get("aliases", {})
        found: list[ModelVersion] = []
        token = None
        while True:
            page = self.client.search_model_versions(f"name = '{name}'", page_token=token)
            found += page
            token = page.token
            if not token:
                break
        return [
            _read_version(
                version, tuple(alias for alias, number in aliases.items() if str(number) == str(version.version))
            )
            for version in sorted(found, key=lambda version: -int(version.version))
        ]

    def delete_version(self, version: Version) -> None:
        """Remove a version from the registry; its run and files stay."""
        self.client.delete_model_version(version.name, version.number)

    def set_alias(self, version: Version, alias: str) -> None:
        """Point an alias to a version."""
        self.client.set_registered_model_alias(version.name, alias, version.number)

    def read_model_tag(self, name: str, tag: str) -> str | None:
        """Return a tag of a registered model, all versions together."""
        value = self._read_model(name).get("tags", {}).get(tag)
        return None if value is None else str(value)

    def set_model_tag(self, name: str, tag: str, value: str) -> None:
        """Keep a tag of a registered model."""
        self.client.set_registered_model_tag(name, tag, value)

    def _read_model(self, name: str) -> dict[str, Any]:
        try:
            model = self.client.get_registered_model(name)
        except MlflowException as error:
            if not _is_absence(error):
                raise
            return {}
        return {"tags": dict(model.tags), "aliases": dict(model.aliases)}

    def list_open_runs(self, experiment: str) -> list[OpenRun]:
        """Return the runs that were never closed."""
        runs = self.client.search_runs([self.open_experiment(experiment)], "attributes.status = 'RUNNING'")
        return [
            OpenRun(
                run.info.run_id,
                str(run.info.run_name),
                run.data.tags.get(DATASET_TAG, ""),
                run.data.tags.get(HOST_TAG, ""),
                run.info.start_time / 1000.0,
            )
            for run in runs
        ]

    def close_run(self, run_id: str) -> None:
        """Close a run whose process is gone."""
        self.client.set_terminated(run_id, "KILLED")

    def list_half_models(self, experiment: str, dataset: str) -> dict[str, str]:
        """Return the models of a data set's runs whose files were never written whole: model id -> run id."""
        models = self.client.search_logged_models([self.open_experiment(experiment)])
        half = {m.model_id: str(m.source_run_id) for m in models if m.status == LoggedModelStatus.PENDING}
        return {
            model: run for model, run in half.items() if self.client.get_run(run).data.tags.get(DATASET_TAG) == dataset
        }

    def fail_model(self, model_id: str) -> None:
        """Mark a half-written model as failed."""
        self.client.finalize_logged_model(model_id, LoggedModelStatus.FAILED)

    def download_file(self, version: Version, name: str, folder: Path) -> Path:
        """Copy one of a version's files into ``folder`` and return where it is.

        Raises:
            ModelError: when the version has no such file.
        """
        uri = f"models:/{version.name}/{version.number}/{name}"
        try:
            with _quiet_environment():
                return Path(mlflow.artifacts.download_artifacts(artifact_uri=uri, dst_path=str(folder)))
        except (MlflowException, OSError):
            raise ModelError(f"{version.describe()} has no file {name}.", hint="Register it again.") from None

    def download(self, version: Version, folder: Path) -> Path:
        """Copy a version's files into ``folder`` and return where they are."""
        uri = f"models:/{version.name}/{version.number}"
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

    def note(self, text: str) -> None:
        """Say on the run's page what came of it."""
        self._client.set_tag(self.run_id, MLFLOW_RUN_NOTE, text)

    def attach(self, path: Path, folder: str | None = None) -> None:
        """Keep a file as an artifact."""
        self._client.log_artifact(self.run_id, str(path), folder)

    def finish(self, status: str = "FINISHED") -> None:
        """Send what waits and close the run."""
        self.flush()
        self._client.set_terminated(self.run_id, status)


def _read_version(version: ModelVersion, aliases: tuple[str, ...] = ()) -> Version:
    return Version(
        str(version.name),
        str(version.version),
        str(version.run_id),
        dict(version.tags),
        aliases,
        str(version.description or ""),
        version.creation_timestamp / 1000.0,
    )


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
    return f"metric/{name_metric(name)}"


def name_metric(name: str) -> str:
    """Return a metric's name in a store that allows no ``@`` and no brackets."""
    return re.sub(r"[^\w\-./ :]", " ", name.replace("@", "_at_")).strip()


def infer_head_signature(
    llm_width: int, widths: Mapping[str, int]
) -> tuple[dict[str, npt.NDArray[np.float32]], ModelSignature]:
    """Return an input example of a head and its signature: any number of rows per input and output."""
    example = {"hidden": np.zeros((1, llm_width), np.float32)}
    example |= {kind: np.zeros((1, width), np.float32) for kind, width in widths.items()}
    inputs: list[ColSpec | TensorSpec] = [
        TensorSpec(np.dtype(np.float32), (-1, value.shape[1]), name) for name, value in example.items()
    ]
    outputs: list[ColSpec | TensorSpec] = [
        TensorSpec(np.dtype(np.float32), (-1, -1), name) for name in ("users", "items")
    ]
    return example, ModelSignature(Schema(inputs), Schema(outputs))
