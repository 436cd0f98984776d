"""Lets a model continue prompts, many at a time, through a key-value cache. Knows nothing of training."""

import copy

import torch
from torch import Tensor

from .model import CodeModel


class CachedDecoder:
    """Keys and values of `batch` sequences of equal length, at most `max_length` tokens each."""

    def __init__(self, model: CodeModel, batch: int, max_length: int):
        shape, device = model.shape, model.head.weight.device
        sizes = (shape.num_layers, batch, shape.num_kv_heads, max_length, shape.head_size)
        self.model = model
        self.keys = torch.zeros(sizes, device=device)
        self.values = torch.zeros(sizes, device=device)
        self.length = 0

    def append(self, ids: Tensor) -> Tensor:
        """ids: [batch, n] after what is cached; logits of the last of them, float32 [batch, vocab_size]."""
        model, start, end = self.model, self.length, self.length + ids.shape[1]
        x = model.embed(ids)
        cos, sin = model.cos[start:end], model.sin[start:end]
        places = torch.arange(end, device=ids.device)
        visible = places[start:, None] >= places
        for index, block in enumerate(model.blocks):
            query, key, value = block.before_attention(x, cos, sin)
            self.keys[index, :, :, start:end], self.values[index, :, :, start:end] = key, value
            keys, values = self.keys[index, :, :, :end], self.values[index, :, :, :end]
            # The heads of a group as rows of one product: as a batch, each would get a copy of the keys.
            rows = query.float().unflatten(1, (keys.shape[1], -1)).flatten(2, 3)
            scores = (rows @ keys.transpose(-1, -2) * query.shape[-1] ** -0.5).view(*query.shape[:3], -1)
            shares = scores.masked_fill(~visible, -torch.inf).softmax(-1)
            attended = shares.view(*rows.shape[:3], -1) @ values
            x = block.after_attention(x, attended.view_as(query).to(query.dtype))
        self.length = end
        return model.head(model.norm(x[:, -1])).float()


def choose(logits: Tensor, temperatures: Tensor, random: torch.Generator) -> Tensor:
    """logits: [batch, vocab_size]; temperatures: [batch], 0 for the most likely token. Token ids [batch]."""
    if not temperatures.any():
        return logits.argmax(-1)
    return (logits + temperatures[:, None] * gumbel(logits.shape, logits.device, random)).argmax(-1)


def gumbel(shape: torch.Size, device: torch.device, random: torch.Generator | None = None) -> Tensor:
    """Standard Gumbel noise: the greatest of logits plus this is a sample of their softmax."""
    uniform = torch.rand(shape, device=device, generator=random).clamp_(1e-20, 1 - 1e-7)
    return -torch.log(-torch.log(uniform))


@torch.no_grad()
def continued(
    model: CodeModel,
    prompts: Tensor,
    new_tokens: int,
    temperatures: Tensor,
    random: torch.Generator,
    dtype: torch.dtype = torch.float32,
) -> Tensor:
    """prompts: [batch, length]; the prompts with `new_tokens` of the model's own: [batch, length + new_tokens]."""
    # Cast once, not at every step as autocast would.
    decoder = CachedDecoder(copy.deepcopy(model).to(dtype), len(prompts), prompts.shape[1] + new_tokens)
    ids = [prompts]
    for _ in range(new_tokens):
        ids.append(choose(decoder.append(ids[-1]), temperatures, random)[:, None])
    return torch.cat(ids, dim=1)
