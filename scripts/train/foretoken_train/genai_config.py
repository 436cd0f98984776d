"""genai_config.json: onnxruntime-genai's config with its `mtp` section, and ours beside it.

Names are those of https://github.com/microsoft/onnxruntime-genai/blob/main/src/config.h.
"""

import hashlib
from pathlib import Path

from tokenizers import Tokenizer

from .quantise import Precision
from .shape import ModelShape
from .tokenizer import END_OF_TEXT, FIM_MIDDLE, FIM_PREFIX, FIM_SUFFIX

FORMAT_VERSION = 1
NUM_SPEC_TOKENS = 3
MAX_SPEC_TOKENS = 8
LOADED_FILES = ("model.onnx", "mtp.onnx", "model.onnx.data", "tokenizer.json", "tokenizer_config.json")


def sha256(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def genai_config(
    shape: ModelShape,
    tokenizer: Tokenizer,
    precision: Precision,
    head: Precision,
    exact_widths: str | None,
    folder: Path,
) -> dict:
    """The config of the model that lies in `folder`. exact_widths: see exactness.py."""
    caches = {"past_key_names": "past_key_values.%d.key", "past_value_names": "past_key_values.%d.value"}
    presents = {"present_key_names": "present.%d.key", "present_value_names": "present.%d.value"}
    inputs = {"input_ids": "input_ids", "attention_mask": "attention_mask"}
    end_of_text = tokenizer.token_to_id(END_OF_TEXT)
    return {
        "model": {
            "type": "llama",
            "vocab_size": shape.vocab_size,
            "context_length": shape.context_length,
            "bos_token_id": end_of_text,
            "eos_token_id": [end_of_text],
            "pad_token_id": end_of_text,
            "decoder": {
                "filename": "model.onnx",
                "session_options": {"provider_options": []},
                "hidden_size": shape.hidden_size,
                "num_attention_heads": shape.num_heads,
                "num_key_value_heads": shape.num_kv_heads,
                "num_hidden_layers": shape.num_layers,
                "head_size": shape.head_size,
                "inputs": inputs | caches,
                "outputs": {"logits": "logits", "hidden_states": "hidden_states"} | presents,
            },
            "mtp": {
                "filename": "mtp.onnx",
                "num_hidden_layers": 1,
                "num_key_value_heads": shape.num_kv_heads,
                "head_size": shape.head_size,
                "main_hidden_states": "hidden_states",
                "inputs": inputs | {"hidden_states": "hidden_states"} | caches,
                "outputs": {"logits": "logits", "hidden_states": "hidden_states_out"} | presents,
            },
        },
        "search": {"max_length": shape.context_length, "past_present_share_buffer": True},
        "foretoken": {
            "format_version": FORMAT_VERSION,
            "num_spec_tokens": NUM_SPEC_TOKENS,
            "max_spec_tokens": MAX_SPEC_TOKENS,
            "precision": precision.name,
            "head_precision": head.name,
            "block_size": precision.block_size if min(precision.bits, head.bits) < 32 else None,
            "exact_widths": exact_widths,
            "fim": {
                "prefix": tokenizer.token_to_id(FIM_PREFIX),
                "suffix": tokenizer.token_to_id(FIM_SUFFIX),
                "middle": tokenizer.token_to_id(FIM_MIDDLE),
                "order": "psm",
            },
            "sha256": {name: sha256(folder / name) for name in LOADED_FILES},
        },
    }
