"""What drafts of the MTP module lose, and how many of them are accepted. Knows nothing of data or optimisers.

The loss at each depth has three parts: cross-entropy and total variation to the target's distribution, whose complement
is what rejection sampling accepts (Leviathan et al., arXiv 2211.17192), and cross-entropy to the token that the target
chooses under noise that the draft has too, which is what a server with coupled noise accepts (Daliri et al., arXiv
2408.07978): with total variation d, (1 - d) / (1 + d) of drafts and more.
"""

import argparse
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from .chain import chained_states
from .continuations import gumbel
from .model import CodeModel


class ChainLossWeights(NamedTuple):
    """Of the parts of the loss, and the share of the total variation's gradient that reaches the target's logits: one
    for all rows, or [batch, 1, 1]."""

    cross_entropy: float
    total_variation: float
    coupled: float
    agreement: float | Tensor = 0.0

    @classmethod
    def of(cls, arguments: argparse.Namespace) -> "ChainLossWeights":
        tv, coupled = arguments.tv_weight, arguments.coupled_weight
        return cls(1 - tv - coupled, tv, coupled, getattr(arguments, "agreement", 0.0))


def add_chain_loss_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--mtp-steps", type=int, default=4, help="drafts in a chain")
    parser.add_argument("--tv-weight", type=float, default=0.9, help="of total variation")
    parser.add_argument(
        "--coupled-weight", type=float, default=0.0, help="of the choice under shared noise; cross-entropy has the rest"
    )


def chain_losses(
    model: CodeModel,
    hidden: Tensor,
    target: Tensor,
    ids: Tensor,
    steps: int,
    weights: ChainLossWeights,
    temperature: Tensor,
    documents: Tensor | None,
) -> Tensor:
    """The mean over all chains of the loss at each depth: [steps].

    hidden: the target's states [batch, length, hidden_size]; target: its logits, float32 [batch, length, vocab_size];
    ids: [batch, length]; temperature: of the choice under shared noise, one number, 0 for the most likely token;
    documents as in `attend`.
    """
    fixed = target.detach()
    # One noise for each place, whichever depth drafts it, as when served.
    noise = gumbel(fixed.shape, fixed.device) if weights.coupled else None
    losses = []
    for step, states in enumerate(chained_states(model, hidden, ids, steps, documents), 1):
        places = slice(step, step + states.shape[1])
        draft, wanted = model.head(states).float(), fixed[:, places]
        log_draft, probs = draft.log_softmax(-1), wanted.softmax(-1)
        loss = weights.cross_entropy * -(probs * log_draft).sum(-1).mean()
        if isinstance(weights.agreement, Tensor) or weights.agreement:
            led = wanted + weights.agreement * (target[:, places] - wanted)
            probs = led.softmax(-1)
        loss = loss + weights.total_variation * 0.5 * (probs - log_draft.exp()).abs().sum(-1).mean()
        if noise is not None:
            loss = loss + weights.coupled * coupled_loss(draft, wanted, temperature, noise[:, places])
        losses.append(loss)
    return torch.stack(losses)


def coupled_loss(draft: Tensor, wanted: Tensor, temperature: Tensor, noise: Tensor) -> Tensor:
    """Mean cross-entropy of the draft under noise to what the target chooses under the same noise.

    draft, wanted: logits [..., vocab_size]; temperature: one number, 0 for no noise; noise: Gumbel, as `draft`.
    """
    is_sampling = temperature > 0
    scale = 1 / torch.where(is_sampling, temperature, 1)
    noise = noise * is_sampling
    choices = (wanted * scale + noise).argmax(-1)
    return F.cross_entropy((draft * scale + noise).flatten(0, -2), choices.flatten())


def chain_acceptance(
    model: CodeModel, ids: Tensor, prompt_length: int, steps: int, temperature: float, coupled: bool = False
) -> Tensor:
    """Expected [accepted, reached] chains by depth, [2, steps], over chains that start in a continuation.

    ids: [batch, length], continuations at `temperature`. Greedy and `coupled`, as served, count drafts that are the
    target's choice, under the same noise. Otherwise the overlap of the distributions is added up, what rejection
    sampling accepts. A draft is reached if all before it were accepted.
    """
    hidden = model.hidden_states(ids)
    target = model.head(hidden)
    reached = torch.ones((), device=ids.device)
    counts = torch.zeros(2, steps)
    for step, states in enumerate(chained_states(model, hidden, ids, steps, None), 1):
        first = prompt_length - 1
        draft = model.head(states)[:, first:]
        wanted = target[:, first + step : first + step + draft.shape[1]]
        if temperature and coupled:
            noise = gumbel(wanted.shape, wanted.device, torch.Generator(wanted.device).manual_seed(step))
            accepted = ((draft / temperature + noise).argmax(-1) == (wanted / temperature + noise).argmax(-1)).float()
        elif temperature:
            accepted = torch.minimum((draft / temperature).softmax(-1), (wanted / temperature).softmax(-1)).sum(-1)
        else:
            accepted = (draft.argmax(-1) == wanted.argmax(-1)).float()
        reached = reached.expand_as(accepted)
        counts[0, step - 1], counts[1, step - 1] = (reached * accepted).sum(), reached.sum()
        reached = reached * accepted
    return counts
