"""What fails in a search fails alone, is reported with its cause, and is tried again by the next start."""

from __future__ import annotations

import math
import re

import optuna
import pytest
import sqlalchemy as sa
from safetensors import SafetensorError

from tests.execution.conftest import FAST, planned
from transfercast.core.errors import InputError, TransfercastError
from transfercast.core.records import ALONE
from transfercast.core.trainings import EpochRecord
from transfercast.execution import worker
from transfercast.execution.search import search
from transfercast.execution.study import TrialRecord
from transfercast.history.store import History
from transfercast.sources.pool import SourcePool

TRAINED = worker.fine_tune
FULL = OSError(28, "No space left on device")


def failing(monkeypatch, error, source=None, target=None):
    """Let the trainings from a source (by default from the base encoder) to a target fail."""

    def broken(task, checkpoint, *args, **options):
        from_base = checkpoint.parent.name != "sources"
        if (checkpoint.name == source or (source is None and from_base)) and target in (None, task.name):
            raise error
        return TRAINED(task, checkpoint, *args, **options)

    monkeypatch.setattr(worker, "fine_tune", broken)
    monkeypatch.setattr(SourcePool, "found_alone", lambda *arguments: None)


def repaired(monkeypatch):
    monkeypatch.setattr(worker, "fine_tune", TRAINED)


@pytest.mark.parametrize(
    ("error", "cause"),
    [
        (RuntimeError("CUDA out of memory"), "RuntimeError: CUDA out of memory"),
        (MemoryError(), "MemoryError: MemoryError"),
        (FULL, "OSError: No space left on device"),
        (SafetensorError("Error while serializing: I/O error"), "SafetensorError: Error while serializing: I/O error"),
        (sa.exc.OperationalError("INSERT", {}, OSError("disk is full")), "OperationalError: (builtins.OSError) disk is full"),
    ],
)
def test_a_step_that_fails_is_reported_with_its_cause_the_rest_goes_on_and_a_rerun_retries_it(
    table, storage, monkeypatch, caplog, error, cause
):
    made = planned(table, 3)
    victim = made.steps[-1]
    failing(monkeypatch, error, victim.source, victim.target)
    result = search(made, storage)
    assert [(failure.position, failure.what, failure.cause) for failure in result.failures] == [
        (victim.position, f"{victim.source} -> {victim.target}", cause)
    ]
    assert cause in caplog.text
    assert len(result.observations) == len(made.steps) - 1
    assert not math.isnan(result.bests[victim.target].score)
    failed = [one for one in History(storage).trainings() if one.ended != "finished"]
    assert {(one.source, one.target, one.ended, one.why) for one in failed} == {(victim.source, victim.target, "failed", cause)}
    assert len(failed) == (2 if "memory" in cause.lower() else 1)  # for want of memory it is tried once more
    repaired(monkeypatch)
    again = search(made, storage)
    assert again.failures == ()
    assert len(again.observations) == len(made.steps)


def test_one_target_s_failed_baseline_fails_that_target_only(table, storage, monkeypatch):
    made = planned(table, 6)
    failing(monkeypatch, RuntimeError("out of memory"), target="good")
    result = search(made, storage)
    baseline = next(step for step in made.steps if step.source == ALONE and step.target == "good")
    assert [failure.position for failure in result.failures] == [baseline.position]
    assert set(result.baselines) == set(result.baseline_tests) == {"help", "storm"}
    tests = {one.target for one in History(storage).observations() if one.split == "test"}
    assert tests == {"good", "help", "storm"}  # transfers to 'good' were trained, so its best one is tested too
    assert all(not math.isnan(best.score) for best in result.bests.values())
    gains = [t.gain for t in result.trainings if t.step.source != ALONE and t.step.target != "good"]
    assert result.transfer_gains == tuple(gains)
    assert result.gain_over_baseline == pytest.approx(
        sum(
            max(t.gain for t in result.trainings if t.step.target == target and t.step.source != ALONE)
            for target in ("help", "storm")
        )
        / 2
    )
    assert result.best.pair.target in ("help", "storm")
    assert any("good" in note and "not trained alone" in note for note in result.notes())
    failure = result.failures[0]
    study = optuna.load_study(study_name=f"transfercast-{made.id[:12]}-good", storage=storage)
    assert {t.user_attrs.get("error") for t in study.trials if t.state.name == "FAIL"} == {failure.cause}


