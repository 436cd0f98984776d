"""Losses of the stage that unlearns loops, on corpus rows and on what the target writes. Knows nothing of data."""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from .chain_losses import ChainLossWeights, chain_losses
from .model import CodeModel, document_numbers


class ChainSettings(NamedTuple):
    """How chains are drafted in an optimiser step, and what they lose."""

    rows: int
    steps: int
    weights: ChainLossWeights
    temperature: Tensor


def corpus_losses(
    model: CodeModel, rows: Tensor, end_of_text: int, chains: ChainSettings | None
) -> tuple[Tensor, Tensor | None]:
    """rows: [batch, length + 1]; mean cross-entropy in nats per token, and of chains in the first rows, by depth."""
    ids = rows[:, :-1]
    documents = document_numbers(ids, end_of_text)
    hidden = model.hidden_states(ids, documents)
    logits = model.head(hidden).float()
    likelihood = F.cross_entropy(logits.flatten(0, 1), rows[:, 1:].flatten())
    if chains is None:
        return likelihood, None
    count, steps, weights, temperature = chains
    chained = (part[:count] for part in (hidden, logits, ids))
    return likelihood, chain_losses(model, *chained, steps, weights, temperature, documents[:count])


def own_losses(
    model: CodeModel, ids: Tensor, repeated: Tensor, chains: ChainSettings | None, sampled: Tensor | None = None
) -> tuple[Tensor, Tensor | None]:
    """`unlikelihood_loss` of ids [batch, length], and of chains in them, by depth.

    sampled: [batch], 1 for rows that the target wrote at a temperature and 0 for greedy ones. In the latter it does not
    lean towards drafts: those of loops are the easiest.
    """
    hidden = model.hidden_states(ids)
    logits = model.head(hidden).float()
    unlikelihood = unlikelihood_loss(logits, ids, repeated)
    if chains is None:
        return unlikelihood, None
    agreement = 0.0 if sampled is None else chains.weights.agreement * sampled[:, None, None]
    weights = chains.weights._replace(agreement=agreement)
    return unlikelihood, chain_losses(model, hidden, logits, ids, chains.steps, weights, chains.temperature, None)


def unlikelihood_loss(logits: Tensor, ids: Tensor, repeated: Tensor) -> Tensor:
    """Mean of -log(1 - p), p being the probability of a token that was repeated; 0 for the others.

    logits: float32 [batch, length, vocab_size]; ids: [batch, length]; repeated: booleans of the last tokens of a row,
    [batch, at most length - 1].
    """
    count = repeated.shape[1]
    log_probs = logits[:, -count - 1 : -1].log_softmax(-1)
    chosen = log_probs.gather(-1, ids[:, -count:, None])[..., 0]
    losses = -torch.log((1 - chosen.exp()).clamp_min(1e-5))
    return (losses * repeated).mean()
