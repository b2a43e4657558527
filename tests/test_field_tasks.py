"""Tasks that no finite automaton does: their rules against plain Python, their draws against exact counts."""

from collections import Counter
from decimal import Decimal
from functools import cache
from itertools import pairwise, product
from math import log, prod, sqrt

import pytest
import torch
from helpers import SMALL, trained, without_pictures
from omegaconf import OmegaConf
from PIL import Image
from scipy.stats import chisquare

import rnn_tasks
from rnn_tasks import config
from rnn_tasks.errors import UserError
from rnn_tasks.page.selection import load_reader
from rnn_tasks.runs.cases import verification_cases
from rnn_tasks.runs.evaluation import out_of_distribution
from rnn_tasks.seeds import generator
from rnn_tasks.tasks import Examples, mnist_ood
from rnn_tasks.tasks.dyck import well_nested

VARIANTS = {
    "dyck_unbounded": [],
    "dyck_unbounded of one kind": ["task.brackets=1"],
    "dyck_unbounded, next": ["task.brackets=3", "task.answer=next"],
    "counters": [],
    "counters of three letters": ["task.letters=3"],
    "counters of four letters": ["task.letters=4"],
    "adding": ["task.lengths=[2,30]"],
    "copy": ["task.lengths=[1,9]"],
    "copy, all asked": ["task.lengths=[1,9]", "task.asked=all"],
    "long_lag": [],
    "long_lag, random": ["task.middle=random"],
    "two_sequence": [],
    "two_sequence, noisy": ["task.signal=1", "task.signal_variance=0.2"],
    "sequential_addition": [],
    "hidden_coin": ["task.lengths=[1,30]"],
}
SHORT = ["task.train_size=2000", "task.val_size=20", "task.test_size=5"]


composed = cache(lambda name: config.compose([f"task={name}", *SHORT]))


def task_of(name, *words):
    """A task with a training set."""
    task = config.build_task(OmegaConf.merge(composed(name), OmegaConf.from_dotlist(list(words))))
    task.train = task.examples(task.train_size, "train")
    return task


def texts(task, examples=None):
    """Problem and answer of each example, as people write them."""
    for inputs, length, target, asked in each(task.train if examples is None else examples):
        steps = torch.arange(length) if asked is None else asked[:length].nonzero().squeeze(1)
        yield task.write_input(inputs[:length]), task.write_answer(target[steps] if task.format.every_step else target)


def each(examples):
    return (examples[number] for number in range(len(examples)))


@pytest.mark.parametrize("name", VARIANTS)
def test_a_problem_that_is_written_is_read_again(name):
    task = task_of(name.split()[0].strip(","), *VARIANTS[name])
    for inputs, length, _, asked in list(each(task.train))[:100]:
        read = task.parse(task.write_input(inputs[:length]))
        assert torch.equal(read, inputs[:length])
        steps = task.asked_steps(read)
        assert steps is None if asked is None else torch.equal(steps, asked[:length])
    assert task.write_input(task.parse(task.example)) == task.example
    for text in ("", "?", "1 2 3 +"):
        if (name.split()[0], text) != ("counters", ""):
            with pytest.raises(ValueError, match=r"^'.*like"):
                task.parse(text)