def test_a_baseline_retried_later_gives_gains_and_is_tested(table, storage, monkeypatch):
    made = planned(table, 6)
    failing(monkeypatch, RuntimeError("out of memory"), target="good")
    before = search(made, storage)
    repaired(monkeypatch)
    after = search(made, storage)
    assert after.failures == ()
    assert set(after.baselines) == set(after.baseline_tests) == {"good", "help", "storm"}
    assert before.baselines.items() <= after.baselines.items()
    assert not math.isnan(after.bests["good"].score)


def test_a_search_in_which_everything_fails_reports_all_of_it(table, storage, monkeypatch):
    def broken(*args, **options):
        raise FULL

    monkeypatch.setattr(worker, "fine_tune", broken)
    monkeypatch.setattr(SourcePool, "found_alone", lambda *arguments: None)
    made = planned(table, 1)
    result = search(made, storage)
    assert [failure.position for failure in result.failures] == list(range(len(made.steps) + len(made.targets)))
    assert "no training of this target succeeded" in result.failures[-1].cause
    assert result.bests == result.baselines == {}
    assert math.isnan(result.gain_over_baseline)
    with pytest.raises(TransfercastError, match="no training of this search succeeded"):
        _ = result.best
    assert "0 targets" in repr(result)


def test_a_cause_is_known_to_other_processes_too(table, storage, monkeypatch):
    made = planned(table, 1)
    victim = made.steps[-1]
    failing(monkeypatch, RuntimeError("out of memory"), victim.source, victim.target)
    search(made, storage)
    monkeypatch.setattr("transfercast.execution.search._run_all", lambda *arguments: None)
    monkeypatch.setattr("transfercast.execution.claims.enter", lambda *arguments: None)  # as one that only looks
    assert [failure.cause for failure in search(made, storage).failures] == ["RuntimeError: out of memory"]


def test_a_database_that_fails_ends_the_search_in_one_sentence_and_a_rerun_goes_on(table, storage, monkeypatch):
    made = planned(table, 2)
    appended = History.append

    def full(self, observations):
        if len(self) >= 3:
            raise sa.exc.OperationalError("INSERT", {}, OSError("database or disk is full"))
        return appended(self, observations)

    def cannot_write(*arguments, **values):
        raise sa.exc.OperationalError("UPDATE", {}, OSError("database or disk is full"))

    with monkeypatch.context() as patched:
        patched.setattr(History, "append", full)
        patched.setattr("transfercast.execution.study.TrialRecord.fail", cannot_write)
        with pytest.raises(
            TransfercastError, match=r"disk is full.*Finished trainings are kept.*start the search again"
        ) as caught:
            search(made, storage)
        assert "\n" not in str(caught.value)
    kept = History(storage).observations()
    assert len(kept) == 3
    result = search(made, storage)
    assert result.failures == ()
    assert len(result.observations) == len(made.steps)
    assert result.observations[:3] == tuple(kept)


def test_trials_of_dead_workers_and_closed_steps_are_not_left_running(table, storage):
    made = planned(table, 3)
    search(made, storage)
    name = f"transfercast-{made.id[:12]}-{made.targets[0]}"
    study = optuna.load_study(study_name=name, storage=storage)
    closed = study.ask()
    closed.set_user_attr("position", 0)  # its worker died between the observation and the end of the trial
    foreign = study.ask()  # somebody else's: no search begins a trial without its position
    search(made, storage)
    state = {trial.number: trial.state.name for trial in study.trials}
    assert state[closed.number] == "FAIL"
    assert state[foreign.number] == "RUNNING"
    assert sum(value == "COMPLETE" for value in state.values()) == sum(s.target == made.targets[0] for s in made.steps)


