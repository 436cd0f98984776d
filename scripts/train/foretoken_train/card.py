"""Writes a model folder's README.md, and the README.md of the folder that holds all models."""

import argparse
from pathlib import Path

from .catalogue import catalogue
from .model_facts import ModelFacts, model_facts

HEADER = """---
license: apache-2.0
language:
- code
{languages}library_name: onnxruntime
pipeline_tag: text-generation
tags:
- code
- fill-in-the-middle
- multi-token-prediction
- speculative-decoding
- onnx
---
"""
INTRODUCTION = """
A small code-completion model with one recursive multi-token-prediction (MTP) module, trained from scratch by
[foretoken's scripts](../../scripts/train/README.md). It exists to be served by foretoken: the MTP module drafts tokens
and the target model verifies them, so that the text is the target's own.
"""

QUALITY = """
MTP agreement: share of positions where the module, given the true tokens, chooses as the target does. Distinct-4 (share
of different 4-grams) and longest repeat (tokens): medians over greedy continuations of 256 tokens. Next line: share of
held-out lines that greedy decoding gives character by character, from what stands before them, and with what stands
behind as well, prefix first (PSM) or suffix first (SPM). 5-gram: a Kneser-Ney model of the same training tokens.
"""

USE = """
## What it is for, and what not

- For: trying speculative decoding on two CPU cores, short completions and fill-in-the-middle in the languages it was
  trained on, tests and benchmarks of the server.
- Not for: writing code that nobody reads. It is far smaller and far less trained than the models in editors: it knows
  syntax, idiom and local names, not your libraries, and invents identifiers that do not exist.
- Not for: conversation or instructions (it has seen source files only), other languages, anything about people.
- Greedy text of a small model repeats itself, which flatters acceptance; read acceptance beside distinct-4 (share of
  4-grams of a continuation that are not repeats).
"""

SPEEDS = ["plain tokens/s", "tokens/s", "speedup"]
SPEED_NOTE = " Speeds are medians over prompts, greedy, three drafts a round, all rows in turn on each prompt."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", type=Path, help="model folder, models/<id>")
    parser.add_argument("--corpus", type=Path, nargs="*", default=[], help="summaries (.json) that `prepare` wrote")
    parser.add_argument("--speeds", type=Path, nargs="*", default=[], help="results of `npm run bench:folders`")
    parser.add_argument(
        "--benchmark", type=Path, nargs="*", default=[], help="results: JSON with `card`, an object of label: value"
    )


def run(arguments: argparse.Namespace) -> None:
    facts = model_facts(arguments.folder, arguments.corpus, arguments.benchmark, arguments.speeds)
    (arguments.folder / "README.md").write_text(card(facts))
    models = arguments.folder.resolve().parent
    folders = sorted(path.parent for path in models.glob("*/ledger.json"))
    everything = [model_facts(folder, arguments.corpus) for folder in folders]
    (models / "README.md").write_text(catalogue(everything))


def card(facts: ModelFacts) -> str:
    languages = sorted({name.split("-")[0] for name in facts.training_sets})
    sections = [
        f"# {facts.folder.resolve().name}\n" + INTRODUCTION,
        shape_section(facts),
        data_section(facts),
        quality_section(facts),
        benchmark_section(facts),
        quantisation_section(facts),
        draft_head_section(facts),
        cost_section(facts),
        USE,
    ]
    header = HEADER.format(languages="".join(f"- {language}\n" for language in languages))
    return header + "\n".join(section.strip("\n") + "\n" for section in sections if section)


def table(header: list[str], rows: list[list]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines) + "\n"


def shape_section(facts: ModelFacts) -> str:
    shape, settings = facts.shape, facts.config
    rows = [
        ["target model", f"{shape.target_parameters / 1e6:.1f} M parameters, embedding and output head included"],
        ["MTP module", f"{shape.mtp_parameters / 1e6:.1f} M parameters more; embedding and output head are shared"],
        ["layers", f"{shape.num_layers} of width {shape.hidden_size}, SwiGLU {shape.intermediate_size}"],
        ["attention", f"{shape.num_heads} heads of {shape.head_size}, {shape.num_kv_heads} key-value head(s), RoPE"],
        ["vocabulary", f"{shape.vocab_size}, byte-level BPE split for code"],
        ["context", f"{shape.context_length} tokens"],
        ["shipped graphs", stored_as(settings)],
        ["`model.onnx.data`", facts.megabytes("model.onnx.data")],
        ["`model.safetensors`", f"{facts.megabytes('model.safetensors')}, bfloat16, to fine-tune or convert from"],
    ]
    return "## Shape\n\n" + table(["", ""], rows)


def stored_as(settings: dict) -> str:
    precision, head, block_size = (settings.get(name) for name in ("precision", "head_precision", "block_size"))
    names = f"{precision}" if head in (precision, None) else f"{precision}, output head {head}"
    return names + (f", block size {block_size}" if block_size else "")


