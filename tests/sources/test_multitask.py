"""`multitask`: a source's task is learned beside the target's, by one encoder, with a head each."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from transfercast.core.errors import InputError
from transfercast.core.kinds import Kind
from transfercast.core.records import Recipe
from transfercast.sources.encoders import load_tokenizer
from transfercast.sources.finetune import fine_tune
from transfercast.sources.inference import read
from transfercast.sources.models import load_model, new_model
from transfercast.sources.multitask import Companion
from transfercast.sources.source import save_trained
from transfercast.sources.updates import Judged, Run
from transfercast.tasks.family import read_family
from transfercast.tasks.task import Examples, Task

CPU = torch.device("cpu")
TOGETHER = Recipe(adaptation="multitask", learning_rate=1e-2, epochs=3, batch_size=8, max_tokens=16)


@pytest.fixture(scope="module")
def family(family_toml):
    return read_family(family_toml)


@pytest.fixture(scope="module")
def target(family):
    return family.targets[0]  # 12 training rows; sources have 24


@pytest.fixture(scope="module")
def source(family):
    return family.sources[1]


def made(encoder, task, source, recipe=TOGETHER):
    """A run that has not begun, and its companion."""
    torch.manual_seed(0)
    model, tokenizer, rng = new_model(encoder, task), load_tokenizer(encoder), np.random.default_rng(0)
    companion = Companion(source, model, tokenizer, recipe, rng, len(task.splits["train"]))
    return Run(task, model, tokenizer, recipe, rng, "float32", True, companion=companion), companion


def task_of(kind):
    texts = ("we need water", "they give help", "the road is bad", "a good film") * 3
    names: tuple[str, ...] = ("a", "b")
    match kind:
        case Kind.REGRESSION:
            labels, names = np.linspace(0, 1, 12), ()
        case Kind.MULTICLASS:
            labels, names = np.arange(12) % 3, ("a", "b", "c")
        case Kind.MULTILABEL:
            labels = np.eye(2, dtype=np.int64)[np.arange(12) % 2]
        case Kind.SEQUENCE:
            texts = tuple(tuple(text.split()) for text in texts)
            labels, names = tuple(("O", "B-x", *["O"] * (len(words) - 2)) for words in texts), ("O", "B-x")
        case _:
            labels = np.arange(12) % 2
    examples = Examples(texts, labels, tuple(map(str, range(12))))
    return Task(str(kind), kind, dict.fromkeys(("train", "validation", "test"), examples), names)


@pytest.mark.parametrize(("sampling", "rows"), [("inverse", 12), ("proportional", 24)])
def test_an_epoch_reads_as_many_rows_of_the_source_as_the_target_has_or_all(tiny_encoder, target, source, sampling, rows):
    _, companion = made(tiny_encoder, target, source, TOGETHER.model_copy(update={"sampling": sampling}))
    epochs = [np.concatenate(companion.batches()) for _ in range(24 * 3 // rows)]
    assert {len(epoch) for epoch in epochs} == {rows}
    counts = np.bincount(np.concatenate(epochs[: 24 // rows]), minlength=24)
    assert (counts == 1).all()  # no row again before all others came
    assert (np.bincount(np.concatenate(epochs)) == 3).all()


def test_both_tasks_are_learned_and_the_source_s_rows_move_the_encoder(tiny_encoder, target, source):
    run, companion = made(tiny_encoder, target, source, TOGETHER.model_copy(update={"epochs": 25}))

    def source_loss():
        every = np.arange(24)
        run.model.eval()
        with torch.no_grad():
            logits = companion.logits(run.model, companion.rows.batch(every, CPU))
        return companion.rows.loss(logits, every).item()

    before = source_loss()
    assert before == pytest.approx(np.log(2), abs=0.1)  # its head is fresh
    curve = run.trained(lambda: Judged(0.5), None).curve
    assert source_loss() < 0.8 * before
    assert curve[-1].loss < 0.8 * curve[0].loss
    alone = fine_tune(target, tiny_encoder, TOGETHER.alone, seed=0, device=CPU).model.base_model.state_dict()
    together = fine_tune(target, tiny_encoder, TOGETHER, seed=0, device=CPU, companion=source).model.base_model.state_dict()
    assert together.keys() == alone.keys()
    assert not any(torch.equal(weights, alone[name]) for name, weights in together.items() if name.endswith("dense.weight"))


@pytest.mark.parametrize("weight", [0.01, 1.0, 50.0])
def test_the_weight_multiplies_the_gradient_of_the_source_s_batches_alone(tiny_encoder, target, source, weight):
    def gradients(recipe):
        """Of each update of an epoch, whether it is of the source, and its gradient of a matrix of the encoder."""
        run, companion = made(tiny_encoder, target, source, recipe)
        of_source = []
        read_source = companion.logits
        companion.logits = lambda *given: of_source.append(len(seen)) or read_source(*given)
        seen = []
        matrix = run.model.base_model.encoder.layer[0].output.dense.weight
        run.optimiser.step = lambda: seen.append(matrix.grad.clone())  # nothing moves, so that updates can be compared
        run.model.eval()
        run.model.train = lambda *_: run.model  # no dropout
        run.trained(lambda: Judged(0.5), None)
        return of_source, seen

    once = TOGETHER.model_copy(update={"epochs": 1})
    of_source, plain = gradients(once)
    _, weighed = gradients(once.model_copy(update={"source_weight": weight}))
    assert 0 < len(of_source) < len(plain)
    for number, (one, other) in enumerate(zip(plain, weighed, strict=True)):
        torch.testing.assert_close(other, one * (weight if number in of_source else 1.0), rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("of_source", list(Kind))
@pytest.mark.parametrize("of_target", [Kind.BINARY, Kind.SEQUENCE, Kind.REGRESSION])
def test_tasks_of_any_two_kinds_are_learned_together(tiny_encoder, of_target, of_source, tmp_path):
    task = task_of(of_target)
    trained = fine_tune(task, tiny_encoder, TOGETHER, seed=0, device=CPU, companion=task_of(of_source))
    assert all(np.isfinite(epoch.loss) for epoch in trained.curve)
    assert trained.score(task, "validation", 16) == max(epoch.score for epoch in trained.curve)  # the target's picks the epoch
    save_trained(trained, tmp_path / "model")
    words = of_target is Kind.SEQUENCE
    texts = task.splits["test"].texts
    back = read(load_model(tmp_path / "model", of_target), trained.tokenizer, texts, 16, split=words)
    np.testing.assert_array_equal(back.outputs, read(trained.model, trained.tokenizer, texts, 16, split=words).outputs)
    alone = new_model(tiny_encoder, task)
    assert {name: value.shape for name, value in trained.model.state_dict().items()} == {
        name: value.shape for name, value in alone.state_dict().items()
    }  # the source's head is gone


def test_nothing_but_the_training_rows_of_the_source_is_read(tiny_encoder, target, source):
    bare = replace(source, splits={"train": source.splits["train"]})
    weights = [
        fine_tune(target, tiny_encoder, TOGETHER, seed=0, device=CPU, companion=one).model.state_dict()
        for one in (source, bare)
    ]
    assert all(torch.equal(value, weights[1][name]) for name, value in weights[0].items())


def test_compact_embeddings_hold_the_tokens_of_the_source_too(tiny_encoder, target, source):
    small, whole = (
        fine_tune(
            target, tiny_encoder, TOGETHER, seed=0, device=CPU, companion=source, compact=compact, precision="float32"
        ).model.state_dict()
        for compact in (True, False)
    )
    for name, value in whole.items():
        torch.testing.assert_close(small[name], value, rtol=1e-4, atol=1e-6)


def test_it_needs_a_second_task_and_only_it_takes_one(tiny_encoder, target, source):
    with pytest.raises(InputError, match="multitask trains a target together with a source's task"):
        fine_tune(target, tiny_encoder, TOGETHER, seed=0, device=CPU)
    with pytest.raises(InputError, match="multitask"):
        fine_tune(target, tiny_encoder, TOGETHER.alone, seed=0, device=CPU, companion=source)
