"""The README.md of the folder that holds the models: provenance, licence, hashes, how to rebuild."""

from .model_facts import ModelFacts, training_commands

# The tokenizer of the default model learnt from every third document of the two sets that there were then.
TOKENIZER_EVERY = 3
TOKENIZER_SETS = 2

INTRODUCTION = """# Models

Each folder is one model: ONNX graphs (`model.onnx`, `mtp.onnx`, their shared `model.onnx.data`), `genai_config.json`
and `foretoken.json`, tokenizer, `model.safetensors` to fine-tune or convert from, `ledger.json` (what training cost)
and a card. This file and the cards are written by `foretoken-train card`.

Provenance: trained from scratch with [scripts/train](../scripts/train/README.md) on permissively licensed source code
(MIT, BSD-3-Clause, Apache-2.0) of the repositories that each card names. No weights of other models went in. Licence of
the weights: Apache-2.0.
"""


def catalogue(models: list[ModelFacts]) -> str:
    return "\n".join([INTRODUCTION, *(entry(facts) for facts in models)])


def entry(facts: ModelFacts) -> str:
    hashes = facts.config["sha256"]
    lines = [f"## {facts.folder.name}\n", f"[Card]({facts.folder.name}/README.md). SHA-256:\n", "```"]
    lines += [f"{digest}  {facts.folder.name}/{name}" for name, digest in hashes.items()]
    lines += ["```\n", "To rebuild, with the corpus gathered as scripts/train/README.md says:\n", "```sh"]
    lines += [tokenizer_command(facts)]
    lines += [prepare_command(name) for name in (*facts.training_sets, *facts.validation_sets)]
    lines += training_commands(facts)
    lines += [
        export_command(facts),
        "```\n",
        "The tokenizer repeats byte for byte. Steps, batches and seeds repeat; floating-point sums on another machine "
        "do not, so hashes of weights will differ.\n",
    ]
    return "\n".join(lines)


def tokenizer_command(facts: ModelFacts) -> str:
    files = " ".join(f"corpus/{name}.jsonl.xz" for name in facts.training_sets[:TOKENIZER_SETS])
    return f"foretoken-train prepare {files} --tokenizer runs/tokenizer --tokenizer-every {TOKENIZER_EVERY}"


def prepare_command(name: str) -> str:
    return f"foretoken-train prepare corpus/{name}.jsonl.xz --tokenizer runs/tokenizer --out runs/{name}.npz"


def export_command(facts: ModelFacts) -> str:
    settings = facts.config
    command = (
        f"foretoken-train export --weights runs/{len(facts.ledger)}/model.safetensors --tokenizer runs/tokenizer "
        f"--out models/{facts.folder.name} --precision {settings['precision']} "
        f"--head-precision {settings['head_precision']} --ledger "
        + " ".join(f"runs/{number}/ledger.json" for number in range(1, len(facts.ledger) + 1))
    )
    files = " ".join(f"runs/{name}.npz" for name in facts.training_sets)
    if settings["precision"] == "int8-static":
        command += f" --calibration {files}"
    if settings["block_size"]:
        command += f" --block-size {settings['block_size']}"
    if settings.get("draft_vocab_size", facts.shape.vocab_size) < facts.shape.vocab_size:
        command += f" --draft-vocabulary {settings['draft_vocab_size']} --draft-data {files}"
    return command
