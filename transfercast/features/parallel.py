"""One function over many arguments, by whatever backend of joblib is set."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

from joblib import Parallel, delayed

Result = TypeVar("Result")


def in_parallel(function: Callable[..., Result], arguments: Iterable[tuple[Any, ...]], jobs: int | None) -> Iterator[Result]:
    """Results as they are done, or in order where the backend cannot tell (multiprocessing).

    Args:
        function: called with each of the arguments.
        arguments: a tuple a call.
        jobs: calls at a time; None as `joblib.parallel_config` says, else one.
    """
    calls = [delayed(function)(*given) for given in arguments]
    try:
        yield from Parallel(n_jobs=jobs, return_as="generator_unordered")(calls)
    except ValueError as error:
        if "return_as" not in str(error):
            raise
        yield from Parallel(n_jobs=jobs)(calls)
