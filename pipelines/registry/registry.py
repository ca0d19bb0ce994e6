"""The registered model of a data set: its versions, where the aliases point, who moved them. The folder's door."""

from __future__ import annotations

import functools
from typing import Any

from pipelines.parameters.operation import RegisterConfig
from pipelines.project.context import Context
from pipelines.project.lock import locked
from pipelines.project.receipts import write_receipt
from pipelines.registry import alias_log
from pipelines.registry.alias_log import HEAD_TAG, Action, Entry, check_head
from pipelines.registry.tracking import CHALLENGER, CHAMPION, Tracker
from pipelines.registry.version import Version
from pipelines.registry.version_files import VersionFiles, fetch_version


class Registry:
    """What the registry knows of one data set. Every answer is asked for anew: other machines move aliases too.

    Args:
        context: the data set.
    """

    def __init__(self, context: Context) -> None:
        self.layout = context.layout
        self.name = context.section(RegisterConfig).name_prefix + context.layout.dataset
        """The registered model's name."""

    @functools.cached_property
    def tracker(self) -> Tracker:
        """The store, opened on first use."""
        return Tracker(self.layout.root)

    # --- versions ------------------------------------------------------------------------------------------------

    @property
    def champion(self) -> Version:
        """The version that serves.

        Raises:
            NoVersionError: when there is none.
        """
        return self.tracker.resolve(self.name, CHAMPION)

    @property
    def challenger(self) -> Version:
        """The version that waits for a promotion, or was promoted last.

        Raises:
            NoVersionError: when there is none.
        """
        return self.tracker.resolve(self.name, CHALLENGER)

    def find_champion(self) -> Version | None:
        """Return the champion; None where there is none, never because the store fails."""
        return self.tracker.find(self.name, CHAMPION)

    def find_challenger(self) -> Version | None:
        """Return the challenger; None where there is none, never because the store fails."""
        return self.tracker.find(self.name, CHALLENGER)

    def list_versions(self) -> list[Version]:
        """Return all versions with their aliases, newest first."""
        return self.tracker.list_versions(self.name)

    def find_version(self, number: str) -> Version | None:
        """Return one version; None where the registry does not have it, or not any more."""
        return next((version for version in self.list_versions() if version.number == number), None)

    def fetch(self, version: Version) -> VersionFiles:
        """Bring a version's files here, unless they are, and check them.

        Raises:
            ModelError: see :func:`pipelines.registry.version_files.fetch_version`.
        """
        return fetch_version(self.tracker, version, self.layout.root / "work" / "releases")

    # --- moves of aliases ----------------------------------------------------------------------------------------

    def read_log(self) -> list[Entry]:
        """Return the audit log of alias moves, first one first.

        Raises:
            ModelError: when it was changed, or is not the log that the registry knows.
        """
        entries = alias_log.read_log(self.layout.alias_log)
        check_head(self.layout.alias_log, entries, self.tracker.read_model_tag(self.name, HEAD_TAG))
        return entries

    def move_alias(self, version: Version, alias: str, *, action: Action, why: str) -> Entry:
        """Write down that an alias moves to a version, then move it; the caller holds the lock ``registry``.

        Raises:
            ModelError: when the log was changed; the alias stays where it is.
        """
        return alias_log.move_alias(self.layout.alias_log, self.tracker, version, alias, action=action, why=why)

    @locked("registry")
    def accept_log(self, why: str) -> Entry:
        """Go on with the log as it is, on a new machine or after a loss that somebody looked into.

        Raises:
            NoVersionError: when there is no champion.
            ModelError: when a line was changed: a broken chain is not accepted, the file must be put aside.
        """
        return alias_log.accept_log(self.layout.alias_log, self.tracker, self.name, CHAMPION, why)

    def write_receipt(self, job: str, facts: dict[str, Any]) -> None:
        """Keep what a job did to the registry."""
        write_receipt(self.layout.receipts, job, facts)
