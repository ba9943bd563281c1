"""The register of measures. A new measure is one new file in `measures/`; nothing else is edited.

A measure is a pure function whose parameter names are the evidence that it needs (see evidence.py). Other packages add
measures through the entry-point group `transfercast.measures`, each entry naming a module.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.metadata import entry_points
from typing import Any, TypeVar

from transfercast.core.kinds import ALL_KINDS, Kind
from transfercast.core.table import Better, Column, Group

Function = TypeVar("Function", bound=Callable[..., Any])
_registered: dict[str, Measure] = {}


@dataclass(frozen=True, slots=True)
class Measure:
    """A measure of how well a source suits a target.

    Attributes:
        name: name of the function.
        function: takes evidence and returns a float or a (columns,) array.
        needs: names of the evidence, from the function's signature.
        kinds: kinds of target that it is defined for; for others its columns are NaN.
        sources: the same for kinds of source.
        same_kind: whether the source must be of the target's kind.
        grows_with_width: whether its value for uninformative embeddings grows with their width; `rank` then compares all
            encoders by the same number of dimensions.
        better: the direction of its columns, one for all or by column; columns that are not named have none.
        group, paper, version: group of evidence in explanations, citation, version of the formula.
        columns: names of its columns in the table.
    """

    name: str
    function: Callable[..., Any]
    needs: tuple[str, ...]
    kinds: frozenset[Kind]
    sources: frozenset[Kind]
    same_kind: bool
    grows_with_width: bool
    better: Better | Mapping[str, Better]
    group: Group
    paper: str
    version: int
    columns: tuple[str, ...]

    def why_not(self, source: Kind, target: Kind) -> str | None:
        """The reason why the measure does not apply to such a pair, or None if it applies."""
        if target not in self.kinds:
            return f"{self.name} is not defined for {target} targets, only for {_listed(self.kinds)}"
        if source not in self.sources:
            return f"{self.name} is not defined for {source} sources, only for {_listed(self.sources)}"
        if self.same_kind and source is not target:
            return f"{self.name} needs a source of the target's kind, {target}; this one is {source}"
        if "source_probabilities" in self.needs and (Kind.SEQUENCE in (source, target)) and source is not target:
            return f"{self.name} compares rows with rows; a {source} source says nothing of the rows of a {target} target"
        return None

    @property
    def summary(self) -> str:
        """The first line of the docstring."""
        return (inspect.getdoc(self.function) or "").split("\n")[0]

    def schema(self) -> list[Column]:
        """The descriptions of the measure's columns in a table."""
        return [
            Column(name=name, measure=self.name, version=self.version, better=self.direction(name), group=self.group)
            for name in self.columns
        ]

    def direction(self, column: str) -> Better:
        """Which direction of a column is better."""
        return self.better if isinstance(self.better, str) else self.better.get(column, "unknown")


def _listed(kinds: frozenset[Kind]) -> str:
    return ", ".join(sorted(kinds))


def measure(
    *,
    kinds: frozenset[Kind],
    better: Better | Mapping[str, Better],
    group: Group,
    paper: str,
    version: int = 1,
    sources: frozenset[Kind] = ALL_KINDS,
    same_kind: bool = False,
    grows_with_width: bool = False,
    columns: tuple[str, ...] = (),
) -> Callable[[Function], Function]:
    """Register a function as a measure; its parameters are the evidence it needs."""

    def register(function: Function) -> Function:
        name = function.__name__
        needs = tuple(inspect.signature(function).parameters)
        _registered[name] = Measure(
            name,
            function,
            needs,
            kinds,
            sources,
            same_kind,
            grows_with_width,
            better,
            group,
            paper,
            version,
            columns or (name,),
        )
        return function

    return register


@cache
def measures() -> dict[str, Measure]:
    """All measures by name: those in `measures/`, and those of installed packages."""
    folder = importlib.import_module("transfercast.features.measures")
    for module in pkgutil.iter_modules(folder.__path__):
        importlib.import_module(f"{folder.__name__}.{module.name}")
    for entry in entry_points(group="transfercast.measures"):
        entry.load()
    return dict(sorted(_registered.items()))
