"""Explanations of one text: which decision, which words."""

from __future__ import annotations

import pytest

from tests.attribution.models import classifier, tokenizer_for
from transfercast.attribution.explain import class_names, explain
from transfercast.core.errors import InputError
from transfercast.core.kinds import METRIC_OF, Kind
from transfercast.sources.source import Source


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
        ("three", "help", "\u00b2", "is none of bad, fair, good"),
        ("tags", "help", "X", "it takes one text and no label"),
        ("none", "help", None, "BertModel is no classifier"),
    ],
)
def test_what_cannot_be_explained_is_told(checkpoints, name, text, label, told):
    with pytest.raises(InputError, match=told):
        explain(str(checkpoints / name), text, label=label)


def test_a_pair_of_texts_is_explained_together(checkpoints):
    found = explain(str(checkpoints / "two"), "we need water", text_pair="help at the road")
    assert found.conductance.words == ("we", "need", "water", "help", "at", "the", "road")
    with pytest.raises(InputError, match="the text is empty"):
        explain(str(checkpoints / "two"), "we need water", text_pair=" ")
    with pytest.raises(InputError, match="it takes one text"):
        explain(str(checkpoints / "tags"), "we need water", text_pair="help")


def test_classes_are_shown_and_asked_for_by_the_names_of_their_data(checkpoints):
    by_default = explain(str(checkpoints / "two"), "help", names=("not spam", "spam"))
    assert by_default.decision == "spam"
    decisions = [
        explain(str(checkpoints / "two"), "help", names=("not spam", "spam"), label=label).decision
        for label in ("not spam", "LABEL_0", "0")
    ]
    assert decisions == ["not spam"] * 3


def source_of(folder, kind, names, spec):
    return Source(
        name="mail", kind=kind, label_names=names, checkpoint=folder, encoder="offline", metric=METRIC_OF[kind], spec=spec
    )


@pytest.mark.parametrize(
    ("spec", "names"),
    [
        ({"label": "verdict", "positive": "spam"}, ("not spam", "spam")),
        ({"kind": "multilabel", "label": "gratitude"}, ("not gratitude", "gratitude")),
        ({"label": "label", "positive": None}, ("not mail", "mail")),
        (None, ("negative", "positive")),
    ],
)
def test_a_binary_source_s_classes_are_called_by_the_label_of_its_data(tmp_path, spec, names):
    source = source_of(tmp_path, Kind.BINARY, ("negative", "positive"), spec)
    assert class_names(source) == names


def test_classes_of_other_kinds_keep_their_names(tmp_path):
    source = source_of(tmp_path, Kind.MULTICLASS, ("a", "b", "c"), {"label": "label"})
    assert class_names(source) == ("a", "b", "c")


@pytest.mark.parametrize(("name", "text"), [("two", "water " * 100), ("tags", "storm " * 100)])
def test_longer_texts_than_the_model_has_positions_for_are_cut_whatever_is_allowed(tmp_path, name, text):
    heads = {"two": "SequenceClassification", "tags": "TokenClassification"}
    model = classifier("Bert", heads[name], num_labels=2, max_position_embeddings=20)
    model.save_pretrained(tmp_path)
    tokenizer_for("Bert").save_pretrained(tmp_path)
    found = explain(str(tmp_path), text, max_tokens=1000)
    assert found.max_tokens == 20
    assert found.conductance.truncated
