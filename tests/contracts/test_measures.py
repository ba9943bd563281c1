"""What every measure must do, whichever file is added to `features/measures`."""

from __future__ import annotations

import copy

import numpy as np
import pytest

from tests.features.test_measures import OTHER, ROWS
from transfercast.features.registry import measures

KNOWN = ROWS | OTHER | {"source_layers": np.stack([ROWS["source_cls"], ROWS["source_embeddings"]])}


@pytest.fixture(params=[one for one in measures().values() if set(one.needs) <= set(KNOWN)], ids=lambda one: one.name)
def declared(request):
    return request.param


def evidence(declared):
    return copy.deepcopy({name: KNOWN[name] for name in declared.needs})


def test_it_gives_a_number_a_column(declared):
    found = np.atleast_1d(np.asarray(declared.function(**evidence(declared)), dtype=np.float64))
    assert found.shape == (len(declared.columns),)
    assert not np.isinf(found).any()


def test_the_same_evidence_gives_the_same_number_and_is_left_as_it_was(declared):
    given = evidence(declared)
    one, other = declared.function(**given), declared.function(**given)
    np.testing.assert_array_equal(one, other)
    for name, value in evidence(declared).items():
        np.testing.assert_array_equal(given[name], value)


@pytest.mark.parametrize("declared", measures().values(), ids=lambda one: one.name)
def test_its_columns_have_names_of_their_own_and_a_direction(declared):
    others = [column for one in measures().values() if one.name != declared.name for column in one.columns]
    assert not set(declared.columns) & set(others)
    for column in declared.schema():
        assert (column.measure, column.version, column.group) == (declared.name, declared.version, declared.group)
        assert column.better in ("higher", "lower", "unknown")
