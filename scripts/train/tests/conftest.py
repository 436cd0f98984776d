"""A tokenizer and a model small enough to make in a moment."""

from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer

from foretoken_train.model import CodeModel
from foretoken_train.shape import ModelShape
from foretoken_train.tokenizer import save_tokenizer, train_tokenizer
from foretoken_train.weights import save_weights

SHAPE = ModelShape(
    vocab_size=512,
    hidden_size=64,
    num_layers=2,
    num_heads=2,
    num_kv_heads=1,
    head_size=32,
    intermediate_size=96,
    context_length=512,
)


@pytest.fixture(scope="session")
def tokenizer_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tokenizer")
    sources = sorted((Path(__file__).parents[1] / "foretoken_train").glob("*.py"))
    save_tokenizer(train_tokenizer((path.read_text() for path in sources), 512), folder, SHAPE.context_length)
    return folder


@pytest.fixture(scope="session")
def tokenizer(tokenizer_folder: Path) -> Tokenizer:
    return Tokenizer.from_file(str(tokenizer_folder / "tokenizer.json"))


@pytest.fixture(scope="session")
def model() -> CodeModel:
    """Random weights with norms away from one, so that a forgotten or misplaced norm shows."""
    torch.manual_seed(1)
    model = CodeModel(SHAPE).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "norm" in name:
                parameter.uniform_(0.5, 1.5)
            else:
                parameter.mul_(4)
    return model


@pytest.fixture(scope="session")
def weights_path(model: CodeModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("run") / "model.safetensors"
    save_weights(model, path, torch.float32)
    return path
