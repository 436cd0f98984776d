"""model.safetensors: Llama's tensor names, so that converters read the target model, plus `mtp.*`.

The embedding is stored already normalised (see CodeModel.embed), which leaves the model's function unchanged.
"""

import json
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from .model import CodeModel
from .shape import ModelShape


def block_tensors(state: dict[str, Tensor], prefix: str, name: str, shape: ModelShape) -> dict[str, Tensor]:
    query, key, value = state[f"{prefix}.qkv.weight"].split([shape.query_size, shape.kv_size, shape.kv_size])
    gate, up = state[f"{prefix}.gate_up.weight"].chunk(2)
    return {
        f"{name}.input_layernorm.weight": state[f"{prefix}.input_norm.weight"],
        f"{name}.self_attn.q_proj.weight": query,
        f"{name}.self_attn.k_proj.weight": key,
        f"{name}.self_attn.v_proj.weight": value,
        f"{name}.self_attn.o_proj.weight": state[f"{prefix}.out.weight"],
        f"{name}.post_attention_layernorm.weight": state[f"{prefix}.post_norm.weight"],
        f"{name}.mlp.gate_proj.weight": gate,
        f"{name}.mlp.up_proj.weight": up,
        f"{name}.mlp.down_proj.weight": state[f"{prefix}.down.weight"],
    }


def to_tensors(model: CodeModel) -> dict[str, Tensor]:
    """The model's tensors under their published names, float32."""
    shape, state = model.shape, {k: v.detach().float().cpu() for k, v in model.state_dict().items()}
    tensors = {
        "model.embed_tokens.weight": F.rms_norm(state["embedding.weight"], (shape.hidden_size,)),
        "model.norm.weight": state["norm.weight"],
        "lm_head.weight": state["head.weight"],
        "mtp.hidden_norm.weight": state["mtp.hidden_norm.weight"],
        "mtp.embedding_norm.weight": state["mtp.embedding_norm.weight"],
        "mtp.projection.weight": state["mtp.projection.weight"],
        "mtp.norm.weight": state["mtp.norm.weight"],
    }
    for index in range(shape.num_layers):
        tensors |= block_tensors(state, f"blocks.{index}", f"model.layers.{index}", shape)
    return tensors | block_tensors(state, "mtp.block", "mtp.layer", shape)


def save_weights(model: CodeModel, path: Path, dtype: torch.dtype = torch.bfloat16) -> None:
    tensors = {name: tensor.to(dtype).contiguous() for name, tensor in to_tensors(model).items()}
    save_file(tensors, path, metadata={"format": "pt", "shape": json.dumps(model.shape.as_dict())})


def joined_block(tensors: dict[str, Tensor], name: str, prefix: str) -> dict[str, Tensor]:
    attention, mlp = f"{name}.self_attn", f"{name}.mlp"
    return {
        f"{prefix}.input_norm.weight": tensors[f"{name}.input_layernorm.weight"],
        f"{prefix}.post_norm.weight": tensors[f"{name}.post_attention_layernorm.weight"],
        f"{prefix}.qkv.weight": torch.cat([tensors[f"{attention}.{p}_proj.weight"] for p in "qkv"]),
        f"{prefix}.out.weight": tensors[f"{attention}.o_proj.weight"],
        f"{prefix}.gate_up.weight": torch.cat([tensors[f"{mlp}.{p}_proj.weight"] for p in ("gate", "up")]),
        f"{prefix}.down.weight": tensors[f"{mlp}.down_proj.weight"],
    }


def load_weights(path: Path) -> CodeModel:
    """The model that `save_weights` wrote, in float32."""
    with safe_open(path, framework="pt") as file:
        shape = ModelShape(**json.loads(file.metadata()["shape"]))
        tensors = {name: file.get_tensor(name).float() for name in file.keys()}  # noqa: SIM118 (not a mapping)
    state = {
        "embedding.weight": tensors["model.embed_tokens.weight"],
        "norm.weight": tensors["model.norm.weight"],
        "head.weight": tensors["lm_head.weight"],
        "mtp.hidden_norm.weight": tensors["mtp.hidden_norm.weight"],
        "mtp.embedding_norm.weight": tensors["mtp.embedding_norm.weight"],
        "mtp.projection.weight": tensors["mtp.projection.weight"],
        "mtp.norm.weight": tensors["mtp.norm.weight"],
        **joined_block(tensors, "mtp.layer", "mtp.block"),
    }
    for index in range(shape.num_layers):
        state |= joined_block(tensors, f"model.layers.{index}", f"blocks.{index}")
    model = CodeModel(shape)
    model.load_state_dict(state)
    return model