def test_a_trial_is_written_whole_so_that_a_kill_leaves_none_that_nobody_knows(table, storage, monkeypatch):
    def killed(*arguments):
        raise KeyboardInterrupt

    made = planned(table, 1)
    record = TrialRecord(made, storage)
    study = record.study(made.steps[0])
    with monkeypatch.context() as patched:
        patched.setattr(optuna.Trial, "__init__", killed)  # the first thing that happens once a trial is written
        with pytest.raises(KeyboardInterrupt):
            record.begin(made.steps[0])
    (trial,) = study.get_trials(deepcopy=False)
    assert (trial.state.name, trial.user_attrs["position"]) == ("RUNNING", made.steps[0].position)
    assert trial.params == {"source": made.steps[0].source, "recipe": made.steps[0].recipe}
    record.close_orphans(set)
    assert [trial.state.name for trial in study.trials] == ["FAIL"]


def test_a_kill_while_optunas_tables_are_made_leaves_none_of_them(table, storage):
    def killed(connection, cursor, statement, *rest):
        if "CREATE TABLE studies" in statement:
            raise KeyboardInterrupt

    made = planned(table, 1)
    sa.event.listen(sa.Engine, "after_cursor_execute", killed)
    try:
        with pytest.raises(KeyboardInterrupt):
            TrialRecord(made, storage)
    finally:
        sa.event.remove(sa.Engine, "after_cursor_execute", killed)
    assert sa.inspect(sa.create_engine(storage)).get_table_names() == []


def test_a_database_that_lacks_the_index_of_studies_since_an_earlier_kill_has_one_study_of_a_name(table, storage):
    made = planned(table, 1)
    TrialRecord(made, storage)
    with sa.create_engine(storage).begin() as connection:
        connection.exec_driver_sql("DROP INDEX ix_studies_study_name")
    for _ in range(2):
        TrialRecord(made, storage)
    names = [study.study_name for study in optuna.get_all_study_summaries(storage)]
    assert len(names) == len(set(names)) == len(made.targets)


def test_a_trial_that_another_worker_begins_while_orphans_are_looked_for_is_left_running(table, storage):
    made = planned(table, 1)
    record = TrialRecord(made, storage)
    begun = []

    def at_work():
        begun.append(record.begin(made.steps[0]))  # another worker, after the steps were looked at
        return set()

    record.close_orphans(at_work)
    assert begun[0].study.trials[begun[0].number].state.name == "RUNNING"
    record.close_orphans(set)
    assert begun[0].study.trials[begun[0].number].state.name == "FAIL"


def test_a_worker_that_was_taken_for_dead_ends_without_an_error(table, storage):
    made = planned(table, 1)
    record = TrialRecord(made, storage)
    trial = record.begin(made.steps[0])
    record.begin(made.steps[0])  # the next owner of the step
    record.complete(trial, 0.5, 0.1)
    assert [each.state.name for each in trial.study.trials] == ["FAIL", "RUNNING"]


def test_what_a_killed_search_left_half_written_is_removed_by_the_next(table, tmp_path, storage):
    for owner, name in (("0" * 16 + ":1:0.00", "elsewhere"), (dead_owner(), "ours")):
        left = tmp_path / "pool" / "searches" / "other" / name / ".run.0123abcd"
        left.mkdir(parents=True)
        (left / ".transfercast").write_text(owner + "\n")
        (left / "model.safetensors").write_text("half")
    mine = tmp_path / "pool" / "searches" / "notes"
    mine.mkdir()
    (mine / "read.me").write_text("not ours")
    search(planned(table, 1), storage)
    assert not (tmp_path / "pool/searches/other/ours/.run.0123abcd").exists()
    assert (tmp_path / "pool/searches/other/elsewhere/.run.0123abcd").exists()  # that machine's process may be alive
    assert (mine / "read.me").exists()


def dead_owner():
    from transfercast.core.owners import machine_id

    return f"{machine_id()}:{2**22 + 1}:0.00"


def changed(plan, **changes):
    return plan.model_copy(update=changes)


