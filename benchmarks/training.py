r"""Time of a training step (losses and gradients): prompt trees beside one padded prompt per question.

The reference sends the retrieval prompts of a batch through the language model, padded to the longest, then the
alignment prompts, with logits at every position. Both use the same language model with RANDOM weights, the same users,
one process and one thread, so the figures tell about time and memory only. The vocabulary is small, which favours the
reference: with a real one its logits at every position would cost more.

With ``supervision: every`` the time is per target: a history of L items asks for L targets in one pass, where the
reference writes a prompt for each.

\b
Example:
  python -m benchmarks.training --quick --json
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from benchmarks import measure
from illmrec.data.histories import pack_rows
from illmrec.seeds import generator


@dataclass(frozen=True)
class Size:
    """How large the benchmark is."""

    width: int
    layers: int
    users: int
    pairs: int
    every_lengths: tuple[int, ...]


QUICK = Size(width=128, layers=4, users=4, pairs=5, every_lengths=(5,))
FULL = Size(width=512, layers=8, users=8, pairs=5, every_lengths=(5, 10))
LENGTHS = (5, 10, 20)
ITEMS = 200
SHARED_WIDTH = 128


@click.command(help=__doc__)
@click.option("--quick", is_flag=True, help="A smaller model; ends within 50 seconds.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object on stdout.")
def main(quick: bool, as_json: bool) -> None:
    """Measure and print."""
    import torch

    torch.set_num_threads(1)
    size = QUICK if quick else FULL
    with tempfile.TemporaryDirectory() as folder:
        rows, tokens = _measure_all(size, Path(folder))
    settings: dict[str, Any] = {
        "backbone": f"Llama with random weights, {size.layers} layers, width {size.width}",
        "users per step": size.users,
        "tokens per item": round(tokens, 1),
        "pairs": size.pairs,
        "threads": 1,
        "time": "CPU seconds of losses and gradients; per target where every item is asked for",
    }
    measure.show("training", settings, rows, as_json)


def _measure_all(size: Size, folder: Path) -> tuple[list[measure.Row], float]:
    from benchmarks.reference import load_language_model
    from benchmarks.tiny import build_recommender, make_items, save_language_model
    from illmrec.models.backbone import Backbone

    items = make_items(ITEMS)
    save_language_model(folder, items, width=size.width, layers=size.layers, heads=8)
    recommender = build_recommender(Backbone(folder), items, history_limit=max(LENGTHS), shared_width=SHARED_WIDTH)
    model = load_language_model(folder)
    cases = [(length, "last") for length in LENGTHS] + [(length, "every") for length in size.every_lengths]
    rows = [_measure_case(recommender, model, size, length, supervision) for length, supervision in cases]
    return rows, float(recommender.prompt.items.lengths.mean())


def _measure_case(recommender: Any, model: Any, size: Size, length: int, supervision: Any) -> measure.Row:
    from benchmarks.reference import Reference
    from illmrec.data.examples import plan_epoch

    rng = generator(length, "benchmark")
    sequences = pack_rows([rng.integers(0, ITEMS, length + 1) for _ in range(size.users)])
    plan = plan_epoch(
        sequences,
        n_items=ITEMS,
        n_types=3,
        history_limit=length,
        window="last",
        supervision=supervision,
        negative_rule="unseen_shared",
        seed=0,
        epoch=0,
    )
    trainer = _make_trainer(recommender, sequences)
    reference = Reference(recommender, model, together=size.users)

    def step_reference() -> dict[str, float]:
        return _backward(recommender, reference.compute_losses(plan, range(len(plan)), sequences))

    def step_ours() -> dict[str, float]:
        return _backward(recommender, trainer.compute_losses(plan, slice(0, len(plan))))

    plain, ours = step_reference(), step_ours()
    targets = len(plan.targets) if supervision == "every" else 1
    return measure.compare(
        f"history {length}, " + ("last item asked" if supervision == "last" else "every item asked, per target"),
        step_reference,
        step_ours,
        pairs=size.pairs,
        max_abs_diff=max(abs(plain[name] - ours[name]) for name in plain),
        per=targets,
    )


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
    )
    return Trainer(
        recommender, sequences, settings, validate=lambda _: 0.0, checkpoints=Path("unused"), journal=Silent()
    )


if __name__ == "__main__":
    main()
