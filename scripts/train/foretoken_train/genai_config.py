"""genai_config.json: onnxruntime-genai's config with its `mtp` section.

Names are those of https://github.com/microsoft/onnxruntime-genai/blob/main/src/config.h.
"""

from tokenizers import Tokenizer

from .shape import ModelShape
from .tokenizer import END_OF_TEXT


def genai_config(shape: ModelShape, tokenizer: Tokenizer) -> dict:
    """The config of an exported model of that shape."""
    caches = {"past_key_names": "past_key_values.%d.key", "past_value_names": "past_key_values.%d.value"}
    presents = {"present_key_names": "present.%d.key", "present_value_names": "present.%d.value"}
    inputs = {"input_ids": "input_ids", "position_ids": "position_ids"}
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
    }
