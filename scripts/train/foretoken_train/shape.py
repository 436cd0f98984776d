"""The numbers that fix a model's architecture, and what follows from them."""

from dataclasses import asdict, dataclass


@dataclass(frozen=True)
class ModelShape:
    """A decoder-only transformer (RMSNorm, RoPE, grouped-query attention, SwiGLU) with one recursive MTP layer."""

    vocab_size: int = 6144
    hidden_size: int = 320
    num_layers: int = 12
    num_heads: int = 5
    num_kv_heads: int = 1
    head_size: int = 64
    intermediate_size: int = 864
    context_length: int = 2048
    rope_theta: float = 10_000.0
    rms_norm_epsilon: float = 1e-5

    def __post_init__(self) -> None:
        if self.num_heads * self.head_size != self.hidden_size:
            raise ValueError(
                f"expected hidden_size = num_heads * head_size, got {self.hidden_size} != "
                f"{self.num_heads} * {self.head_size}"
            )
        if self.num_heads % self.num_kv_heads:
            raise ValueError(f"expected num_kv_heads to divide {self.num_heads}, got {self.num_kv_heads}")

    @property
    def query_size(self) -> int:
        return self.num_heads * self.head_size

    @property
    def kv_size(self) -> int:
        return self.num_kv_heads * self.head_size

    @property
    def group_size(self) -> int:
        """Query heads to a key-value head."""
        return self.num_heads // self.num_kv_heads

    @property
    def block_parameters(self) -> int:
        """Weights of one transformer layer's matrices."""
        attention = self.hidden_size * (2 * self.query_size + 2 * self.kv_size)
        return attention + 3 * self.hidden_size * self.intermediate_size

    @property
    def target_parameters(self) -> int:
        """Matrix weights of the target model, embedding and output head included, norms left out."""
        return self.num_layers * self.block_parameters + 2 * self.vocab_size * self.hidden_size

    @property
    def mtp_parameters(self) -> int:
        """Matrix weights that the MTP module adds; embedding and output head are the target's."""
        return self.block_parameters + 2 * self.hidden_size * self.hidden_size

    def training_flops_per_token(self, sequence_length: int, mtp_steps: float, freeze_target: bool) -> float:
        """Multiply-adds counted as two, forward plus backward as three forwards (Kaplan et al., arXiv 2001.08361)."""
        head = self.vocab_size * self.hidden_size
        attention = self.num_layers * self.query_size * sequence_length
        target = self.num_layers * self.block_parameters + head + attention
        mtp = mtp_steps * (self.mtp_parameters + head + self.query_size * sequence_length)
        return 2 * ((1 if freeze_target else 3) * target + 3 * mtp)

    def as_dict(self) -> dict:
        return asdict(self)
