"""The target model and its MTP module in PyTorch. Knows nothing of data, optimisers or ONNX.

MTP as DeepSeek-V3 has it (arXiv 2412.19437, section 2.2): h'_i = block(proj[norm(h_i); norm(embed(t_{i+1}))]),
embedding and output head shared with the target, one module used recursively (FastMTP, arXiv 2509.18362).
"""

import math
from collections.abc import Callable
from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.attention.flex_attention import BlockMask, create_block_mask, flex_attention

from .shape import ModelShape

INITIAL_STD = 0.02
QUERY_CHUNK = 128


def rotary_tables(shape: ModelShape, length: int) -> tuple[Tensor, Tensor]:
    """Cosines and sines, each [length, head_size / 2]."""
    exponents = torch.arange(0, shape.head_size, 2, dtype=torch.float64) / shape.head_size
    angles = torch.outer(torch.arange(length, dtype=torch.float64), shape.rope_theta**-exponents)
    return angles.cos().float(), angles.sin().float()


def document_numbers(ids: Tensor, end_of_text: int) -> Tensor:
    """ids: [batch, length]; of each token, how many documents of its row ended before it."""
    ends = ids == end_of_text
    return ends.cumsum(1) - ends.long()


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotary position embedding, halves convention. x: [batch, heads, length, head_size]."""
    first, second = x.chunk(2, dim=-1)
    return torch.cat([first * cos - second * sin, second * cos + first * sin], dim=-1).to(x.dtype)


def fused_mask(documents: Tensor) -> BlockMask:
    """What `attend` takes in the place of documents [batch, length] to leave all to one kernel of a GPU."""

    def is_visible(row: Tensor, _: Tensor, query: Tensor, key: Tensor) -> Tensor:
        return (query >= key) & (documents[row, query] == documents[row, key])

    batch, length = documents.shape
    return create_block_mask(is_visible, batch, None, length, length, documents.device)


def attend(query: Tensor, key: Tensor, value: Tensor, documents: Tensor | BlockMask | None) -> Tensor:
    """Causal attention with one product per QUERY_CHUNK queries over the keys they may see.

    On a CPU this trains twice as fast as scaled_dot_product_attention, compiled, and a mask is free.

    query: [batch, heads, length, head_size]; key, value: [batch, kv_heads, length, head_size]; documents: numbers
    [batch, length] of what each token belongs to: attention stays inside, or None where rows are one document; or
    `fused_mask` of them. Returns [batch, heads, length, head_size].
    """
    if isinstance(documents, BlockMask):
        return flex_attention(query, key, value, block_mask=documents, enable_gqa=True)
    batch, heads, length, head_size = query.shape
    groups = key.shape[1]
    query = query.view(batch, groups, heads // groups, length, head_size) * head_size**-0.5
    places = torch.arange(length, device=query.device)
    attended = []
    for start in range(0, length, QUERY_CHUNK):
        end = min(start + QUERY_CHUNK, length)
        rows = query[:, :, :, start:end].reshape(batch, groups, -1, head_size)
        scores = (rows @ key[:, :, :end].transpose(-1, -2)).view(batch, groups, -1, end - start, end)
        visible = places[start:end, None] >= places[:end]
        if documents is not None:
            visible = visible & (documents[:, start:end, None] == documents[:, None, :end])[:, None, None]
        shares = scores.float().masked_fill(~visible, -torch.inf).softmax(-1).to(value.dtype)
        attended.append((shares.view(batch, groups, -1, end) @ value[:, :, :end]).view_as(query[:, :, :, start:end]))
    return torch.cat(attended, dim=3).view(batch, heads, length, head_size)


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

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor, documents: Tensor | None) -> Tensor:
        """x: [batch, length, hidden_size], same shape out; documents as in `attend`."""
        return self.after_attention(x, attend(*self.before_attention(x, cos, sin), documents))

    def before_attention(self, x: Tensor, cos: Tensor, sin: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Query [batch, heads, length, head_size] and key, value [batch, kv_heads, length, head_size], rotated."""
        batch, length, _ = x.shape
        s = self.shape
        query, key, value = self.qkv(self.input_norm(x)).split([s.query_size, s.kv_size, s.kv_size], dim=-1)
        query, key, value = (t.view(batch, length, -1, s.head_size).transpose(1, 2) for t in (query, key, value))
        return rotate(query, cos, sin), rotate(key, cos, sin), value

    def after_attention(self, x: Tensor, attended: Tensor) -> Tensor:
        """attended: [batch, heads, length, head_size]; the layer's output, of x's shape."""
        x = x + self.out(attended.transpose(1, 2).flatten(2))
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

    def forward(self, hidden: Tensor, embedded: Tensor, cos: Tensor, sin: Tensor, documents: Tensor | None) -> Tensor:
        """hidden, embedded: [batch, length, hidden_size]; returns the next hidden state of the same shape."""
        return self.norm(self.block(self.joined(hidden, embedded), cos, sin, documents))

    def joined(self, hidden: Tensor, embedded: Tensor) -> Tensor:
        """The block's input: [batch, length, hidden_size]."""
        return self.projection(torch.cat([self.hidden_norm(hidden), self.embedding_norm(embedded)], dim=-1))