@pytest.mark.parametrize("name", ["../../victim", "/tmp/victim", "a/b", "*", ""])
@pytest.mark.parametrize("field", ["target", "source"])
def test_a_name_in_a_changed_plan_that_would_be_a_path_is_refused_before_any_folder_is_made(
    table, tmp_path, storage, name, field
):
    made = planned(table, 1)
    steps = tuple(step.model_copy(update={field: name}) for step in made.steps)
    facts = made.provenance.model_copy(
        update={
            "targets": made.provenance.targets | {name: next(iter(made.provenance.targets.values()))},
            "sources": made.provenance.sources | {name: "x"},
        }
    )
    with pytest.raises(InputError, match=f"step 0 of the plan: {field} name {re.escape(repr(name))}"):
        search(changed(made, steps=steps, provenance=facts), storage)
    assert not (tmp_path / "pool" / "searches").exists()
    assert not (tmp_path / "history.db").exists()


def test_plans_that_are_not_whole_are_refused_in_one_sentence(table, tmp_path, storage):
    made = planned(table, 1)
    about = made.provenance
    first = made.steps[0]
    other = about.targets[first.target].model_copy(update={"metric": "accuracy"})
    for wrong, message in (
        (changed(made, steps=()), "the plan has no steps"),
        (changed(made, id="../../../x"), "plan name '../../../x'"),
        (changed(made, steps=(first, first)), "not numbered 0, 1, 2"),
        (changed(made, provenance=about.model_copy(update={"targets": {}})), "the plan does not say how to read it"),
        (changed(made, provenance=about.model_copy(update={"pool": None})), "names no pool"),
        (changed(made, provenance=about.model_copy(update={"targets": {**about.targets, first.target: other}})), "metric"),
        (changed(made, steps=(first.model_copy(update={"recipe": "fast"}),)), "recipe 'fast'"),
    ):
        with pytest.raises(InputError, match=re.escape(message)):
            search(wrong, storage)
    assert not (tmp_path / "history.db").exists()


def test_a_plan_without_a_baseline_gives_its_best_without_gains(table, storage):
    made = planned(table, 1)
    transfer = next(step for step in made.steps if step.source != ALONE)
    result = search(changed(made, steps=(transfer.model_copy(update={"position": 0}),)), storage)
    assert result.failures == ()
    assert result.best.pair == transfer.pair
    assert result.baselines == {}
    assert math.isnan(result.mean_transfer_gain)
    assert result.headline() == "No transfer can be compared with its target trained alone."
    assert FAST.key == result.best.recipe


def test_what_wants_memory_is_trained_once_more_with_each_batch_in_halves(table, storage, monkeypatch, caplog):
    made = planned(table, 3)
    expected = {(o.source, o.target): o.score for o in search(made, f"{storage}.whole").observations}
    asked = []

    def short_of_memory(*args, parts, **options):
        asked.append(parts)
        if parts == 1:
            raise RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return TRAINED(*args, parts=parts, **options)

    monkeypatch.setattr(worker, "fine_tune", short_of_memory)
    result = search(made, storage)
    assert asked == [1, 2] * 3  # the targets alone are those that were measured
    assert not result.failures
    assert {(o.source, o.target) for o in result.observations} == set(expected)
    ended = [one.ended for one in History(storage).trainings() if one.source != ALONE]
    assert ended == ["failed", "finished"] * 3
    assert "each batch in two halves" in caplog.text


def test_an_epoch_without_a_loss_fails_a_training(table, storage, monkeypatch):
    monkeypatch.setattr(worker, "fine_tune", lambda *args, after_epoch, **options: after_epoch(0, EpochRecord(0.5, None, 0.1)))
    result = search(planned(table, 2), storage)
    assert [failure.cause.split(":")[0] for failure in result.failures] == ["Diverged"] * 2
    failed = [one for one in History(storage).trainings() if one.ended == "failed"]
    assert [(one.cause, len(one.curve)) for one in failed] == [("divergence", 1)] * 2


def test_a_training_that_takes_too_long_fails_unless_it_was_its_last_epoch(table, storage):
    made = planned(table, 2)
    result = search(made, storage, trial_minutes=1e-9)
    assert {failure.cause.split(" took")[0] for failure in result.failures} == {"TimeLimit: 1 of 2 epochs"}
    assert {one.source for one in result.observations} == {ALONE}  # measured for the features
    one_epoch = planned(table, 2, [FAST.model_copy(update={"epochs": 1})])
    assert not search(one_epoch, storage, trial_minutes=1e-9).failures
