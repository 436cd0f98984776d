"""The PyTorch model that an exported graph must agree with. Knows nothing of ONNX."""

import numpy as np
import torch
import torch.nn.functional as F

from .graph_builder import EMBEDDING_PRECISION, Weights
from .model import CodeModel
from .quantise import Precision, stored
from .static_quantisation import StaticActivations, rounded_activations


def export_weights(model: CodeModel) -> Weights:
    """The model's arrays with what is constant folded in; the model's function stays the same.

    The embedding's rows are normalised to unit root mean square, so that MTP's embedding norm is its weight alone,
    which goes into the projection's columns.
    """
    weights = {name: tensor.detach().float().numpy() for name, tensor in model.state_dict().items()}
    hidden_size = model.shape.hidden_size
    weights["embedding.weight"] = F.rms_norm(model.embedding.weight.detach().float(), (hidden_size,)).numpy()
    projection = weights["mtp.projection.weight"].copy()
    projection[:, hidden_size:] *= weights["mtp.embedding_norm.weight"]
    weights["mtp.projection.weight"] = projection
    weights["mtp.embedding_norm.weight"] = np.ones_like(weights["mtp.embedding_norm.weight"])
    return weights


def folded(model: CodeModel) -> CodeModel:
    """A float32 copy with `export_weights`."""
    return with_weights(model, export_weights(model))


def with_weights(model: CodeModel, weights: Weights) -> CodeModel:
    copy = CodeModel(model.shape).eval()
    copy.load_state_dict({name: torch.from_numpy(weight) for name, weight in weights.items()})
    return copy


def stored_precision(name: str, precision: Precision, head: Precision) -> Precision:
    """How a graph keeps the matrix `name`."""
    if name == "head.weight":
        return head
    return EMBEDDING_PRECISION if name == "embedding.weight" and precision.bits != 32 else precision


def quantised_model(
    model: CodeModel, precision: Precision, head: Precision, static: StaticActivations | None = None
) -> CodeModel:
    """A float32 copy with the values that quantisation leaves of each matrix, and of what it is given where that is
    static.
    """
    weights = export_weights(model)
    for name, weight in weights.items():
        if weight.ndim == 2:
            weights[name] = stored(weight, stored_precision(name, precision, head))
    copy = with_weights(model, weights)
    for name, module in copy.named_modules():
        given = static.get(name) if static else None
        if given:
            module.register_forward_pre_hook(lambda _, x, given=given: (rounded_activations(x[0], given),))
    return copy
