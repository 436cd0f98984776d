"""One file of tensor data that several graphs point into. Knows nothing of models."""

import hashlib
from pathlib import Path

import numpy as np
from onnx import TensorProto, helper

# Windows maps files at multiples of 64 KiB, Linux of 4 KiB; small tensors follow each other at 4 KiB.
LARGE_TENSOR_BYTES = 1 << 20
LARGE_ALIGNMENT = 1 << 16
SMALL_ALIGNMENT = 1 << 12


class ExternalData:
    """Appends tensors to a file; equal bytes are written once, whichever graph asks."""

    def __init__(self, path: Path):
        self.path = path
        self.file = open(path, "wb")  # noqa: SIM115 (closed by close)
        self.places: dict[bytes, tuple[int, int]] = {}

    def tensor(self, name: str, array: np.ndarray) -> TensorProto:
        """An initialiser called `name` whose bytes lie in the file."""
        offset, length = self.place(np.ascontiguousarray(array).tobytes())
        tensor = TensorProto(name=name, dims=array.shape, data_location=TensorProto.EXTERNAL)
        tensor.data_type = helper.np_dtype_to_tensor_dtype(array.dtype)
        for key, value in (("location", self.path.name), ("offset", offset), ("length", length)):
            tensor.external_data.add(key=key, value=str(value))
        return tensor

    def place(self, data: bytes) -> tuple[int, int]:
        digest = hashlib.sha256(data).digest()
        if digest not in self.places:
            alignment = LARGE_ALIGNMENT if len(data) >= LARGE_TENSOR_BYTES else SMALL_ALIGNMENT
            self.file.write(bytes(-self.file.tell() % alignment))
            self.places[digest] = (self.file.tell(), len(data))
            self.file.write(data)
        return self.places[digest]

    def close(self) -> None:
        self.file.close()
