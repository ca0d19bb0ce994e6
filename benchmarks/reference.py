"""The plain way to compute the training losses: one prompt per question, every prompt in a sequence of its own.

Nothing here knows of trees, branches, packing or masks over several users. For every target the retrieval prompt is
written out in full, for every window the alignment prompt; each goes through the language model from its first token,
with logits at every position, and each item's features are fetched by themselves. Slow and easy to check: it is what
:mod:`illmrec.models.batch` is tested against, and what the benchmarks compare with.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from illmrec.data.examples import EpochPlan
from illmrec.data.histories import Ragged
from illmrec.models import templates
from illmrec.models.recommender import Recommender


def load_language_model(folder: Path, dtype: torch.dtype = torch.float32, layers: int | None = None) -> Any:
    """Return the language model of ``folder``, or its first layers, frozen, straight from transformers."""
    from transformers import AutoModelForCausalLM
    from transformers.utils import logging

    cut = {} if layers is None else {"num_hidden_layers": layers}
    local = {"local_files_only": True, "use_safetensors": True}
    logging.set_verbosity_error()  # weights of layers that are not read are no news
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=dtype, **local, **cut)
    return model.eval().requires_grad_(requires_grad=False)


@dataclass(frozen=True)
class Reference:
    """Losses of a recommender, computed prompt by prompt.

    Args:
        recommender: gives the trained parts, the tokens of the prompt's texts and the features; its own way of putting
            prompts together and of running the language model is not used.
        model: the language model, see :func:`load_language_model`.
        together: prompts per forward pass, padded on the right; 1 pads nothing.
        feature_files: folder with one file per item and feature type, opened each time a feature is wanted, as in the
            authors' code; None to look it up in the matrix.
        checkpointing: compute activations again in the backward pass, as in the authors' code.
    """

    recommender: Recommender
    model: Any
    together: int = 1
    feature_files: Path | None = None
    checkpointing: bool = False

    def write_feature_files(self, folder: Path) -> None:
        """Write what ``feature_files`` reads."""
        for kind, matrix in self.recommender.features.items():
            for item, values in enumerate(matrix.values):
                np.save(folder / f"{kind}-{item}.npy", values)

    def compute_losses(
        self, plan: EpochPlan, windows: Sequence[int], sequences: Ragged, *, alignment: bool = True
    ) -> dict[str, Tensor]:
        """Return the unweighted losses of some windows of a plan: one per feature type, and ``alignment``."""
        retrieval, questions, answer_lengths = [], [], []
        cases: list[int] = []
        for window in windows:
            start = int(plan.starts[window])
            for case in range(int(plan.target_offsets[window]), int(plan.target_offsets[window + 1])):
                cases.append(case)
                shown = slice(start, int(plan.targets[case]))
                hidden = None if plan.hidden is None else plan.hidden[shown]
                retrieval.append(self.write_retrieval(sequences.values[shown], hidden))
            asked = int(plan.alignment_targets[window])
            target = int(sequences.values[asked])
            template = self.choose_template(target, float(plan.template_draws[window]))
            if alignment and template is not None:
                hidden = None if plan.hidden is None else plan.hidden[start:asked]
                prompt, answer = self.write_alignment(sequences.values[start:asked], template, target, hidden)
                questions.append((prompt, answer))
                answer_lengths.append(len(answer))
        losses = self._retrieval_losses(retrieval, cases, plan, sequences)
        return losses | ({"alignment": self._alignment_loss(questions)} if questions else {})

    def write_history(self, history: Sequence[int], hidden: Any = None, head: Any = None) -> list[Tensor]:
        """Return the embeddings of the task and of one item after the other, each picture by itself.

        Args:
            history: item indices.
            hidden: which of them show no picture; None for none.
            head: tokens to begin with; the prompt's head by default.
        """
        prompt = self.recommender.prompt
        parts = [self._embed(prompt.head if head is None else head)]
        for place, item in enumerate(history):
            segment, slot = prompt.items[int(item)], int(prompt.slot_starts[int(item)])
            if hidden is not None and hidden[place]:
                parts.append(self._embed(prompt.bare_items[int(item)]))
                continue
            adaptor, kinds = self.recommender.parts.adaptor, self.recommender.slot_kinds
            if slot < 0 or adaptor is None:
                parts.append(self._embed(segment))
                continue
            features = [self._feature(kind, int(item)) for kind in kinds]
            length = sum(len(feature) for feature in features)
            # Every feature gets the same share of the squared length of the whole.
            even = [feature * (length / len(feature) / len(features)) ** 0.5 for feature in features]
            shown = adaptor(torch.cat(even)[None]).to(self.model.dtype)
            shown = shown.reshape(prompt.slots, -1)
            parts += [self._embed(segment[:slot]), shown, self._embed(segment[slot + prompt.slots :])]
        return parts

    def write_retrieval(self, history: Sequence[int], hidden: Any = None) -> Tensor:
        """Return ``[T, d_llm]``: history, instruction, [REC]."""
        rec = self.recommender.parts.rec.to(self.model.dtype)
        instruction = self._embed(self.recommender.prompt.instruction)
        return torch.cat([*self.write_history(history, hidden), instruction, rec[None]])

    def write_alignment(
        self, history: Sequence[int], template: int, target: int, hidden: Any = None
    ) -> tuple[Tensor, list[int]]:
        """Return ``[T, d_llm]``: history, question, answer; and the answer's tokens, which stand last."""
        prompt = self.recommender.prompt
        before, after = prompt.answers[template]
        value = prompt.properties[templates.ALIGNMENT[template][0]][target]
        answer = [*before.tolist(), *value.tolist(), *after.tolist()]
        question = self._embed(prompt.questions[template])
        told = self.write_history(history, hidden, prompt.question_head)
        return torch.cat([*told, question, self._embed(np.asarray(answer))]), answer

    def choose_template(self, target: int, draw: float) -> int | None:
        """Return the template that a draw in [0, 1) picks among those whose property the target has."""
        known = [
            number
            for number, (name, _, _) in enumerate(templates.ALIGNMENT)
            if len(self.recommender.prompt.properties[name][target])
        ]
        return known[int(draw * len(known))] if known else None

    def run(self, prompts: list[Tensor]) -> list[tuple[Tensor, Tensor]]:
        """Return each prompt's last hidden states ``[T, d_llm]`` and logits ``[T, vocabulary]`` at every position."""
        results = []
        for first in range(0, len(prompts), self.together):
            chunk = prompts[first : first + self.together]
            padded = torch.nn.utils.rnn.pad_sequence(chunk, batch_first=True)
            lengths = torch.tensor([len(prompt) for prompt in chunk])
            mask = (torch.arange(padded.shape[1]) < lengths[:, None]).long()
            states, logits = self._forward(padded, mask)
            for row, length in enumerate(lengths.tolist()):
                results.append((states[row, :length], logits[row, :length]))
        return results

    def _forward(self, embeddings: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        # Layers keep nothing only in training mode; none of them has dropout.
        if self.checkpointing:
            self.model.activation_checkpointing_enable({"use_reentrant": False})
        self.model.train(self.checkpointing)
        output = self.model(inputs_embeds=embeddings, attention_mask=mask, output_hidden_states=True, use_cache=False)
        return output.hidden_states[-1], output.logits

    def _retrieval_losses(
        self, prompts: list[Tensor], cases: list[int], plan: EpochPlan, sequences: Ragged
    ) -> dict[str, Tensor]:
        heads = self.recommender.parts.heads
        users = [hidden[-1].float() for hidden, _ in self.run(prompts)]
        losses = {}
        for column, kind in enumerate(heads.kinds):
            terms = []
            for user, case in zip(users, cases, strict=True):
                asked = heads.user[kind](user[None])[0]
                if heads.log_weights is not None:
                    asked = asked * torch.exp(heads.log_weights[column])
                target = int(sequences.values[plan.targets[case]])
                positive = asked @ heads.item[kind](self._feature(kind, target)[None])[0]
                negative = asked @ heads.item[kind](self._feature(kind, int(plan.negatives[case, 0, column]))[None])[0]
                terms.append(-torch.log(torch.sigmoid(positive)) - torch.log(1 - torch.sigmoid(negative)))
            losses[kind] = torch.stack(terms).mean()
        return losses

    def _alignment_loss(self, questions: list[tuple[Tensor, list[int]]]) -> Tensor:
        terms = []
        for (_, logits), (_, answer) in zip(self.run([prompt for prompt, _ in questions]), questions, strict=True):
            # The token before the answer predicts its first token, and so on.
            log_probabilities = torch.log_softmax(logits[-len(answer) - 1 : -1].float(), dim=-1)
            terms += [-log_probabilities[place, token] for place, token in enumerate(answer)]
        return torch.stack(terms).mean()

    def _embed(self, tokens: Any) -> Tensor:
        ids = torch.from_numpy(np.asarray(tokens, dtype=np.int64))
        embedded: Tensor = self.model.get_input_embeddings()(ids)
        return embedded

    def _feature(self, kind: str, item: int) -> Tensor:
        if self.feature_files is not None:
            return torch.from_numpy(np.load(self.feature_files / f"{kind}-{item}.npy").astype(np.float32))
        return torch.from_numpy(self.recommender.features[kind].values[item].astype(np.float32))
