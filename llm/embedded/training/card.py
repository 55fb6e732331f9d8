"""Puts the figures of evaluation.json into the model card, between two markers."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

BEGIN, END = "<!-- figures: begin -->", "<!-- figures: end -->"


def write_figures(folder: Path) -> None:
    """Replace what stands between the markers in MODEL_CARD.md; a folder without a card stays as it is."""
    card = folder / "MODEL_CARD.md"
    if card.exists():
        head, _, rest = card.read_text("utf-8").partition(BEGIN)
        _, _, tail = rest.partition(END)
        figures = json.loads((folder / "evaluation.json").read_text("utf-8"))
        card.write_text(f"{head}{BEGIN}\n{table(figures)}{END}{tail}", "utf-8")


def table(figures: Mapping[str, Any]) -> str:
    """A table in Markdown: a row a figure, a column a split, each cell with its n."""
    splits = [split for split in ("dev", "test", "generated") if split in figures]
    rows = list(dict.fromkeys(name for split in splits for name in figures[split]))
    lines = [["what is right", *splits], ["---"] * (1 + len(splits))]
    lines += [[name, *(_cell(figures[split].get(name)) for split in splits)] for name in rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _cell(figure: Mapping[str, Any] | None) -> str:
    return f"{figure['percent']:.0f} % (n={figure['n']})" if figure else ""
