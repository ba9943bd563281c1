"""Meanings of the columns of tables, in one line each; docs/concepts.md explains the terms."""

from __future__ import annotations

from collections.abc import Iterable

COLUMNS: dict[str, str] = {
    "order": "How candidates are ordered: by the predictor, by one measure, or by a rule. A measure of several columns, such "
    "as ANSAT at its thresholds, is one line: the mean rank of its columns.",
    "features": "What is learned from: all evidence, F1 alone, F1 and ANSAT, or what was asked for.",
    "NDCG": "How good an order is; the best sources count most. 1 is the true order. Relevance is n minus the true rank, gain "
    "2^relevance - 1.",
    "regret@1": "By how much the first source falls short of the best, in percent of the best score.",
    "regret@3": "By how much the best of the first three sources falls short of the best of all, in percent of the best score.",
    "regret@5": "The same of the first five.",
    "Spearman": "Rank correlation of forecast and outcome within a target, mean over targets.",
    "time share": "The hours until the best score so far is within 1 % of the best of all, as a share of the hours that all "
    "trainings take.",
    "RMSE": "Root mean squared error of forecasts, in score units.",
    "coverage": "Share of held-out scores inside 90 % intervals; 0.9 is right.",
    "rank": "Step of the plan; the target alone comes first.",
    "source": "The model to start from; (alone) is the base encoder itself.",
    "target": "The task to train.",
    "recipe": "How to fine-tune.",
    "encoder": "The model that the source was fine-tuned from.",
    "state": "Whether the history holds this training already.",
    "score": "Expected score on validation; of the target alone what was measured.",
    "lower": "Lower end of the interval in which nine of ten scores are expected.",
    "upper": "Its upper end.",
    "P(better)": "Probability to score higher than the target trained alone.",
    "expected_best": "The best score that is expected to be in hand after this step. It never falls.",
    "time": "How long the training is expected to take.",
    "why": "The kinds of evidence that moved the forecast most, in score units.",
    "word": "As it stands in the text.",
    "activity": "Mean over layers of the word's conductance: the part of the change of probability that goes through it.",
    "term": "A word that is active in both models.",
    "weight": "Sum, over the places where the term is active in both models, of the smaller activity.",
    "documents": "Number of documents in which it is.",
}


def explained(columns: Iterable[str]) -> dict[str, str]:
    """Explanations of those columns that have one, each once.

    >>> explained(["NDCG", "no such column"]).keys()
    dict_keys(['NDCG'])
    """
    return {name: COLUMNS[name] for name in columns if name in COLUMNS}
