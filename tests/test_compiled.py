"""Whole optimizer steps as compiled code, against PyTorch's autograd and optimizers."""

import copy
import math
from functools import partial

import pytest
import torch
from torch import nn

from rnn_tasks.models import CELLS, kernel
from rnn_tasks.models.recurrence import layer
from rnn_tasks.tasks.answers import AnswerFormat, answers
from rnn_tasks.tasks.base import Batch
from rnn_tasks.training import compiled
from rnn_tasks.training.compiled import Networks, can_train, loss_is_known, optimizer_is_plain
from rnn_tasks.training.losses import bce, ce, mse, squared
from rnn_tasks.training.metrics import Tally
from rnn_tasks.training.optimization import clipped
from rnn_tasks.training.scoring import asked_mask, mean_weights, score

pytestmark = pytest.mark.skipif(kernel.library() is None, reason="no C++ compiler")
STEPS, BATCH, LONGEST, FEATURES = 4, 3, 5, 2
adam, sgd = partial(torch.optim.Adam, fused=True), partial(torch.optim.SGD, fused=True)
adamw = partial(torch.optim.AdamW, fused=True, weight_decay=0.1)
smooth = partial(ce, label_smoothing=0.1)
WITH_PARTS = [("bits", bce, 3), ("bits", mse, 2), ("numbers", squared, 3)]


def networks(cell="lstm", replicates=3, hidden=4, outputs=1, make=adam, kind=torch.double, seed=0, **changes):
    stream, rows = torch.Generator().manual_seed(seed), CELLS[cell].gates * hidden
    shapes = (rows, FEATURES), (rows, hidden), (rows,), (rows,), (outputs, hidden), (outputs,)
    draws = [torch.randn(replicates, *shape, generator=stream, dtype=torch.double) for shape in shapes]
    parameters = [nn.Parameter(draw.to(kind)) for draw in draws]
    values = {"loss": ce if outputs > 1 else bce, "clip": 0.0, "clip_by": "norm", "rates": [0.02, 0.01, 0.04, 0.03]}
    values |= {"frozen": torch.zeros(replicates, dtype=torch.bool)}
    values |= {"tally": torch.zeros(replicates, LONGEST + 1, 5, dtype=torch.double)}
    return Networks(parameters, make(parameters, lr=0.5), **(values | changes))


def chunk(replicates=3, outputs=1, last=False, kind=torch.double, padded=True, seed=0, whole=True):
    stream, shape = torch.Generator().manual_seed(seed), (STEPS, replicates, BATCH)
    inputs = torch.randn(*shape, LONGEST, FEATURES, generator=stream, dtype=torch.double).to(kind)
    lengths = torch.randint(1, LONGEST + 1, shape, generator=stream) if padded else torch.full(shape, LONGEST)
    targets = torch.randint(max(outputs, 2), shape if last else (*shape, LONGEST), generator=stream)
    return Batch(inputs, lengths, targets if whole else targets.to(kind))


def form_of(chunk, nets, kind=None):
    size = nets.parameters[5].shape[1]
    kind = kind or ("bits" if size == 1 else "classes")
    has_parts = size > 1 and kind != "classes"
    return AnswerFormat(kind, size, chunk.targets.dim() - has_parts > 3, 0.3)


def take_steps(cell, chunk, members, kind=None):
    return compiled.take_steps(cell, chunk, members, form_of(chunk, members[0], kind))


def part(chunk, first, number):
    return chunk.each(lambda tensor: tensor[:, first : first + number])


def copied(nets):
    return copy.deepcopy(nets)  # parameters that the optimizer shares stay shared


def torch_steps(cell, chunk, nets, kind=None):
    """What take_steps does, by autograd; no network may fail."""
    form, tally, (optimizer, limit) = (
        form_of(chunk, nets, kind),
        Tally(*nets.tally.shape[:2]),
        (nets.optimizer, nets.clip),
    )
    last = not form.every_step
    tally.sums = nets.tally
    weights, seen = mean_weights(chunk, asked_mask(chunk, form.has_parts), form.has_parts), []
    kept = [parameter.detach().clone() for parameter in nets.parameters]
    for batch, weight, rate in zip(map(chunk.at, range(STEPS)), weights, nets.rates, strict=True):
        optimizer.param_groups[0]["lr"] = rate
        lengths = batch.lengths if last else None
        logits = layer(CELLS[cell], batch.inputs, nets.parameters[:4], nets.parameters[4:], lengths, "stacked")
        losses = nets.loss(logits, batch.targets)
        losses.backward(weight)
        gradients = [parameter.grad for parameter in nets.parameters]
        norms = torch.cat([gradient.flatten(1) for gradient in gradients], 1).norm(dim=1)
        if limit:
            for parameter, gradient in zip(
                nets.parameters, clipped(gradients, norms, limit, nets.clip_by), strict=True
            ):
                parameter.grad = gradient
        optimizer.step()
        optimizer.zero_grad()
        with torch.no_grad():
            for parameter, former in zip(nets.parameters, kept, strict=True):
                parameter[nets.frozen] = former[nets.frozen]
        tally.update(*score(logits.detach(), batch, nets.loss, form))
        seen.append(((losses.detach() * weight).flatten(1).sum(1), norms))
    optimizer.param_groups[0]["lr"] = 0.5
    losses, norms = (torch.stack(each) for each in zip(*seen, strict=True))
    return compiled.Steps(losses, norms, torch.full((len(nets.frozen),), -1))


