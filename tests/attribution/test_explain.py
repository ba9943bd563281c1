"""Explanations of one text: which decision, which words."""

from __future__ import annotations

import pytest

from tests.attribution.models import classifier, tokenizer_for
from transfercast.attribution.explain import explain
from transfercast.core.errors import InputError


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory):
    """A classifier of three classes, one of two, and a tagger."""
    folder = tmp_path_factory.mktemp("models")
    names = {"id2label": {0: "bad", 1: "fair", 2: "good"}, "label2id": {"bad": 0, "fair": 1, "good": 2}}
    made = {
        "three": classifier("Bert", **names),
        "two": classifier("Bert", num_labels=2),
        "tags": classifier("Bert", "TokenClassification", id2label={0: "O", 1: "B-X", 2: "I-X"}),
        "none": classifier("Bert").bert,
    }
    for name, model in made.items():
        model.save_pretrained(folder / name)
        tokenizer_for("Bert").save_pretrained(folder / name)
    return folder


def test_of_two_classes_the_second_is_explained_of_more_the_most_probable(checkpoints):
    found = explain(str(checkpoints / "two"), "we need water")
    assert found.decision == "LABEL_1"
    assert found.conductance.words == ("we", "need", "water")
    likely = explain(str(checkpoints / "three"), "we need water")
    all_three = {name: explain(str(checkpoints / "three"), "we need water", label=name) for name in ("bad", "1", "good")}
    assert [one.decision for one in all_three.values()] == ["bad", "fair", "good"]
    assert likely.conductance.probability == max(one.conductance.probability for one in all_three.values())
    assert sum(one.conductance.probability for one in all_three.values()) == pytest.approx(1, abs=1e-5)


def test_a_tagger_is_explained_by_the_words_that_it_tags(checkpoints):
    found = explain(str(checkpoints / "tags"), "help the storm road film water")
    assert found.decision.startswith("tags of ")
    assert "(B-X)" in found.decision or "(I-X)" in found.decision
    assert found.conductance.within_tolerance


@pytest.mark.parametrize(
    ("name", "text", "label", "told"),
    [
        ("two", " ", None, "the text is empty"),
        ("three", "help", "awful", "'awful' is none of bad, fair, good"),
        ("none", "help", None, "BertModel is no classifier"),
    ],
)
def test_what_cannot_be_explained_is_told(checkpoints, name, text, label, told):
    with pytest.raises(InputError, match=told):
        explain(str(checkpoints / name), text, label=label)
