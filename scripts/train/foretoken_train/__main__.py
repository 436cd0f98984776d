"""`python -m foretoken_train COMMAND`: one command a module."""

import argparse

from . import (
    card,
    draft_head_table,
    evaluate,
    export,
    gather,
    mix,
    prepare,
    pretrain,
    quantise_table,
    tune_mtp,
    unlearn_loops,
)

COMMANDS = {
    "gather": gather,
    "prepare": prepare,
    "pretrain": pretrain,
    "unlearn-loops": unlearn_loops,
    "tune-mtp": tune_mtp,
    "mix": mix,
    "export": export,
    "evaluate": evaluate,
    "quantise-table": quantise_table,
    "draft-head-table": draft_head_table,
    "card": card,
}


def main() -> None:
    parser = argparse.ArgumentParser(prog="foretoken_train")
    commands = parser.add_subparsers(dest="command", required=True)
    for name, module in COMMANDS.items():
        summary = (module.__doc__ or "").strip().splitlines()[0]
        command = commands.add_parser(name, help=summary, description=summary)
        module.add_arguments(command)
        command.set_defaults(run=module.run)
    arguments = parser.parse_args()
    arguments.run(arguments)


if __name__ == "__main__":
    main()
