"""Model cards: what is shared, what it was made of, how good it is, and how to use it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from transfercast.core.kinds import Kind
from transfercast.sources.esm import MapCard
from transfercast.sources.source import Source

_SHOWN_LABELS = 30


def source_card(source: Source, base_model: str, repo: str) -> str:
    """The card of a fine-tuned source."""
    labels = ", ".join(source.label_names[:_SHOWN_LABELS]) + (", ..." if len(source.label_names) > _SHOWN_LABELS else "")
    scores = "; ".join(f"{source.metric} {score:.3f} on {split}" for split, score in source.scores.items())
    rows = {
        "Task": f"{source.name}: {source.kind}" + (f" ({labels})" if labels else ""),
        "Data": f"{source.train_rows} training rows" if source.train_rows else "not recorded",
        "Encoder": base_model,
        "Scores": scores or "not recorded",
        "Recipe": f"`{source.recipe}`, seed {source.seed}" if source.recipe else "not recorded",
    }
    pipeline = "token-classification" if source.kind is Kind.SEQUENCE else "text-classification"
    about = "A fine-tuned model to transfer from, with its record, for transfercast"
    use = f"transfercast pull {repo} --pool pool\ntransfercast recommend reviews.csv --pool pool"
    return _card(
        source.name, {"base_model": base_model, "library_name": "transformers", "pipeline_tag": pipeline},
        ["transfercast", "transfercast-source"], about, rows, use,
    )  # fmt: skip


def map_card(card: MapCard, base_model: str, shape: tuple[int, ...], repo: str) -> str:
    """The card of an embedding space map, with the tags by which hf-dataset-selector finds maps of an encoder."""
    rows = {
        "Task": card.task,
        "Data": "texts of that task, in the encoder and in the model that was fine-tuned from it",
        "Encoder": base_model,
        "Embeddings": f"{card.pooling or 'as hf-dataset-selector pools'}; {shape[1]} to {shape[0]} dimensions",
        "Recipe": "linear; ridge regression, its penalty by leave-one-out error",
    }
    about = "An embedding space map: it stands for a fine-tuned model when models to transfer from are ranked. For transfercast"
    use = f"transfercast pull {repo} --maps maps\ntransfercast rank reviews.csv --maps maps"
    return _card(
        card.task, {"base_model": base_model}, ["embedding_space_map", f"BaseLM:{base_model}", "transfercast"], about, rows, use
    )


def predictor_card(manifest: Mapping[str, Any], text: str, repo: str) -> str:
    """The card of a predictor: its own, and how to use it."""
    rows = {"Predictor": str(manifest.get("id")), "Format": str(manifest.get("format"))}
    use = f"transfercast pull {repo} --predictor meta\ntransfercast plan features.parquet --trials 8 --predictor meta"
    about = "Forecasts which transfers are worth training, for transfercast"
    return f"{_card(repo.partition('/')[2], {}, ['transfercast', 'transfercast-predictor'], about, rows, use)}\n{text}"


def _card(title: str, front: Mapping[str, str], tags: Sequence[str], about: str, rows: Mapping[str, str], use: str) -> str:
    """Front matter and a page; strings are written as JSON, which YAML reads."""
    lines = ["---", *(f"{name}: {json.dumps(value)}" for name, value in front.items()), "tags:"]
    lines += [*(f"- {json.dumps(tag)}" for tag in tags), "---", "", f"# {title}", ""]
    lines += [f"{about}.", "", "| | |", "|---|---|"]
    lines += [f"| {name} | {_cell(value)} |" for name, value in rows.items()]
    return "\n".join([*lines, "", "## Use", "", "```sh", use, "```", ""])


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
