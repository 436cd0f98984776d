"""The MTP module on its own chained states, with the cache it has when served. Knows nothing of losses or data.

A chain of drafts starts at every position i: its first step takes the target's state at i, each later one the state
that the step before it gave. Served, the module's cache holds first-step entries for the positions up to i and
the chain's own entries behind them, and so it is here (training-time test of EAGLE-3, arXiv 2503.01840, and HASS,
arXiv 2408.15766).
"""

import torch
from torch import Tensor

from .model import CodeModel, attend


def chained_states(model: CodeModel, hidden: Tensor, ids: Tensor, steps: int, documents: Tensor | None) -> list[Tensor]:
    """States of `steps` drafts from every position that has as many tokens after it.

    hidden: the target's states [batch, length, hidden_size]; ids: [batch, length]; documents as in `attend`.
    Returns `steps` tensors [batch, length - steps, hidden_size]: entry i of step s predicts the token at i + s + 1.
    """
    module, starts = model.mtp, ids.shape[1] - steps
    documents = None if documents is None else documents[:, :starts]
    embedded = model.embed(ids)
    state, chain, states = hidden[:, :starts], [], []
    for step in range(1, steps + 1):
        places = slice(step - 1, step - 1 + starts)
        x = module.joined(state, embedded[:, step : step + starts])
        query, key, value = module.block.before_attention(x, model.cos[places], model.sin[places])
        chain.append((key, value))
        attended = attend(query, key, value, documents) if step == 1 else attend_chained(query, chain, documents)
        state = module.norm(module.block.after_attention(x, attended))
        states.append(state)
    return states


def attend_chained(query: Tensor, chain: list[tuple[Tensor, Tensor]], documents: Tensor | None) -> Tensor:
    """Attention of one chain step over the first step's entries up to the chain's start and the chain's own.

    query: [batch, heads, starts, head_size]; chain: key and value of every step, [batch, kv_heads, starts, head_size].
    """
    (key, value), own = chain[0], chain[1:]
    starts = key.shape[2]
    grouped = query.unflatten(1, (key.shape[1], -1)) * query.shape[-1] ** -0.5
    places = torch.arange(starts, device=query.device)
    visible = places[:, None] >= places
    if documents is not None:
        visible = visible & (documents[:, :, None] == documents[:, None])[:, None, None]
    past = (grouped @ key[:, :, None].transpose(-1, -2)).float().masked_fill(~visible, -torch.inf)
    ahead = [(grouped * own_key[:, :, None]).sum(-1, keepdim=True).float() for own_key, _ in own]
    shares = torch.cat([past, *ahead], dim=-1).softmax(-1).to(value.dtype)
    attended = shares[..., :starts] @ value[:, :, None]
    for index, (_, own_value) in enumerate(own):
        attended = attended + shares[..., starts + index, None] * own_value[:, :, None]
    return attended.flatten(1, 2)