def data_section(facts: ModelFacts) -> str:
    lines = ["## Data\n"]
    for name in facts.training_sets:
        summary = facts.corpora.get(name)
        if summary:
            lines.append(
                f"**{name}**: {summary['documents']:,} files, {summary['bytes'] / 1e6:.1f} MB, "
                f"{summary['tokens'] / 1e6:.1f} M tokens, of " + ", ".join(summary["repositories"]) + ".\n"
            )
    known = [facts.corpora[name]["tokens"] for name in facts.training_sets if name in facts.corpora]
    if len(known) == len(facts.training_sets):
        passes = facts.tokens_trained / sum(known)
        seen = f"{passes:.0%} of it, so most of it was never seen" if passes < 0.5 else f"{passes:.1f} passes over it"
        lines.append(f"Trained on {facts.tokens_trained / 1e6:.1f} M tokens drawn from this: about {seen}.\n")
    held_out = [
        f"{n} ({', '.join(facts.corpora[n]['repositories'])})" for n in facts.validation_sets if n in facts.corpora
    ]
    lines.append("Held out, never trained on: " + ", ".join(held_out or facts.validation_sets) + ".\n")
    return "\n".join(lines)


def quality_section(facts: ModelFacts) -> str:
    rows = []
    everything = {**facts.evaluation.get("validation", {})}
    for name, measured in facts.previous_evaluation.get("validation", {}).items():
        everything[f"{name}, previous model"] = measured
    for name, measured in everything.items():
        greedy, next_line = measured.get("onnx", {}).get("greedy", {}), measured.get("next_line", {})
        rows.append(
            [
                name,
                measured["nats_per_token"],
                measured["bits_per_byte"],
                measured.get("ngram", {}).get("bits_per_byte", ""),
                " ".join(f"{share:.2f}" for share in measured["mtp_agreement"]),
                greedy.get("median_distinct_4", ""),
                greedy.get("median_longest_repeat", ""),
                *(percent(next_line.get(key)) for key in ("prefix", "psm", "spm", "ngram")),
            ]
        )
    if not rows:
        return ""
    header = ["held-out code", "nats/token", "bits/byte", "5-gram bits/byte", "MTP agreement, depth 1 to 4"]
    header += ["distinct-4", "longest repeat", "next line", "with suffix, PSM", "with suffix, SPM", "next line, 5-gram"]
    return "## Quality\n\n" + table(header, rows) + QUALITY


def percent(share: float | None) -> str:
    return "" if share is None else f"{share:.1%}"


def benchmark_section(facts: ModelFacts) -> str:
    rows = [[label, value] for result in facts.benchmarks for label, value in result.get("card", {}).items()]
    return "## Acceptance and speed\n\n" + table(["benchmark", ""], rows) if rows else ""


def quantisation_section(facts: ModelFacts) -> str:
    measured = facts.quantisation.get("rows", [])
    if not measured:
        return ""
    exact = measured[0]["nats_per_token"]
    rows = [
        [
            row["precision"],
            row["head_precision"],
            row["block_size"] or "",
            row["graph_megabytes"],
            row["nats_per_token"],
            f"{row['nats_per_token'] / exact - 1:+.2%}",
            *speeds(facts, row["name"]),
        ]
        for row in measured
    ]
    header = ["matrices", "output head", "block", "graphs, MB", "validation nats/token", "against fp32", *SPEEDS]
    return f"## Precision\n\nOn {facts.quantisation['validation']}.{SPEED_NOTE}\n\n" + table(header, rows)


def draft_head_section(facts: ModelFacts) -> str:
    rows = [
        [
            row["draft_vocab_size"],
            f"{row['covered']:.1%}",
            " ".join(f"{share:.2f}" for share in row["mtp_agreement"]),
            *speeds(facts, row["name"]),
            facts.speeds.get(row["name"], {}).get("mean_acceptance_length", ""),
        ]
        for row in facts.draft_heads.get("rows", [])
    ]
    if not rows:
        return ""
    header = ["tokens", "of the text", "MTP agreement, depth 1 to 4", *SPEEDS, "mean acceptance length"]
    shipped = facts.config.get("draft_vocab_size", facts.shape.vocab_size)
    return (
        "## Tokens that may be drafted\n\n"
        f"On {facts.draft_heads['validation']}, weights {facts.draft_heads['precision']}; "
        f"shipped: {shipped}.{SPEED_NOTE}\n\n" + table(header, rows)
    )


def speeds(facts: ModelFacts, name: str) -> list[str]:
    """Cells under SPEEDS."""
    row = facts.speeds.get(name)
    if not row:
        return ["", "", ""]
    rates = [f"{row[key]:.0f}" for key in ("baseline_tokens_per_second", "tokens_per_second")]
    return [*rates, f"{row['speedup']:.2f}"]


def target_loss(validation: dict | list) -> float:
    """Nats per token; as a list, the target's loss comes first."""
    return validation["loss"] if isinstance(validation, dict) else validation[0]


def cost_section(facts: ModelFacts) -> str:
    rows = [
        [
            entry["started_at"],
            entry["stage"],
            entry["device"],
            f"{entry['hours']:.2f}",
            f"{entry['steps']:,}",
            f"{entry['tokens'] / 1e6:.2f}",
            f"{entry['flops']:.2e}",
            "; ".join(
                f"{name} {target_loss(values)}"
                for name, values in entry["validation"].items()
                if entry["stage"] != "tune-mtp"
            ),
        ]
        for entry in facts.ledger
    ]
    header = ["started", "stage", "device", "hours", "steps", "M tokens", "FLOPs", "nats/token after it"]
    return "## Cost of training\n\n" + table(header, rows)
