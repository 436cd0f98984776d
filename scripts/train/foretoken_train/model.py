"""The target model and its MTP module in PyTorch. Knows nothing of data, optimisers or ONNX.

MTP as DeepSeek-V3 has it (arXiv 2412.19437, section 2.2): h'_i = block(proj[norm(h_i); norm(embed(t_{i+1}))]),
embedding and output head shared with the target, one module used recursively (FastMTP, arXiv 2509.18362).
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .shape import ModelShape

INITIAL_STD = 0.02


def rotary_tables(shape: ModelShape, length: int) -> tuple[Tensor, Tensor]:
    """Cosines and sines, each [length, head_size / 2]."""
    exponents = torch.arange(0, shape.head_size, 2, dtype=torch.float64) / shape.head_size
    angles = torch.outer(torch.arange(length, dtype=torch.float64), shape.rope_theta**-exponents)
    return angles.cos().float(), angles.sin().float()


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotary position embedding, halves convention. x: [batch, heads, length, head_size]."""
    first, second = x.chunk(2, dim=-1)
    return torch.cat([first * cos - second * sin, second * cos + first * sin], dim=-1).to(x.dtype)


class Block(nn.Module):
    """One transformer layer."""

    def __init__(self, shape: ModelShape, residual_std: float):
        super().__init__()
        d = shape.hidden_size
        self.shape = shape
        self.input_norm = nn.RMSNorm(d, shape.rms_norm_epsilon)
        self.post_norm = nn.RMSNorm(d, shape.rms_norm_epsilon)
        self.qkv = nn.Linear(d, shape.query_size + 2 * shape.kv_size, bias=False)
        self.out = nn.Linear(shape.query_size, d, bias=False)
        self.gate_up = nn.Linear(d, 2 * shape.intermediate_size, bias=False)
        self.down = nn.Linear(shape.intermediate_size, d, bias=False)
        for linear in (self.out, self.down):
            nn.init.normal_(linear.weight, std=residual_std)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        """x: [batch, length, hidden_size], same shape out."""
        batch, length, _ = x.shape
        s = self.shape
        query, key, value = self.qkv(self.input_norm(x)).split([s.query_size, s.kv_size, s.kv_size], dim=-1)
        query, key, value = (t.view(batch, length, -1, s.head_size).transpose(1, 2) for t in (query, key, value))
        attended = F.scaled_dot_product_attention(
            rotate(query, cos, sin), rotate(key, cos, sin), value, is_causal=True, enable_gqa=True
        )
        x = x + self.out(attended.transpose(1, 2).reshape(batch, length, s.query_size))
        gate, up = self.gate_up(self.post_norm(x)).chunk(2, dim=-1)
        return x + self.down(F.silu(gate) * up)


class MtpModule(nn.Module):
    """Predicts t_{i+2} from the hidden state at i and the embedding of t_{i+1}."""

    def __init__(self, shape: ModelShape):
        super().__init__()
        d = shape.hidden_size
        self.hidden_norm = nn.RMSNorm(d, shape.rms_norm_epsilon)
        self.embedding_norm = nn.RMSNorm(d, shape.rms_norm_epsilon)
        self.projection = nn.Linear(2 * d, d, bias=False)
        self.block = Block(shape, INITIAL_STD / math.sqrt(2))
        self.norm = nn.RMSNorm(d, shape.rms_norm_epsilon)

    def forward(self, hidden: Tensor, embedded: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        """hidden, embedded: [batch, length, hidden_size]; returns the next hidden state of the same shape."""
        joined = torch.cat([self.hidden_norm(hidden), self.embedding_norm(embedded)], dim=-1)
        return self.norm(self.block(self.projection(joined), cos, sin))


class CodeModel(nn.Module):
    """Target model plus MTP module."""

    def __init__(self, shape: ModelShape):
        super().__init__()
        self.shape = shape
        residual_std = INITIAL_STD / math.sqrt(2 * shape.num_layers)
        self.embedding = nn.Embedding(shape.vocab_size, shape.hidden_size)
        self.blocks = nn.ModuleList([Block(shape, residual_std) for _ in range(shape.num_layers)])
        self.norm = nn.RMSNorm(shape.hidden_size, shape.rms_norm_epsilon)
        self.head = nn.Linear(shape.hidden_size, shape.vocab_size, bias=False)
        self.mtp = MtpModule(shape)
        for weight in (self.embedding.weight, self.head.weight):
            nn.init.normal_(weight, std=INITIAL_STD)
        cos, sin = rotary_tables(shape, shape.context_length)
        self.register_buffer("cos", cos, persistent=False)
        self.register_buffer("sin", sin, persistent=False)

    def embed(self, ids: Tensor) -> Tensor:
        """Embedding rows scaled to unit root mean square: small ones would drown in the residual stream."""
        return F.rms_norm(self.embedding(ids), (self.shape.hidden_size,))

    def hidden_states(self, ids: Tensor) -> Tensor:
        """ids: [batch, length]; post-final-norm states [batch, length, hidden_size]."""
        length = ids.shape[1]
        x = self.embed(ids)
        for block in self.blocks:
            x = block(x, self.cos[:length], self.sin[:length])
        return self.norm(x)

    def mtp_states(self, hidden: Tensor, ids: Tensor) -> Tensor:
        """One MTP step. hidden: states at positions i; ids: tokens at i + 1; returns states that predict i + 2."""
        length = ids.shape[1]
        return self.mtp(hidden, self.embed(ids), self.cos[:length], self.sin[:length])

    def forward(self, tokens: Tensor, mtp_steps: int) -> tuple[Tensor, list[Tensor]]:
        """tokens: [batch, length + mtp_steps + 1]. Mean cross-entropy, in nats, of the target and of each MTP step."""
        length = tokens.shape[1] - mtp_steps - 1
        hidden = self.hidden_states(tokens[:, :length])
        target_loss = self.cross_entropy(hidden, tokens[:, 1 : length + 1])
        mtp_losses = []
        for step in range(1, mtp_steps + 1):
            hidden = self.mtp_states(hidden, tokens[:, step : length + step])
            mtp_losses.append(self.cross_entropy(hidden, tokens[:, step + 1 : length + step + 1]))
        return target_loss, mtp_losses

    def cross_entropy(self, hidden: Tensor, labels: Tensor) -> Tensor:
        logits = self.head(hidden).float()
        return F.cross_entropy(logits.flatten(0, 1), labels.flatten())


def stacked(source: CodeModel, shape: ModelShape) -> CodeModel:
    """A deeper copy: `source`'s layers repeated until `shape.num_layers` (G_stack, arXiv 2405.15319)."""
    if shape.num_layers % source.shape.num_layers:
        raise ValueError(f"expected a multiple of {source.shape.num_layers} layers, got {shape.num_layers}")
    grown = CodeModel(shape)
    state = source.state_dict()
    for name in list(state):
        if name.startswith("blocks."):
            _, index, rest = name.split(".", 2)
            for copy in range(int(index), shape.num_layers, source.shape.num_layers):
                state[f"blocks.{copy}.{rest}"] = state[name]
    grown.load_state_dict(state)
    return grown