def everything(nets, moments=True):
    state = nets.optimizer.state_dict() if moments else None
    return {"parameters": [each.detach() for each in nets.parameters], "optimizer": state, "tally": nets.tally}


def assert_agree(cell, chunk, members, calls=2, kind=None):
    """All that a call changes and gives is what PyTorch makes of each member."""
    references = [copied(nets) for nets in members]
    for _ in range(calls):
        results, first = take_steps(cell, chunk, members, kind), 0
        for nets, reference, steps in zip(members, references, results, strict=True):
            own = part(chunk, first, len(nets.frozen))
            torch.testing.assert_close(steps, torch_steps(cell, own, reference, kind), rtol=1e-8, atol=1e-10)
            torch.testing.assert_close(everything(nets), everything(reference), rtol=1e-8, atol=1e-10)
            first += len(nets.frozen)


def test_a_network_beside_a_larger_one_needs_no_epsilon():
    exact = partial(adam, eps=0.0)
    members = [networks(hidden=2, make=exact), networks(hidden=6, make=exact)]
    assert_agree("lstm", chunk(6), members)


@pytest.mark.parametrize("padded", [False, True])
@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize("cell", kernel.COMPILED)
def test_every_cell_and_readout(cell, last, padded):
    assert_agree(cell, chunk(last=last, padded=padded), [networks(cell)])


@pytest.mark.parametrize("whole", [False, True])
@pytest.mark.parametrize("loss", [bce, mse])
def test_losses_of_bits(loss, whole):
    assert_agree("gru", chunk(whole=whole), [networks("gru", loss=loss)])


@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize("loss", [ce, mse, smooth])
def test_losses_of_classes(loss, last):
    assert_agree("lstm", chunk(outputs=3, last=last), [networks(outputs=3, loss=loss)])


@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize(("kind", "loss", "outputs"), [*WITH_PARTS, ("numbers", squared, 1)])
def test_answers_that_are_sets_of_bits_or_numbers(kind, loss, outputs, last):
    many, stream = chunk(last=last, whole=False), torch.Generator().manual_seed(1)
    shape = (*many.targets.shape, *[outputs] * (outputs > 1))
    targets = torch.randint(2, shape, generator=stream) if kind == "bits" else torch.randn(shape, generator=stream)
    assert_agree(
        "gru", many._replace(targets=targets.double()), [networks("gru", outputs=outputs, loss=loss)], kind=kind
    )


@pytest.mark.parametrize(("kind", "loss", "outputs"), [(None, bce, 1), (None, ce, 3), *WITH_PARTS[:1]])
def test_answers_at_some_steps(kind, loss, outputs):
    many, stream = chunk(19, outputs, whole=outputs == 3), torch.Generator().manual_seed(1)
    asked = torch.rand(many.targets.shape, generator=stream) < 0.4
    asked[..., 0] = True
    if kind:
        many = many._replace(targets=torch.randint(2, (*many.targets.shape, outputs), generator=stream).double())
    assert_agree("lstm", many._replace(asked=asked), [networks(replicates=19, outputs=outputs, loss=loss)], kind=kind)


OPTIMIZERS = {
    "adam": adam,
    "adam without fusion": torch.optim.Adam,
    "adam with weight decay": partial(adam, weight_decay=0.1, betas=(0.3, 0.9), eps=1e-3),
    "adam decoupled": partial(adam, weight_decay=0.1, decoupled_weight_decay=True),
    "adamw": adamw,
    "sgd": sgd,
    "sgd with momentum": partial(sgd, momentum=0.9),
    "sgd with weight decay": partial(sgd, momentum=0.5, weight_decay=0.1),
    "sgd without fusion": partial(torch.optim.SGD, momentum=0.9),
}


