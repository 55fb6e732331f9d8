"""The training itself: by a number of tokens, from a fixed seed, every batch new."""

import contextlib
import json
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as functional
from torch import Tensor

from llm.embedded.tokenizer import Tokenizer
from llm.embedded.training.batches import Batch, batches
from llm.embedded.training.muon import Muon
from llm.embedded.training.network import SHAPES, Llama, config

_WARM_UP = 100  # steps
_STEADY = 0.35  # of the tokens at the full rate, then linearly down
_CLIP = 1.0
_LOG_EVERY = 50
_SAVE_EVERY = 500
_AVERAGE = 0.97


@dataclass(frozen=True)
class Recipe:
    """Everything that decides what comes out, up to rounding."""

    shape: str = "medium"
    tokens: int = 32_000_000
    batch: int = 6144
    rate: float = 4e-3
    seed: int = 1


@dataclass(frozen=True)
class Machine:
    """How it is computed; not what comes out, up to rounding."""

    threads: int = 2
    bfloat16: bool = False

    @classmethod
    def this(cls, threads: int) -> "Machine":
        """bfloat16 where the processor has units for it."""
        flags = Path("/proc/cpuinfo")
        units = flags.exists() and "amx_bf16" in flags.read_text("utf-8")
        return cls(threads, bfloat16=units)


def train(recipe: Recipe, tokenizer: Path, folder: Path, machine: Machine) -> Path:
    """Train and write `checkpoint.pt` and `training_log.jsonl` into `folder`; returns the checkpoint's path."""
    torch.set_num_threads(machine.threads)
    torch.manual_seed(recipe.seed)
    folder.mkdir(parents=True, exist_ok=True)
    network = Llama(config(SHAPES[recipe.shape], Tokenizer.load(tokenizer).size))
    run = _Run(recipe, network, machine)
    with (folder / "training_log.jsonl").open("w", encoding="utf-8") as log:
        log.write(
            json.dumps({"recipe": asdict(recipe), "machine": asdict(machine), "parameters": run.parameters}) + "\n"
        )
        for batch in batches(tokenizer, recipe.seed, recipe.batch):
            if run.progress >= 1:
                break
            run.step(batch)
            if run.steps % _LOG_EVERY == 0:
                log.write(json.dumps(run.state()) + "\n")
                log.flush()
                print(run.state(), flush=True)
            if run.steps % _SAVE_EVERY == 0:
                save(run, network, folder / "checkpoint.pt")
        log.write(json.dumps(run.state()) + "\n")
    return save(run, network, folder / "checkpoint.pt")


def save(run: "_Run", network: Llama, path: Path) -> Path:
    """Write the weights and how they came about, in one step; returns the path."""
    unfinished = path.with_suffix(".part")
    torch.save({"recipe": asdict(run.recipe), "weights": network.state_dict(), "run": run.state()}, unfinished)
    return unfinished.replace(path)


class _Run:
    """The state of one training."""

    def __init__(self, recipe: Recipe, network: Llama, machine: Machine) -> None:
        self.steps = 0
        self.seen = 0
        self.parameters = sum(weight.numel() for weight in network.parameters())
        self._loss = 0.0
        self.recipe = recipe
        self._network = network
        self._bfloat16 = machine.bfloat16
        self._optimizers: list[torch.optim.Optimizer] = [
            Muon(network.matrices(), recipe.rate, torch.bfloat16 if machine.bfloat16 else torch.float32),
            torch.optim.AdamW(network.others(), lr=recipe.rate, betas=(0.9, 0.98), weight_decay=0.0),
        ]
        self._started = time.time()
        self._cpu = time.process_time()

    @property
    def progress(self) -> float:
        return self.seen / self.recipe.tokens

    def step(self, batch: Batch) -> None:
        """One update from one batch."""
        self._set_rate()
        loss = self._loss_of(torch.from_numpy(batch.ids), torch.from_numpy(batch.weights))
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self._network.parameters(), _CLIP)
        for optimizer in self._optimizers:
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        self.steps += 1
        self.seen += batch.ids.size
        share = max(1 - _AVERAGE, 1 / self.steps)
        self._loss += share * (loss.item() - self._loss)

    def state(self) -> dict[str, Any]:
        """For the log: tokens include padding, minutes are wall time and processor time."""
        return {
            "step": self.steps,
            "tokens": self.seen,
            "loss": round(self._loss, 4),
            "minutes": round((time.time() - self._started) / 60, 2),
            "cpu_minutes": round((time.process_time() - self._cpu) / 60, 2),
        }

    def _loss_of(self, ids: Tensor, weights: Tensor) -> Tensor:
        """The weighted mean of the cross entropy over what is learnt; logits are computed there only."""
        chosen = weights[:, 1:] > 0
        with torch.autocast("cpu", dtype=torch.bfloat16) if self._bfloat16 else contextlib.nullcontext():
            logits = self._network.logits(self._network.hidden(ids[:, :-1])[chosen])
        losses = functional.cross_entropy(logits.float(), ids[:, 1:][chosen], reduction="none")
        return (losses * weights[:, 1:][chosen]).sum() / weights[:, 1:][chosen].sum()

    def _set_rate(self) -> None:
        warm = min(1.0, (self.steps + 1) / _WARM_UP)
        falling = min(1.0, max(0.02, (1 - self.progress) / (1 - _STEADY)))
        for optimizer in self._optimizers:
            for group in optimizer.param_groups:
                group["lr"] = self.recipe.rate * warm * falling