def cross_entropy(head: nn.Linear, hidden: Tensor, labels: Tensor) -> Tensor:
    """Mean, in nats, of hidden [batch, length, hidden_size] to the tokens they should predict, [batch, length]."""
    return F.cross_entropy(head(hidden).float().flatten(0, 1), labels.flatten())


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
        self.layer, self.mtp_layer, self.loss = Block.forward, MtpModule.forward, cross_entropy
        self.fuses_attention = False
        self.register_buffer("cos", cos, persistent=False)
        self.register_buffer("sin", sin, persistent=False)

    def embed(self, ids: Tensor) -> Tensor:
        """Embedding rows scaled to unit root mean square: small ones would drown in the residual stream."""
        return F.rms_norm(self.embedding(ids), (self.shape.hidden_size,))

    def compile_parts(self) -> None:
        """Each for every shape it meets: compiled whole, all layers would take minutes."""
        self.layer = torch.compile(Block.forward, dynamic=False)
        self.mtp_layer = torch.compile(MtpModule.forward, dynamic=False)
        self.loss = torch.compile(cross_entropy, dynamic=False)
        self.fuses_attention = self.head.weight.is_cuda

    def mask(self, ids: Tensor, documents: Tensor | None) -> Tensor | BlockMask | None:
        """What layers are best told of the documents of ids [batch, length]."""
        if not self.fuses_attention:
            return documents
        return fused_mask(torch.zeros_like(ids) if documents is None else documents)

    def hidden_states(self, ids: Tensor, documents: Tensor | None = None) -> Tensor:
        """ids: [batch, length]; post-final-norm states [batch, length, hidden_size]; documents as in `attend`."""
        return self.masked_states(ids, self.mask(ids, documents))

    def masked_states(self, ids: Tensor, mask: Tensor | BlockMask | None) -> Tensor:
        """`hidden_states` for documents as `mask` gives them."""
        length = ids.shape[1]
        x = self.embed(ids)
        for block in self.blocks:
            x = self.layer(block, x, self.cos[:length], self.sin[:length], mask)
        return self.norm(x)

    def mtp_states(self, hidden: Tensor, ids: Tensor, documents: Tensor | BlockMask | None = None) -> Tensor:
        """One MTP step. hidden: states at positions i; ids: tokens at i + 1; returns states that predict i + 2."""
        length = ids.shape[1]
        return self.mtp_layer(self.mtp, hidden, self.embed(ids), self.cos[:length], self.sin[:length], documents)

    def forward(self, tokens: Tensor, mtp_steps: int, end_of_text: int) -> tuple[Tensor, list[Tensor]]:
        """Mean cross-entropy, in nats, of the target and of each MTP step.

        tokens: [batch, length + mtp_steps + 1], documents each ended by `end_of_text`.
        """
        length = tokens.shape[1] - mtp_steps - 1
        ids = tokens[:, :length]
        mask = self.mask(ids, document_numbers(ids, end_of_text))
        hidden = self.masked_states(ids, mask)
        target_loss = self.loss(self.head, hidden, tokens[:, 1 : length + 1])
        mtp_losses = []
        for step in range(1, mtp_steps + 1):
            hidden = self.mtp_states(hidden, tokens[:, step : length + step], mask)
            mtp_losses.append(self.loss(self.head, hidden, tokens[:, step + 1 : length + step + 1]))
        return target_loss, mtp_losses


def stacked(source: CodeModel, shape: ModelShape) -> CodeModel:
    """A deeper copy: `source`'s layers repeated until `shape.num_layers` (G_stack, arXiv 2405.15319)."""
    return with_copies(source, shape, lambda index, copy, _: copy * source.shape.num_layers + index)


def expanded(source: CodeModel, num_layers: int) -> CodeModel:
    """A model of `num_layers` and the same outputs: behind each layer copies of it that add nothing yet, as their last
    matrices are zero (block expansion, LLaMA Pro, arXiv 2401.02415)."""
    shape = replace(source.shape, num_layers=num_layers)
    grown = with_copies(source, shape, lambda index, copy, factor: index * factor + copy)
    for layer in new_layers(source.shape.num_layers, num_layers):
        nn.init.zeros_(grown.blocks[layer].out.weight)
        nn.init.zeros_(grown.blocks[layer].down.weight)
    return grown


def new_layers(before: int, num_layers: int) -> list[int]:
    """Of a model that was `expanded` from so many layers."""
    return [layer for layer in range(num_layers) if layer % (num_layers // before)]


def with_copies(source: CodeModel, shape: ModelShape, place: Callable[[int, int, int], int]) -> CodeModel:
    """`place` says where copy number `copy` of layer `index` goes: (index, copy, how many there are of each)."""
    factor, rest = divmod(shape.num_layers, source.shape.num_layers)
    if rest:
        raise ValueError(f"expected a multiple of {source.shape.num_layers} layers, got {shape.num_layers}")
    grown = CodeModel(shape)
    state = source.state_dict()
    others = {name: value for name, value in state.items() if not name.startswith("blocks.")}
    layers = [(name.split(".", 2), value) for name, value in state.items() if name.startswith("blocks.")]
    copies = {
        f"blocks.{place(int(index), copy, factor)}.{part}": value
        for (_, index, part), value in layers
        for copy in range(factor)
    }
    grown.load_state_dict(others | copies)
    return grown