@pytest.mark.parametrize("clip_by", ["norm", "value"])
@pytest.mark.parametrize("clip", [0.0, 0.05])
@pytest.mark.parametrize("make", OPTIMIZERS.values(), ids=OPTIMIZERS)
def test_optimizers_and_clipping(make, clip, clip_by):
    assert_agree("lstm", chunk(), [networks(make=make, clip=clip, clip_by=clip_by)])


def test_members_that_differ_in_everything():
    makes = list(OPTIMIZERS.values())
    for outputs, losses in ((1, (bce, mse)), (4, (ce, mse, smooth))):
        members = [
            networks(
                "lstm", 2 + i % 3, 2 + i % 4, outputs, make, seed=i, loss=losses[i % len(losses)], clip=0.02 * (i % 3),
                clip_by=("norm", "value")[i % 2], rates=[0.01 * (i + 1)] * STEPS,
            )
            for i, make in enumerate(makes)
        ]  # fmt: skip
        assert_agree("lstm", chunk(sum(len(each.frozen) for each in members), outputs), members)


def same_bits(first, second):
    torch.testing.assert_close(first, second, rtol=0, atol=0, equal_nan=True)


@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize("kind", [torch.float, torch.double])
@pytest.mark.parametrize("cell", kernel.COMPILED)
def test_the_bits_of_a_network_depend_on_no_other(cell, kind, last):
    """Each alone, and among 40 with other sizes, optimizers, losses, limits and one that fails."""
    many = chunk(40, last=last, kind=kind)
    sizes = {"before": 17, "own": 1, "after": 22}
    words = {"before": {"hidden": 7, "make": sgd, "loss": mse}, "after": {"hidden": 5, "make": adamw, "clip": 0.1}}
    members = [networks(cell, size, kind=kind, **words.get(name, {})) for name, size in sizes.items()]
    with torch.no_grad():
        members[0].parameters[1][16] = torch.nan
    for i, (first, nets) in enumerate(zip((0, 17, 18), members, strict=True)):
        for r in {0, len(nets.frozen) - 1}:
            alone = networks(cell, 1, kind=kind, **words.get(list(sizes)[i], {}))
            with torch.no_grad():
                for parameter, of_all in zip(alone.parameters, nets.parameters, strict=True):
                    parameter.copy_(of_all[r : r + 1])
            together = copied(members)
            for _ in range(2):
                (steps,) = take_steps(cell, part(many, first + r, 1), [alone])
                steps_together = take_steps(cell, many, together)[i]
            same_bits([steps[0], steps[1]], [each[:, r : r + 1] for each in steps_together[:2]])
            same_bits(alone.tally, together[i].tally[r : r + 1])
            for parameter, of_all in zip(alone.parameters, together[i].parameters, strict=True):
                same_bits(parameter.detach(), of_all.detach()[r : r + 1])
                for name, state in alone.optimizer.state[parameter].items():
                    if state.dim():
                        same_bits(state, together[i].optimizer.state[of_all][name][r : r + 1])


def test_a_network_that_fails_stays_as_it_was_and_disturbs_no_other():
    nets, many = networks(make=adamw), chunk()
    many.inputs[2, 1, 0, 0, 0] = torch.nan
    before = copied(nets)
    take_steps("lstm", many.each(lambda tensor: tensor[:2]), [before._replace(rates=before.rates[:2])])
    reference, healthy = copied(nets), Batch(many.inputs.nan_to_num(), *many[1:])
    expected = torch_steps("lstm", healthy, reference)
    (steps,) = take_steps("lstm", many, [nets])
    assert steps.failed.tolist() == [-1, 2, -1]
    assert steps.losses.isfinite().tolist() == [[True] * 3] * 2 + [[True, False, True], [True] * 3]
    others = [0, 2]
    torch.testing.assert_close(steps.losses[:, others], expected.losses[:, others])
    torch.testing.assert_close(nets.tally[others], reference.tally[others])
    for own, after, former in zip(nets.parameters, reference.parameters, before.parameters, strict=True):
        torch.testing.assert_close(own.detach()[others], after.detach()[others])
        same_bits(own.detach()[1], former.detach()[1])
        for name in ("exp_avg", "exp_avg_sq"):
            states = [each.optimizer.state[key][name][1] for each, key in ((nets, own), (before, former))]
            same_bits(*states)
    assert nets.tally[1, :, 2].isnan().any() and nets.tally[1, :, 0].sum() == STEPS * BATCH


