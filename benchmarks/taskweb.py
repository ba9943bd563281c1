"""Forecasts of transfers that others measured: TaskWeb, each target held out. The last line is JSON.

    python -m benchmarks.taskweb [--data ../shared/data/transfer] [--jobs 2] [--learner NAME]

Scores are means over eight seeds. A target's rows are in no training, choice, calibration or history feature; its own score
(trained alone) is an input, as it is for users. Four settings are learned from (RoBERTa, GPT-2 medium and T5 base fully
fine-tuned, T5 with adapters); the three fully fine-tuned ones are judged, by sources with both published measures. No hours
are recorded, so every training counts the same.
"""

from __future__ import annotations

import argparse
import json
import platform
import time
from collections.abc import Callable
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.data import DATA
from transfercast.core.plan import Budget
from transfercast.core.records import ALONE, Candidate, Observation, Recipe
from transfercast.core.table import INDEX, Column, FeatureTable, Provenance
from transfercast.evaluation.evaluate import Evaluation, evaluate
from transfercast.evaluation.holdout import held_out
from transfercast.history.store import History
from transfercast.planning.order import plan
from transfercast.predictor.data import Candidates, Transfers, candidates_of, candidates_of_table, transfers_of
from transfercast.predictor.predictor import Predictor

MEASURES = (
    Column(name="roe_minilm", measure="retrieval of experts", version=1, better="higher", group="embeddings"),
    Column(name="llm_similarity", measure="LLM similarity", version=1, better="higher", group="label space"),
)
JUDGED = ("roberta", "gpt2m", "t5b")


def history_of(folder: Path) -> History:
    """TaskWeb's runs as a history; the targets' own scores follow from the published relative gains."""
    runs, gains = pd.read_csv(folder / "taskweb.csv"), pd.read_csv(folder / "taskweb_gain.csv")
    print(
        f"{runs.value.isna().sum()} of {len(runs)} runs have no score (a constant answer has no correlation) and are left out"
    )
    runs = runs.dropna(subset="value")
    measures = pd.read_csv(folder / "taskweb_measures.csv").set_index(["target", "source"])
    told = measures[[column.name for column in MEASURES]].T.to_dict()
    history = History("sqlite://")
    history.describe(MEASURES)
    rows = {}
    for run in runs.itertuples():
        pair = told.get((run.target, run.source), {})
        recipe = _recipe(str(run.adaptation), run.learning_rate, run.epochs, run.batch_size)
        one = Observation(
            source=str(run.source), target=str(run.target), recipe=recipe,
            encoder=_encoder(str(run.base_model), str(run.adaptation)), seed=int(run.seed),
            metric=_metric(run.target), split="validation", score=float(run.value), hours=0.0,
            features={name: value for name, value in pair.items() if np.isfinite(value)},
        )  # fmt: skip
        rows[one.run_key] = one
    keys = ["target", "base_model", "adaptation"]
    joined = runs.groupby([*keys, "source"]).value.mean().reset_index().merge(gains, on=[*keys, "source"])
    joined["alone"] = joined.value / (1 + joined.relative_gain)
    for (target, base, adaptation), part in joined.groupby(keys):
        encoder = _encoder(str(base), str(adaptation))
        one = Observation(source=ALONE, target=str(target), recipe=Recipe().key, encoder=encoder, seed=0,
                          metric=_metric(target), split="validation", score=float(part.alone.median()), hours=0.0)  # fmt: skip
        rows[one.run_key] = one
    history.append(rows.values())
    return history


def measured_pairs(folder: Path) -> Candidates:
    """All pairs with published measures, also those that were never trained."""
    measures = pd.read_csv(folder / "taskweb_measures.csv")
    pairs = [Candidate(str(row.source), str(row.target), Recipe().key) for row in measures.itertuples()]
    return candidates_of(measures[[column.name for column in MEASURES]].to_numpy(), MEASURES, pairs, {}, JUDGED[0])


def _recipe(adaptation: str, lr: float, epochs: int, batch: int) -> str:
    return f"full/lr={lr!r}/epochs={epochs}/batch={batch}" if adaptation == "finetune" else f"adapters/lr={lr!r}"


def _encoder(base: str, adaptation: str) -> str:
    return base if adaptation == "finetune" else f"{base}+{adaptation}"


def _metric(target: object) -> str:
    return "pearson_spearman" if target == "stsb" else "accuracy"


def judged_rows(observed: Transfers) -> np.ndarray:
    """(n,) rows that count: fully fine-tuned, with both published measures."""
    both = np.isfinite(observed.candidates.matrix([column.name for column in MEASURES])).all(axis=1)
    return both & np.isin(observed.candidates.encoder, JUDGED)


