"""Settings of the regressor, chosen by Optuna on folds grouped by target, within a time limit."""

from __future__ import annotations

import numpy as np

from transfercast.predictor.design import Design
from transfercast.predictor.regressor import DEFAULT, Settings, fit

FEWEST_ROWS, FEWEST_TARGETS = 30, 3
MOST_TRIALS = 20
FOLDS = 4


def tuned(design: Design, scores: np.ndarray, seconds: float) -> Settings:
    """Settings with the least squared error on targets left out of the fit; the defaults where data are few.

    Args:
        design, scores: the observations that may be seen.
        seconds: after which no further trial begins.
    """
    names = list(dict.fromkeys(design.targets))
    if len(scores) < FEWEST_ROWS or len(names) < FEWEST_TARGETS or seconds <= 0:
        return DEFAULT
    import optuna

    fold_of = {name: number % FOLDS for number, name in enumerate(names)}
    folds = np.array([fold_of[name] for name in design.targets])

    def error(trial: optuna.Trial) -> float:
        settings: Settings = {
            "max_depth": trial.suggest_int("max_depth", 1, 5),
            "eta": trial.suggest_float("eta", 0.02, 0.2, log=True),
            "rounds": trial.suggest_int("rounds", 50, 300),
            "lambda": trial.suggest_float("lambda", 0.5, 50, log=True),
            "min_child_weight": trial.suggest_float("min_child_weight", 1, 20, log=True),
        }
        squares = []
        for fold in set(folds.tolist()):
            out = folds == fold
            predicted = fit(design.take(~out), scores[~out], settings).predict(design.take(out)).score
            squares.append((scores[out] - predicted) ** 2)
        return float(np.concatenate(squares).mean())

    study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=0))
    study.enqueue_trial(DEFAULT)
    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        study.optimize(error, n_trials=MOST_TRIALS, timeout=seconds)
    finally:
        optuna.logging.set_verbosity(verbosity)
    return {**DEFAULT, **study.best_params}