def test_frozen_networks_keep_everything_but_are_counted():
    nets, many = networks(frozen=torch.tensor([True, False, True])), chunk()
    many.inputs[1, 2, 0, 0, 0] = torch.nan
    before, reference = copied(nets), copied(nets)
    expected = torch_steps("lstm", many, reference)
    (steps,) = take_steps("lstm", many, [nets])
    assert steps.failed.tolist() == [-1] * 3
    torch.testing.assert_close(steps.losses, expected.losses, equal_nan=True)
    torch.testing.assert_close(nets.tally, reference.tally, equal_nan=True)
    for own, after, former in zip(nets.parameters, reference.parameters, before.parameters, strict=True):
        torch.testing.assert_close(own.detach(), after.detach())
        same_bits(own.detach()[nets.frozen], former.detach()[nets.frozen])
        assert not nets.optimizer.state[own]["exp_avg"][nets.frozen].any()


@pytest.mark.parametrize("make", OPTIMIZERS.values(), ids=OPTIMIZERS)
def test_torch_and_the_kernel_continue_from_each_others_states(make):
    references, both = networks(make=make), chunk()
    for _ in range(3):
        torch_steps("lstm", both, references)
    for turns in ((torch_steps, take_steps, torch_steps), (take_steps, torch_steps, take_steps)):
        nets = networks(make=make)
        for turn in turns:
            turn("lstm", both, nets if turn is torch_steps else [nets])
            stored = copy.deepcopy(nets.optimizer.state_dict())
            nets.optimizer.load_state_dict(stored)
        torch.testing.assert_close(everything(nets), everything(references), rtol=1e-8, atol=1e-10)


def test_threads_change_no_bit():
    many, results = chunk(70, kind=torch.float), []
    for threads in (1, 2):
        nets, usual = networks(replicates=70, kind=torch.float), torch.get_num_threads()
        torch.set_num_threads(threads)
        (steps,) = take_steps("lstm", many, [nets])
        torch.set_num_threads(usual)
        results.append((*steps, everything(nets)))
    same_bits(*results)


def biased(biases, outputs=1):
    """Networks that answer with these biases [R, C], and learn nothing."""
    nets = networks("rnn", len(biases), 1, outputs, sgd, biases.dtype, rates=[0.0])
    with torch.no_grad():
        for parameter in nets.parameters:
            parameter.zero_()
        nets.parameters[5].copy_(biases)
    return nets


def single(targets, kind=torch.double):
    """A batch of a single answer of each network: [R]."""
    shape = (1, len(targets), 1, 1)
    return Batch(
        torch.zeros(*shape, FEATURES, dtype=kind), torch.ones(shape[:3], dtype=torch.long), targets.view(shape)
    )


@pytest.mark.parametrize("kind", [torch.float, torch.double])
def test_logarithms_are_accurate(kind):
    """log(1 + exp(x)) is the loss of a bit 0 with the logit x, and of class 1 with the logits x and 0."""
    x = torch.cat([torch.linspace(-40, 40, 2001, dtype=torch.double), torch.tensor([-1e-9, 0.0, 1e-9])]).to(kind)
    exact = [math.log1p(math.exp(-abs(each))) + max(each, 0.0) for each in x.tolist()]
    exact = torch.tensor(exact, dtype=torch.double)
    for biases, target, size in ((x[:, None], 0, exact), (torch.stack((x, 0 * x), 1), 1, 1 + exact)):
        targets = torch.full((len(x),), target)
        (steps,) = take_steps("rnn", single(targets, kind), [biased(biases, biases.shape[1])])
        assert ((steps.losses[0].double() - exact).abs() <= 3 * torch.finfo(kind).eps * size).all()


def test_which_answers_are_right():
    """Of equal classes the first is taken, NaN is the largest, and a logit of 0 is answered by 0."""
    classes = torch.tensor([[1.0, 1, 0], [0, 1, 1], [0, 0, 0], [0, torch.nan, 1], [2, 1, 3]], dtype=torch.double)
    bits = torch.tensor([-1.0, 0.0, -0.0, 1e-300, torch.nan], dtype=torch.double)[:, None]
    for biases, target in ((classes, 0), (classes, 1), (classes, 2), (bits, 0), (bits, 1)):
        nets, targets = biased(biases, biases.shape[1]), torch.full((5,), target)
        take_steps("rnn", single(targets), [nets])
        assert nets.tally[:, 1, 3].tolist() == (answers(biases) == targets).tolist()