@pytest.mark.parametrize(
    "name", [*dict.fromkeys(each.split()[0].strip(",") for each in VARIANTS), "dyck_unbounded, next"]
)
def test_a_task_trains_a_step_and_answers(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    words = [f"task={name.split()[0].strip(',')}", *VARIANTS[name], "trainer.max_steps=1", "task.test_size=2"]
    with without_pictures():
        result = trained(tmp_path / "run", *words, "model.hidden=3", "model.replicates=2")
    assert all(0 < loss < 10 for loss in result["metrics"]["test"]["loss"])
    assert 0 < result["metrics"]["test"]["chance"] < 1


def is_nested(text):
    while any(pair in text for pair in ("()", "[]", "{}")):
        text = text.replace("()", "").replace("[]", "").replace("{}", "")
    return not text


@pytest.mark.parametrize("brackets", [1, 2, 3])
def test_whether_brackets_are_well_nested(brackets):
    task = task_of("dyck_unbounded", f"task.brackets={brackets}")
    counts = Counter()
    for text, answer in texts(task):
        assert answer == str(int(is_nested(text)))
        assert set(text) <= set("()[]{}"[: 2 * brackets]) and len(text) % 2 == 0
        counts[answer] += 1
    assert abs(counts["1"] - 1000) < 100
    assert {len(text) for text, _ in texts(task)} == set(range(2, 21, 2))


def one_edit(text, alphabet):
    """All texts with one symbol replaced or two swapped."""
    for i in range(len(text)):
        yield from (text[:i] + symbol + text[i + 1 :] for symbol in alphabet)
        for j in range(i):
            yield text[:j] + text[i] + text[j + 1 : i] + text[j] + text[i + 1 :]


def test_strings_that_are_not_well_nested_are_a_single_edit_away_from_one_that_is():
    task = task_of("dyck_unbounded", "task.lengths=[2,12]")
    wrong = [text for text, answer in texts(task) if answer == "0"]
    assert all(any(map(is_nested, one_edit(text, "()[]"))) for text in wrong[:300])
    balanced = [text for text in wrong if all(text.count(a) == text.count(b) for a, b in ("()", "[]"))]
    assert 0.25 < len(balanced) / len(wrong) < 0.6  # counting is not enough


@pytest.mark.parametrize(("brackets", "length"), [(1, 2), (1, 6), (1, 10), (2, 4), (2, 6), (3, 4)])
def test_well_nested_strings_are_uniform(brackets, length):
    members = {"".join(word) for word in product("()[]{}"[: 2 * brackets], repeat=length) if is_nested("".join(word))}
    catalan = {2: 1, 4: 2, 6: 5, 10: 42}[length]
    assert len(members) == catalan * brackets ** (length // 2)
    drawn = well_nested(torch.full((20_000,), length), brackets, generator(1, length))
    counts = Counter("".join("()[]{}"[symbol] for symbol in row) for row in drawn.tolist())
    assert set(counts) == members
    assert len(members) == 1 or chisquare(list(counts.values())).pvalue > 1e-3


def test_lengths_of_brackets_do_not_disturb_each_other():
    lengths = torch.tensor([2, 12, 4, 8] * 200)
    drawn = well_nested(lengths, 2, generator(2))
    words = ["".join("()[]"[symbol] for symbol in row[:length]) for row, length in zip(drawn, lengths, strict=True)]
    assert all(map(is_nested, words))


def test_a_deep_string_has_the_depth_that_chance_gives_it():
    drawn = well_nested(torch.full((200,), 400), 1, generator(3))
    deepest = (1 - 2 * drawn).cumsum(1).amax(1).float().mean().item()
    assert deepest == pytest.approx(sqrt(3.14159 * 200) - 1.5, rel=0.05)  # de Bruijn, Knuth and Rice 1972


@pytest.mark.parametrize("brackets", [1, 2, 3])
def test_which_brackets_can_come_next(brackets):
    task = task_of("dyck_unbounded", "task.answer=next", f"task.brackets={brackets}", "task.lengths=[2,16]")
    alphabet = "()[]{}"[: 2 * brackets]
    for text, answer in list(texts(task))[:500]:
        assert is_nested(text)
        beginnings = [text[: step + 1] for step in range(len(text))]
        assert sets_in(answer) == [{symbol for symbol in alphabet if can_begin(part + symbol)} for part in beginnings]


def sets_in(answer):
    return [set(part[1:-1].split(",")) for part in answer.split("; ")]


def can_begin(text):
    """Whether a string is the beginning of a well-nested one."""
    closing = {"(": ")", "[": "]", "{": "}"}
    open_ = []
    for symbol in text:
        if symbol in closing:
            open_.append(closing[symbol])
        elif not open_ or open_.pop() != symbol:
            return False
    return True


@pytest.mark.parametrize("letters", [2, 3, 4])
def test_which_letters_can_come_next(letters):
    task = task_of("counters", f"task.letters={letters}", "task.lengths=[1,24]", "task.test_lengths=[1,24]")
    language = ["".join(letter * n for letter in "abcd"[:letters]) + "T" for n in range(1, 50)]
    found = dict(texts(task))
    assert set(found) == {text[:-1] for text in language[: 24 // letters]}
    for text, answer in found.items():
        beginnings = [text[:step] for step in range(len(text) + 1)]
        sets = [{text[len(part)] for text in language if text.startswith(part)} for part in beginnings]
        assert sets_in(answer) == sets
    task.setup()
    assert [len(examples) for examples in task.test] == [5] * (24 // letters)
    assert task.train.inputs[:, 0, 0].all() and not task.train.inputs[:, 1:, 0].any()


def test_lengths_without_a_string_are_refused():
    with pytest.raises(UserError, match="no examples of length 3"):
        task_of("counters", "task.lengths=[3,3]")
    with pytest.raises(UserError, match="no examples of length 7"):
        task_of("dyck_unbounded").test_examples([7], 1)


def test_the_sum_of_the_marked_numbers():
    task = task_of("adding", "task.lengths=[2,11]")
    places = Counter()
    for text, answer in texts(task):
        words = text.split()
        marked = [place for place, word in enumerate(words) if word.endswith("*")]
        assert Decimal(answer) == sum(Decimal(words[place].removesuffix("*")) for place in marked)
        assert marked[0] < len(words) // 2 <= marked[1] and len(marked) == 2
        places[(len(words), *marked)] += len(words) == 7
    counts = [count for (length, *_), count in places.items() if length == 7]
    assert len(counts) == 3 * 4 and chisquare(counts).pvalue > 1e-3
    assert task.train.targets.mean().item() == pytest.approx(1, abs=0.03)
    assert (task.train.targets - 1).square().mean().item() == pytest.approx(1 / 6, rel=0.1)
    task.setup()
    assert task.chance_accuracy == pytest.approx(1 - 0.96**2, abs=0.02)
    assert task.format.right(torch.tensor([[1.039], [1.041]]), torch.tensor([1.0, 1.0])).tolist() == [True, False]


@pytest.mark.parametrize("asked", ["copy", "all"])
def test_ten_symbols_are_copied_after_a_pause(asked):
    task = task_of("copy", "task.lengths=[1,9]", f"task.asked={asked}")
    for text, answer in texts(task):
        copied, pause = text[:10], len(text) - 20
        assert text == copied + "." * (pause - 1) + ":" + "." * 10 and set(copied) <= set("12345678")
        assert answer == (copied if asked == "copy" else "." * (pause + 10) + copied)
    assert chisquare(list(Counter("".join(text[:10] for text, _ in texts(task))).values())).pvalue > 1e-3
    task.setup()
    if asked == "copy":
        assert task.chance_accuracy == pytest.approx(1 / 8, abs=0.01)
    else:
        assert task.chance_accuracy == pytest.approx((5 + 10) / 25, abs=0.02)


def test_two_sequences_with_a_long_lag():
    task = task_of("long_lag", "task.p=5")
    assert set(texts(task)) == {("x 1 2 3 4", "1 2 3 4 x"), ("y 1 2 3 4", "1 2 3 4 y")}
    task.setup()
    assert task.chance_accuracy == pytest.approx(1 / 5)
    with pytest.raises(UserError, match="no examples of length 6"):
        task.test_examples([6], 1)


def test_random_symbols_in_a_long_lag():
    task = task_of("long_lag", "task.p=5", "task.middle=random")
    assert all(text[0] == answer and set(text[2:].split()) <= set("1234") for text, answer in texts(task))
    assert len({text for text, _ in texts(task)}) > 0.9 * 2 * 4**4
    assert abs(Counter(answer for _, answer in texts(task))["x"] - 1000) < 100
    (longer,) = task.test_examples([300], 5)
    assert all(len(text.split()) == 300 for text, _ in texts(task, longer))


def test_the_class_of_a_sequence_is_told_by_its_first_numbers():
    task = task_of("two_sequence", "task.lengths=[100,110]")
    numbers, lengths = task.train.inputs[..., 0], task.train.lengths
    assert set(lengths.tolist()) == set(range(100, 111))
    assert torch.equal(numbers[:, :3], (2.0 * task.train.targets - 1)[:, None].expand(-1, 3))
    noise = numbers[:, 3:100]
    assert noise.mean().item() == pytest.approx(0, abs=0.01) and noise.var().item() == pytest.approx(0.2, rel=0.02)
    correlation = torch.corrcoef(torch.stack([noise.sum(1), task.train.targets.float()]))[0, 1]
    assert abs(correlation) < 0.1
    noisy = task_of("two_sequence", "task.signal=1", "task.signal_variance=0.2").train
    added = noisy.inputs[:, 0, 0] - (2.0 * noisy.targets - 1)
    assert added.var().item() == pytest.approx(0.2, rel=0.1)


@pytest.mark.parametrize("lengths", ["[5,20]", "[602,602]"])
def test_sums_of_numbers_that_come_one_after_the_other(lengths):
    task = task_of("sequential_addition", f"task.lengths={lengths}", "task.train_size=1000")
    for (text, answer), length in zip(texts(task), task.train.lengths.tolist(), strict=True):
        first, second = text.split("+")
        assert int(answer, 2) == int(first, 2) + int(second, 2)
        assert len(first) == len(second) == (length - 2) // 3
    assert task.train.real.sum(1).tolist() == ((task.train.lengths - 2) // 3 + 1).tolist()
    assert task.train.inputs.sum(2).sum(1).tolist() == (task.train.lengths - (task.train.lengths - 2) // 3).tolist()


def test_bits_of_both_numbers_are_uniform():
    task = task_of("sequential_addition", "task.lengths=[8,8]", "task.train_size=4000")
    counts = Counter(text for text, _ in texts(task))
    assert len(counts) == 16 and chisquare(list(counts.values())).pvalue > 1e-3


def test_a_sum_of_numbers_of_different_lengths_is_read():
    task = task_of("sequential_addition")
    assert task.write_input(task.parse("1+1011")) == "0001+1011"


def chances(tosses, heads, switch):
    """The probability of tosses, summed over all ways of the hidden coins."""
    total = 0
    for coins in product((0, 1), repeat=len(tosses)):
        moves = prod(switch if a != b else 1 - switch for a, b in pairwise(coins))
        shown = prod(heads[coin] if toss else 1 - heads[coin] for coin, toss in zip(coins, tosses, strict=True))
        total += 0.5 * moves * shown
    return total


@pytest.mark.parametrize(("heads", "switch"), [((0.9, 0.2), 0.1), ((1.0, 0.5), 0.3), ((0.7, 0.1), 0.0)])
def test_tosses_of_hidden_coins_have_their_probabilities(heads, switch):
    words = [f"task.heads=[{heads[0]},{heads[1]}]", f"task.switch={switch}", "task.lengths=[4,4]"]
    task = task_of("hidden_coin", *words, "task.train_size=20000")
    strings = torch.cat([task.train.inputs[..., 0], task.train.targets[:, -1:]], 1).long().tolist()
    counts = Counter(map(tuple, strings))
    exact = {tosses: chances(tosses, heads, switch) for tosses in product((0, 1), repeat=5)}
    assert sum(exact.values()) == pytest.approx(1)
    seen = [tosses for tosses in exact if exact[tosses] > 1e-9]
    assert set(counts) <= set(seen)
    assert chisquare([counts[t] for t in seen], [20_000 * exact[t] for t in seen]).pvalue > 1e-3
    assert torch.equal(task.train.inputs[:, 1:, 0], task.train.targets[:, :-1])


def test_the_best_predictions_of_a_hidden_coin_are_those_of_all_ways():
    task = task_of("hidden_coin", "task.lengths=[1,8]", "task.train_size=50")
    losses = []
    for inputs, length, targets, _ in each(task.train):
        tosses = [int(toss) for toss in inputs[:length, 0].tolist()]
        for step in range(1, int(length) + 1):
            before = tuple(tosses[:step])
            heads = chances((*before, 1), (0.9, 0.2), 0.1) / chances(before, (0.9, 0.2), 0.1)
            assert task.best_predictions(inputs[None, :, 0])[0, step - 1].item() == pytest.approx(heads)
            losses.append(-log(heads if targets[step - 1] else 1 - heads))
    assert task.best_loss(task.train.padded(8)) == pytest.approx(sum(losses) / len(losses))


def test_no_prediction_of_a_hidden_coin_is_better_than_the_best():
    task = task_of("hidden_coin", "task.lengths=[30,30]")
    targets = task.train.targets
    best = task.best_predictions(task.train.inputs[..., 0])
    for wrong in (best.clamp(0.05, 0.95) * 0.97, best.flip(1), torch.full_like(best, targets.mean().item())):
        loss = -torch.where(targets == 1, wrong, 1 - wrong).log().mean().item()
        assert loss > task.best_loss(task.train.padded(30)) + 1e-4


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (["task=dyck_unbounded", "task.brackets=4"], "brackets=4: must be from 1 to 3"),
        (["task=dyck_unbounded", "task.answer=start"], "answer='start': must be end or next"),
        (["task=counters", "task.letters=5"], "letters=5: must be from 2 to 4"),
        (["task=copy", "task.asked=none"], "asked='none': must be copy or all"),
        (["task=long_lag", "task.p=1"], "p=1: must be from 2"),
        (["task=long_lag", "+task.lengths=[1,2]"], "lengths=.* cannot be chosen, a sequence has p=20 steps"),
        (["task=two_sequence", "task.signal=0"], "signal=0: must be at least 1"),
        (["task=two_sequence", "task.noise_variance=-1"], "noise_variance=-1.*: must be at least 0"),
        (["task=hidden_coin", "task.heads=[0.1]"], r"heads=\[0.1\]: must be two probabilities"),
        (["task=hidden_coin", "task.switch=1.5"], "switch=1.5: must be from 0 to 1"),
        (["task=mnist", "task.read=diagonals"], "read='diagonals': must be rows or columns or pixels or permuted"),
    ],
)
def test_values_out_of_their_range_are_refused(words, problem):
    with pytest.raises(UserError, match=problem):
        config.build_task(config.compose(words))


@pytest.mark.parametrize("read", ["rows", "columns", "pixels", "permuted"])
def test_images_are_read_in_an_order_and_back(read):
    task = config.build_task(config.compose(["task=mnist", f"task.read={read}"]))
    images = torch.rand(3, 28, 28, generator=generator(0))
    inputs = task.as_read(images)
    assert inputs.shape[1:] == (task.longest, task.input_size) and torch.equal(task.picture(inputs), images)
    assert task.write_input(inputs[0]).count("\n") == 27
    expected = {"rows": images, "columns": images.mT, "pixels": images.flatten(1)[..., None]}
    if read in expected:
        assert torch.equal(inputs, expected[read])
    else:
        assert not torch.equal(inputs, images.flatten(1)[..., None])
        assert torch.equal(inputs.flatten(1).sort().values, images.flatten(1).sort().values)
        other = config.build_task(config.compose(["task=mnist", "task.read=permuted", "task.data_seed=5", "seed=7"]))
        assert torch.equal(other.as_read(images), inputs)


def test_augmentation_changes_images_not_sequences():
    words = ["task=mnist", "task/augmentation=handwriting"]
    rows, permuted = (config.build_task(config.compose([*words, f"task.read={read}"])) for read in ("rows", "permuted"))
    images = torch.rand(1, 2, 28, 28, generator=generator(0))
    changed = rows.augment(images, 3, 4)
    assert not torch.equal(changed, images)
    assert torch.equal(permuted.augment(permuted.as_read(images), 3, 4), permuted.as_read(changed))


def test_a_network_that_reads_no_rows(mnist, monkeypatch):
    words = ["task=mnist", "task.read=permuted", "task.test_size=4", "trainer.max_steps=1", "model.hidden=2", "name=a"]
    run = rnn_tasks.train(*SMALL, *words, progress=False)
    task = run.task
    task.setup()
    rows = config.build_task(config.compose(["task=mnist", *SMALL, "task.test_size=4"]))
    rows.setup()
    assert torch.equal(task.picture(task.val.inputs), rows.val.inputs)
    cases = verification_cases(task, run.model)
    assert cases[0].picture.shape == (28, 28) and cases[0].is_picture
    shown = rows.test[0].inputs[0]
    Image.fromarray((255 * shown).byte().numpy()).save("digit.png")
    assert torch.allclose(task.picture(task.parse("digit.png")), shown, atol=1 / 255)
    assert run.ask("digit.png")[0] in "0123456789"
    with pytest.raises(UserError, match=r"reads no photos of digits.* give a run of task=mnist task\.read=rows$"):
        load_reader("outputs/mnist/a")
    few = Examples(torch.rand(3, 28, 28, generator=generator(0)), torch.full((3,), 28), torch.arange(3))
    for name in ("usps", "uci"):
        monkeypatch.setattr(mnist_ood, name, lambda *_, as_mnist=True: few)
    sets, of_rows = mnist_ood.sets(task), mnist_ood.sets(rows)
    assert all(torch.equal(task.picture(sets[name].inputs), of_rows[name].inputs) for name in of_rows)
    assert out_of_distribution(run)["MNIST"]["n"] == 4