def table(evaluation: Evaluation, per_encoder: dict[str, Evaluation]) -> None:
    print(f"{'ranking by':50}{'NDCG':>7}{'R@1':>7}{'R@3':>7}{'R@5':>7}{'time':>7}   NDCG: " + "  ".join(per_encoder))
    for number, order in enumerate(evaluation.orders):
        regrets = "".join(f"{order.regret[k].mean:7.2f}" for k in (1, 3, 5))
        each = "  ".join(f"{100 * part.orders[number].ndcg.mean:.1f}" for part in per_encoder.values())
        print(f"{order.name:50}{100 * order.ndcg.mean:7.1f}{regrets}{100 * order.time_share.mean:7.1f}   {each}")


def table_of_ten_thousand(sources: list[str]) -> FeatureTable:
    """A hundred new targets with a hundred sources each, some of them never seen, and random measures."""
    names = (sources + [f"stranger{n}" for n in range(100)])[:100]
    index = pd.MultiIndex.from_product([names, [f"new{n}" for n in range(100)], [Recipe().key]], names=INDEX)
    values = np.random.default_rng(0).normal(size=(10_000, len(MEASURES)))
    frame = pd.DataFrame(values, index, [column.name for column in MEASURES])
    return FeatureTable(frame, MEASURES, Provenance(encoder=JUDGED[0]))


def ten_thousand(predictor: Predictor, sources: list[str]) -> float:
    """Seconds to forecast 10,000 pairs without reasons, the best of five."""
    rows = candidates_of_table(table_of_ten_thousand(sources))
    return min(_seconds(lambda: predictor.forecast(rows, 0.9, explain=False)) for _ in range(5))


def plan_with_reasons(predictor: Predictor, sources: list[str]) -> float:
    """Seconds from a table of 10,000 pairs to a plan of 20 trainings with reasons, the best of three."""
    table = table_of_ten_thousand(sources)

    def planned() -> object:
        return predictor.explained(plan(predictor.predict(table, explain=False), table, Budget(trials=20)), table)

    return min(_seconds(planned) for _ in range(3))


def _seconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=DATA / "transfer")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--features", default="all")
    given = parser.parse_args()
    history = history_of(given.data)
    observed = replace(transfers_of(history.frames(), history.schema()), measured=measured_pairs(given.data))
    targets = len(np.unique(observed.candidates.targets))
    print(f"{len(observed)} pairs and encoders, {targets} targets; seed 0; Python {platform.python_version()}, "
          f"xgboost {version('xgboost')}, numpy {np.__version__}")  # fmt: skip
    rows = judged_rows(observed)
    started = time.perf_counter()
    new = held_out(observed, given.features, "target", given.jobs)
    evaluation = evaluate(new, rows)
    seconds = time.perf_counter() - started
    encoders = {name: evaluate(new, rows & (observed.candidates.encoder == name)) for name in JUDGED}
    table(evaluation, encoders)
    best = evaluation.predictor
    for kind, interval in evaluation.coverage.items():
        print(f"90 % bounds, {kind}: cover {interval.mean:.3f} [{interval.low:.3f}, {interval.high:.3f}], "
              f"{evaluation.width[kind]:.3f} wide")  # fmt: skip
    print(f"NDCG 95 % interval over targets: {100 * best.ndcg.low:.1f} to {100 * best.ndcg.high:.1f}; "
          f"RMSE {evaluation.rmse:.4f}; Brier {evaluation.brier:.3f}")  # fmt: skip
    known = evaluate(held_out(observed, given.features, "target and encoder", given.jobs), rows)
    print(f"target seen with another encoder: NDCG {100 * known.predictor.ndcg.mean:.1f}, regret@1/3/5 "
          + "/".join(f"{known.predictor.regret[k].mean:.2f}" for k in (1, 3, 5)))  # fmt: skip
    pairs = ten_thousand(Predictor.of(observed, given.features), sorted(set(observed.candidates.sources)))
    print(f"10,000 pairs (100 targets of 100 sources) forecast in {pairs:.3f} s, one thread, without reasons")
    result = {
        "ndcg": 100 * best.ndcg.mean,
        **{f"r{k}": best.regret[k].mean for k in (1, 3, 5)},
        "coverage90": {kind: interval.mean for kind, interval in evaluation.coverage.items()},
        "time_share_1pct": 100 * best.time_share.mean,
        "rmse": evaluation.rmse,
        "ndcg_seen_target": 100 * known.predictor.ndcg.mean,
        "seconds": seconds,
        "seconds_10000_pairs": pairs,
    }
    print(json.dumps({name: round(value, 3) if isinstance(value, float) else value for name, value in result.items()}))


if __name__ == "__main__":
    main()