def test_padding_is_not_read():
    both = chunk()
    garbage = both.inputs.masked_fill(~asked_mask(both)[..., None], torch.nan)
    results = []
    for inputs in (both.inputs, garbage):
        nets = networks()
        results.append((*take_steps("lstm", both._replace(inputs=inputs), [nets])[0], everything(nets)))
    same_bits(*results)


REFUSED = {
    "amsgrad": partial(adam, amsgrad=True),
    "maximize": partial(sgd, maximize=True),
    "nesterov": partial(sgd, nesterov=True, momentum=0.9),
    "dampening": partial(sgd, momentum=0.9, dampening=0.1),
    "differentiable": partial(torch.optim.Adam, differentiable=True),
    "a rate that is a tensor": lambda parameters, lr: adam(parameters, lr=torch.tensor(lr)),
    "another optimizer": torch.optim.NAdam,
    "a class of one's own": type("Mine", (torch.optim.Adam,), {}),
    "two groups": lambda parameters, lr: adam([{"params": parameters[:2]}, {"params": parameters[2:]}], lr=lr),
}


def test_optimizers_that_are_plain():
    assert all(optimizer_is_plain(networks(make=make).optimizer) for make in OPTIMIZERS.values())
    assert not any(optimizer_is_plain(networks(make=make).optimizer) for make in REFUSED.values())


def test_losses_that_are_known():
    known = [(bce, 1), (mse, 1), (mse, 2), (ce, 2), (smooth, 5), (partial(bce), 1)]
    unknown = [(bce, 2), (ce, 1), (smooth, 1), (partial(mse, label_smoothing=0.1), 2), (partial(ce, x=1), 2)]
    unknown += [(partial(ce, label_smoothing=value), 2) for value in (1.0, -0.1, "x", math.nan)]
    unknown += [(nn.functional.mse_loss, 1), (lambda logits, targets: bce(logits, targets), 1)]
    bits, classes, numbers = (AnswerFormat(kind, 3) for kind in ("bits", "classes", "numbers"))

    def is_known(loss, size):
        return loss_is_known(loss, AnswerFormat("bits" if size == 1 else "classes", size))

    assert all(is_known(*each) for each in known) and not any(is_known(*each) for each in unknown)
    assert loss_is_known(bce, bits) and loss_is_known(mse, bits) and loss_is_known(squared, numbers)
    assert not any(loss_is_known(*each) for each in ((ce, bits), (squared, bits), (squared, classes), (mse, numbers)))


def test_what_can_be_trained():
    nets, inputs = networks(), chunk().inputs
    rest = nets.optimizer, nets.loss, AnswerFormat("bits", 1)
    assert can_train("lstm", inputs, nets.parameters, *rest)
    assert not can_train("own", inputs, nets.parameters, *rest)
    assert not can_train("lstm", inputs.float(), nets.parameters, *rest)
    assert not can_train("lstm", inputs, networks().parameters, *rest)
    assert not can_train("lstm", inputs, [*nets.parameters, *nets.parameters], *rest)
    nets.parameters[0].requires_grad_(False)
    assert not can_train("lstm", inputs, nets.parameters, *rest)


def wrong_state(nets):
    take_steps("lstm", chunk(), [nets])
    nets.optimizer.state[nets.parameters[0]]["exp_avg"] = torch.zeros(1, dtype=torch.double)


@pytest.mark.parametrize(
    ("spoil", "changes", "message"),
    [
        (lambda both: both.lengths.fill_(0), {}, "lengths"),
        (lambda both: both.lengths.fill_(LONGEST + 1), {}, "lengths"),
        (lambda both: None, {"tally": torch.zeros(3, LONGEST, 5, dtype=torch.double)}, "lengths"),
        (lambda both: None, {"tally": torch.zeros(3, LONGEST + 1, 5)}, "tally: torch.float32"),
        (lambda both: None, {"frozen": torch.zeros(2, dtype=torch.bool)}, r"inputs: .* \[4, 3, .* must be .* \[4, 2,"),
        (lambda both: None, {"rates": [0.1]}, r"rates: .* \[1\], must be .* \[4\]"),
    ],
)
def test_tensors_that_do_not_fit_are_refused(spoil, changes, message):
    both = chunk(padded=False)
    spoil(both)
    with pytest.raises(ValueError, match=message):
        take_steps("lstm", both, [networks(**changes)])


def test_a_state_of_another_shape_is_refused():
    nets = networks()
    wrong_state(nets)
    with pytest.raises(ValueError, match=r"state of the optimizer: torch.float64 \[1\], must be"):
        take_steps("lstm", chunk(), [nets])
