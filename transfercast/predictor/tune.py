"""Settings of a learner, chosen by Optuna within a time limit."""

from __future__ import annotations

from collections.abc import Callable

from transfercast.predictor.learner import Settings

MOST_TRIALS = 40


def tuned(cost: Callable[[Settings], float], seconds: float) -> Settings:
    """Settings of the least cost; the defaults are tried first.

    Args:
        cost: of settings, on held-out targets.
        seconds: after which no further trial begins.
    """
    import optuna

    def of(trial: optuna.Trial) -> float:
        return cost(
            Settings(
                depth=trial.suggest_int("depth", 1, 5),
                eta=trial.suggest_float("eta", 0.03, 0.3, log=True),
                rounds=trial.suggest_int("rounds", 10, 80),
                penalty_leaf=trial.suggest_float("penalty_leaf", 1, 100, log=True),
                weight_leaf=trial.suggest_float("weight_leaf", 1, 30, log=True),
            )
        )

    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=0))
        default = Settings()
        study.enqueue_trial({name: getattr(default, name) for name in Settings.__slots__})
        study.optimize(of, n_trials=MOST_TRIALS, timeout=seconds)
    finally:
        optuna.logging.set_verbosity(verbosity)
    return Settings(**study.best_params)
