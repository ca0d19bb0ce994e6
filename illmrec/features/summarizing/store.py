"""Summaries that a language model wrote, kept by the content of the description.

One SQLite file per model, revision and way of asking. A batch is one transaction, so a killed run loses at most the
batch it was waiting for, and a description that has not changed is not read again.
"""

from __future__ import annotations

import contextlib
import hashlib
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType

from illmrec.errors import ModelError
from illmrec.features.encode import hash_text
from illmrec.progress import track
from illmrec.sqlite_file import chunk_keys, open_file

_TABLES = [
    ("CREATE TABLE IF NOT EXISTS about (model TEXT, revision TEXT, settings TEXT)", ()),
    ("CREATE TABLE IF NOT EXISTS summaries (content TEXT PRIMARY KEY, summary TEXT)", ()),
]
_ABOUT = "INSERT INTO about SELECT ?, ?, ? WHERE NOT EXISTS (SELECT 1 FROM about)"


class SummaryStore:
    """What one model wrote when asked in one way.

    Args:
        folder: where the files of all models lie.
        model: name of the model.
        revision: pinned revision or digest of its weights.
        settings: everything else that changes what it writes, as text.

    Raises:
        ModelError: when the file is damaged.
    """

    def __init__(self, folder: Path, model: str, revision: str, settings: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        about = (model, revision, settings)
        key = hashlib.sha256("\x00".join(about).encode()).hexdigest()[:32]
        self.path = folder / f"{key}.sqlite"
        with self._explain_damage():
            self._connection = open_file(self.path, [*_TABLES, (_ABOUT, about)])

    def __enter__(self) -> SummaryStore:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._connection.close()

    def load(self, contents: Iterable[str]) -> dict[str, str]:
        """Return the summaries of those content hashes that have one.

        Raises:
            ModelError: when the file is damaged.
        """
        wanted = list(dict.fromkeys(contents))
        found: dict[str, str] = {}
        with self._explain_damage():
            for chunk, marks in chunk_keys(wanted):
                query = f"SELECT content, summary FROM summaries WHERE content IN ({marks})"  # noqa: S608 - only marks
                found.update(self._connection.execute(query, chunk))
        return found

    def store(self, summaries: Mapping[str, str]) -> None:
        """Keep summaries under their content hashes, in one transaction.

        Raises:
            ModelError: when the file is damaged.
        """
        with self._explain_damage(), self._connection:
            self._connection.executemany("INSERT OR REPLACE INTO summaries VALUES (?, ?)", list(summaries.items()))

    @contextlib.contextmanager
    def _explain_damage(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.DatabaseError as error:
            hint = "Delete the file and run the command again; its summaries are then written anew."
            raise ModelError(f"the store of summaries cannot be used: {error}.", path=self.path, hint=hint) from None


def write_missing(
    store: SummaryStore, texts: Iterable[str], write: Callable[[Sequence[str]], Sequence[str]], *, batch_size: int
) -> tuple[dict[str, str], int]:
    """Have every text summarized that ``store`` lacks, each batch kept before the next one is asked for.

    Args:
        store: the model's store.
        texts: descriptions, repeats allowed.
        write: texts to summaries, one for each; not called when nothing is missing.
        batch_size: texts per call.

    Returns:
        Text -> summary, and how many were written now.
    """
    keys = {text: hash_text(text) for text in texts}
    found = store.load(keys.values())
    # Long ones first: texts of a batch are padded to one length, and what does not fit into memory shows at once.
    missing = sorted((text for text in keys if keys[text] not in found), key=lambda text: (-len(text), keys[text]))
    batches = [missing[start : start + batch_size] for start in range(0, len(missing), batch_size)]

    def ask() -> Iterator[str]:
        for batch in batches:
            written = {keys[text]: summary for text, summary in zip(batch, write(batch), strict=True)}
            store.store(written)
            found.update(written)
            yield from batch

    for _ in track(ask(), "write summaries", total=len(missing), unit="text"):
        pass
    return {text: found[key] for text, key in keys.items()}, len(missing)
