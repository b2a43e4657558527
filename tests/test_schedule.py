"""The schedule of a run, and the order in which the examples of an epoch come."""

import pytest

from rnn_tasks.errors import UserError
from rnn_tasks.tasks.schedule import ReplicateBatchSampler, TrainSchedule


def batches(epoch, sampler, chunks_done=0):
    """Every batch of an epoch: for each replicate the numbers of its examples."""
    sampler.set_epoch(epoch)
    sampler.schedule.chunks_done = chunks_done
    return [batch for chunk in sampler for batch in chunk.tolist()]


def sampler(seeds=range(1), chunk=1, **schedule):
    return ReplicateBatchSampler(TrainSchedule(10, 4, chunk, **schedule), seeds)


def test_an_epoch_has_every_example_once_in_an_order_of_its_seed_and_epoch():
    first = [batch for (batch,) in batches(0, sampler())]
    assert sorted(sum(first, [])) == list(range(10)) and [len(batch) for batch in first] == [4, 4, 2]
    assert len(sampler()) == 3
    assert batches(0, sampler()) != batches(1, sampler())
    assert batches(0, sampler()) != batches(0, sampler(seeds=range(1, 2)))


def test_a_resumed_epoch_skips_the_chunks_that_are_done_once():
    resumed = sampler()
    assert batches(1, resumed, chunks_done=2) == batches(1, sampler())[2:]
    assert batches(2, resumed) == batches(2, sampler())


def test_replicates_have_the_orders_of_their_seeds_whatever_the_chunk():
    alone = [batches(2, sampler(seeds=range(seed, seed + 1))) for seed in (5, 6, 7)]
    for chunk in (1, 2, 100):
        together = batches(2, sampler(seeds=range(5, 8), chunk=chunk))
        assert [[batch[replicate] for batch in together] for replicate in range(3)] == [
            [batch for (batch,) in batches] for batches in alone
        ]


@pytest.mark.parametrize("chunk", [1, 3, 7, 50])
@pytest.mark.parametrize(
    "limits",
    [
        {},
        {"limit_train_batches": 11},
        {"limit_train_batches": 0.5},
        {"val_check_interval": 0.3},
        {"val_check_interval": 5},
        {"max_steps": 33},
        {"max_steps": 7},
        {"accumulate_grad_batches": 3, "max_steps": 9},
        {"limit_train_batches": 13, "val_check_interval": 4, "accumulate_grad_batches": 2, "max_steps": 8},
    ],
)
def test_chunks_end_wherever_something_has_to_happen(chunk, limits):
    schedule = TrainSchedule(82, 4, chunk, max_epochs=3, **limits)  # 21 batches, the last one smaller
    steps = 0
    for epoch in range(schedule.epochs):
        last = min(schedule.batches, (schedule.total_steps - steps) * schedule.accumulate)
        chunks = schedule.chunks(epoch)
        ends = [end for _, end in chunks]
        assert [start for start, _ in chunks] == [0, *ends[:-1]] and ends[-1] == last
        assert all(end - start <= chunk for start, end in chunks)
        assert {batch for batch in range(1, last + 1) if schedule.validates_after(batch)} <= set(ends)
        if last == 21:
            assert (20, 21) in chunks
        steps += sum(schedule.steps_after(batch) for batch in range(1, last + 1))
    assert steps == schedule.total_steps == min(3 * schedule.steps, limits.get("max_steps", 1000))


@pytest.mark.parametrize(
    ("limits", "batches", "steps", "validations", "epochs", "total_steps"),
    [
        ({"max_epochs": 4}, 21, 21, 1, 4, 84),
        ({"val_check_interval": 0.25, "max_epochs": 1}, 21, 21, 4, 1, 21),
        ({"val_check_interval": 7, "max_epochs": 1}, 21, 21, 3, 1, 21),
        ({"limit_train_batches": 0.5, "max_epochs": 1}, 10, 10, 1, 1, 10),
        ({"accumulate_grad_batches": 4, "max_epochs": 1}, 21, 6, 1, 1, 6),
        ({"max_steps": 43}, 21, 21, 1, 3, 43),
        ({}, 21, 21, 1, -1, None),
    ],
)
def test_counts_of_a_schedule(limits, batches, steps, validations, epochs, total_steps):
    schedule = TrainSchedule(82, 4, **limits)
    assert (schedule.batches, schedule.steps, schedule.epochs) == (batches, steps, epochs)
    assert schedule.total_steps == total_steps
    assert sum(map(schedule.validates_after, range(1, batches + 1))) == validations
    assert sum(map(schedule.steps_after, range(1, batches + 1))) == steps


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        ({"limit_train_batches": 0.01}, "leaves nothing of the 3 batches"),
        ({"val_check_interval": 4}, "must be at most 3, the batches of an epoch"),
    ],
)
def test_a_schedule_that_cannot_be(limits, message):
    with pytest.raises(UserError, match=message):
        TrainSchedule(10, 4, **limits)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"limit_train_batches": 1.5}, "limit_train_batches=1.5: must be a number of batches, or a share like 0.5"),
        ({"limit_train_batches": -3}, "limit_train_batches=-3: must be a number of batches, or a share like 0.5"),
        ({"val_check_interval": 0}, "val_check_interval=0: must be a number of batches, or a share like 0.5"),
        ({"accumulate_grad_batches": 0}, "accumulate_grad_batches=0: must be at least 1"),
        ({"max_epochs": -5}, "max_epochs=-5: must be at least -1"),
        ({"max_steps": 1.5}, "max_steps=1.5: must be a whole number"),
    ],
)
def test_values_of_a_schedule_that_make_no_sense(values, message):
    with pytest.raises(ValueError) as refused:
        TrainSchedule(10, 4, **values)
    assert str(refused.value) == message
