"""Runs an exported graph with its key-value cache in place, as the server does. Knows nothing of PyTorch."""

from pathlib import Path

import numpy as np
import onnxruntime as ort

# Threads that spin while they wait take the processor from whatever else runs, other sessions included.
QUIET = {"session.intra_op.allow_spinning": "0"}


# The first positions of a buffer are bound in such steps: as many products of keys with no use, at most, in every run.
LENGTH_STEP = 64
HIDDEN = np.float32(-1e30)


def attention_bias(past_length: int, num_tokens: int, group_size: int, length: int) -> np.ndarray:
    """[numTokens, groupSize, length]: 0 up to the token itself, hugely negative behind."""
    is_seen = np.arange(length) <= np.arange(past_length, past_length + num_tokens)[:, None]
    return np.repeat(np.where(is_seen, np.float32(0), HIDDEN)[:, None], group_size, axis=1)


def bound_length(num_positions: int, buffer_length: int) -> int:
    """How much of a buffer is bound for so many positions."""
    return min(-(-num_positions // LENGTH_STEP) * LENGTH_STEP, buffer_length)


class CachedSession:
    """An onnxruntime session and the buffers that its past and present are both bound to."""

    def __init__(self, path: Path, threads: int, buffer_length: int, config_entries: dict[str, str] = QUIET):
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        for key, value in config_entries.items():
            options.add_session_config_entry(key, value)
        self.session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        self.binding = self.session.io_binding()
        self.buffer_length = buffer_length
        inputs = {value.name: value.shape for value in self.session.get_inputs()}
        self.group_size = inputs["attention_bias"][1]
        # Each [1, bufferLength, headSize].
        self.caches = {
            name: np.zeros((1, buffer_length, sizes[2]), np.float32)
            for name, sizes in inputs.items()
            if name.startswith("past_key_values.")
        }
        self.outputs = [o.name for o in self.session.get_outputs() if not o.name.startswith("present.")]

    def bind(self, ids: np.ndarray, past_length: int, **inputs: np.ndarray) -> None:
        total = past_length + len(ids)
        if total > self.buffer_length:
            raise ValueError(f"expected at most {self.buffer_length} positions, got {total}")
        length = bound_length(total, self.buffer_length)
        feeds = {
            "input_ids": ids.reshape(1, -1).astype(np.int64),
            "position_ids": np.arange(past_length, total, dtype=np.int64)[None],
            "past_lengths": np.asarray([past_length], np.int64),
            "attention_bias": attention_bias(past_length, len(ids), self.group_size, length),
            **inputs,
        }
        for name, array in feeds.items():
            self.binding.bind_ortvalue_input(name, ort.OrtValue.ortvalue_from_numpy(np.ascontiguousarray(array)))
        for name, cache in self.caches.items():
            place = ("cpu", 0, np.float32, [1, length, cache.shape[2]], cache.ctypes.data)
            self.binding.bind_input(name, *place)
            self.binding.bind_output(name.replace("past_key_values.", "present."), *place)
        for name in self.outputs:
            self.binding.bind_output(name)

    def step(self) -> None:
        """Runs what is bound."""
        self.session.run_with_iobinding(self.binding)

    def run(self, ids: np.ndarray, past_length: int, **inputs: np.ndarray) -> dict[str, np.ndarray]:
        """ids: [n], appended at `past_length`; whatever the cache held from there on is overwritten."""
        self.bind(ids, past_length, **inputs)
        self.step()
        names = [f"present.{name.removeprefix('past_key_values.')}" for name in self.caches]
        values = dict(zip(names + self.outputs, self.binding.get_outputs(), strict=True))
        return {name: values[name].numpy() for name in self.outputs}
