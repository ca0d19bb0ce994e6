"""A page of HTML as a browser would tell its elements and texts apart."""

from __future__ import annotations

from html.parser import HTMLParser


class Page(HTMLParser):
    """Elements with their attributes, and texts, in the order of the source."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.source = source
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.texts: list[str] = []
        self.feed(source)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    @property
    def text(self) -> str:
        """Return all texts as one line, as the source runs on."""
        return " ".join("".join(self.texts).split())

    @property
    def words(self) -> str:
        """Return all texts as one line, a space between elements: cells of a table, say."""
        return " ".join(" ".join(self.texts).split())
