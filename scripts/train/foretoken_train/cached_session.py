"""Runs an exported graph with its key-value cache in place, as the server does. Knows nothing of PyTorch."""

from pathlib import Path

import numpy as np
import onnxruntime as ort

# Threads that spin while they wait take the processor from whatever else runs, other sessions included.
QUIET = {"session.intra_op.allow_spinning": "0"}


class CachedSession:
    """An onnxruntime session and the buffers that its past and present are both bound to."""

    def __init__(self, path: Path, threads: int, buffer_length: int, config_entries: dict[str, str] = QUIET):
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        for key, value in config_entries.items():
            options.add_session_config_entry(key, value)
        self.session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        self.binding = self.session.io_binding()
        self.caches: dict[str, ort.OrtValue] = {}
        for value in self.session.get_inputs():
            if value.name.startswith("past_key_values."):
                self.bind_cache(value, buffer_length)
        self.outputs = [o.name for o in self.session.get_outputs() if not o.name.startswith("present.")]

    def bind_cache(self, value: ort.NodeArg, buffer_length: int) -> None:
        """One buffer [1, numKvHeads, bufferLength, headSize] as past and as present."""
        _, num_kv_heads, _, head_size = value.shape
        buffer = ort.OrtValue.ortvalue_from_numpy(np.zeros((1, num_kv_heads, buffer_length, head_size), np.float32))
        self.caches[value.name] = buffer
        self.binding.bind_ortvalue_input(value.name, buffer)
        self.binding.bind_ortvalue_output(value.name.replace("past_key_values.", "present."), buffer)

    def bind(self, ids: np.ndarray, past_length: int, **inputs: np.ndarray) -> None:
        mask = np.ones((1, past_length + len(ids)), np.int64)
        feeds = {"input_ids": ids.reshape(1, -1).astype(np.int64), "attention_mask": mask, **inputs}
        for name, array in feeds.items():
            self.binding.bind_ortvalue_input(name, ort.OrtValue.ortvalue_from_numpy(np.ascontiguousarray(array)))
        for name in self.outputs:
            self.binding.bind_output(name)

    def step(self) -> None:
        """Runs what is bound."""
        self.session.run_with_iobinding(self.binding)

    def run(self, ids: np.ndarray, past_length: int, **inputs: np.ndarray) -> dict[str, np.ndarray]:
        """ids: [n], appended at `past_length`; whatever the cache held from there on is overwritten."""
        self.bind(ids, past_length, **inputs)
        self.step()
        names = [output.name for output in self.session.get_outputs()]
        values = dict(zip(self.bound_order(names), self.binding.get_outputs(), strict=True))
        return {name: values[name].numpy() for name in self.outputs}

    def bound_order(self, names: list[str]) -> list[str]:
        """Outputs come back in the order of their binding: the caches first."""
        return [n for n in names if n.startswith("present.")] + self.outputs
