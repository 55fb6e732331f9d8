"""python -m llm.embedded.training tokenizer | train | export | evaluate | checksums | all

all         everything below in this order: the recipe of the shipped model, about two hours on two cores
tokenizer   train the tokenizer on the corpus                       → RUN/tokenizer.json
train       train the model from scratch, by a number of tokens     → RUN/checkpoint.pt, RUN/training_log.jsonl
export      write the Hugging Face folder                           → FOLDER
evaluate    run the held-out prompts, fail below the thresholds     → FOLDER/evaluation.json
checksums   of the files of the folder                              → FOLDER/SHA256SUMS

With OMP_WAIT_POLICY=passive in the environment it is several times faster where others use the same cores.
"""

import argparse
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from llm.embedded.engine import FOLDER
from llm.embedded.training.evaluate import evaluate
from llm.embedded.training.export import export, write_checksums
from llm.embedded.training.tokenizer import train as train_tokenizer
from llm.embedded.training.train import Machine, Recipe, train


def main() -> None:
    """The command line."""
    arguments = _parser().parse_args()
    for step in _STEPS if arguments.command == "all" else [arguments.command]:
        _STEPS[step](arguments)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m llm.embedded.training", description="Makes penstock-demo.")
    parser.add_argument("command", choices=[*_STEPS, "all"])
    parser.add_argument("--run", type=Path, default=Path("runs/penstock-demo"), help="where intermediate files go")
    parser.add_argument("--folder", type=Path, default=FOLDER, help="the model's folder")
    parser.add_argument("--shape", default=Recipe.shape, help="the size, see network.SHAPES")
    parser.add_argument("--tokens", type=float, default=Recipe.tokens, help="how many tokens to train on")
    parser.add_argument("--rate", type=float, default=Recipe.rate, help="the learning rate at its height")
    parser.add_argument("--batch", type=int, default=Recipe.batch, help="tokens in a batch")
    parser.add_argument("--seed", type=int, default=Recipe.seed)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--plain", action="store_true", help="float32, whatever the machine can do")
    parser.add_argument("--heldout", choices=["dev", "test"], nargs="+", default=["dev", "test"])
    return parser


def _tokenizer(arguments: argparse.Namespace) -> None:
    arguments.run.mkdir(parents=True, exist_ok=True)
    train_tokenizer(arguments.run / "tokenizer.json")


def _train(arguments: argparse.Namespace) -> None:
    recipe = Recipe(arguments.shape, int(arguments.tokens), arguments.batch, arguments.rate, arguments.seed)
    machine = Machine.this(arguments.threads)
    machine = replace(machine, bfloat16=False) if arguments.plain else machine
    train(recipe, arguments.run / "tokenizer.json", arguments.run, machine)


def _export(arguments: argparse.Namespace) -> None:
    export(arguments.run / "checkpoint.pt", arguments.run / "tokenizer.json", arguments.folder)


def _evaluate(arguments: argparse.Namespace) -> None:
    evaluate(arguments.folder, arguments.heldout)


def _checksums(arguments: argparse.Namespace) -> None:
    write_checksums(arguments.folder)


_STEPS: dict[str, Callable[[argparse.Namespace], None]] = {
    "tokenizer": _tokenizer,
    "train": _train,
    "export": _export,
    "evaluate": _evaluate,
    "checksums": _checksums,
}


if __name__ == "__main__":
    main()
