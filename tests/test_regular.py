"""Regular tasks: their rules against brute force, their samples against equal shares."""

import itertools
import re

import pytest
import torch
from helpers import REPOSITORY
from scipy.stats import chisquare

from rnn_tasks import config
from rnn_tasks.errors import UserError
from rnn_tasks.runs.describing import describe_data
from rnn_tasks.tasks import Regular, TemporalOrder
from rnn_tasks.tasks.automata import NONE
from rnn_tasks.tasks.automaton_tables import as_states, from_states

SIZES = {"batch_size": 4, "data_seed": 0, "train_size": 200, "val_size": 20, "test_size": 20}


def task(*overrides):
    return config.build_task(config.compose([*overrides, "task.train_size=300", "task.val_size=20"]))


def pairs(built):
    """The strings of a task's training set with their answers, as people write them."""
    built.setup()
    for number in range(len(built.train)):
        inputs, length, targets, asked = built.train[torch.tensor(number)]
        answer = targets[:length] if built.format.every_step else targets
        answer = answer if asked is None else answer[asked[:length]]
        yield built.write_input(inputs[:length]), built.write_answer(answer)


def dyck(text, depth):
    while "()" in text or "[]" in text:
        text = text.replace("()", "").replace("[]", "")
    return text == "" and depth


def nested(text, depth):
    opened = 0
    for letter in text:
        opened += 1 if letter in "([" else -1
        if not 0 <= opened <= depth:
            return False
    return dyck(text, depth=True)


def value(text, modulus):
    return str(eval(text) % modulus)


def tomita3(text):
    return not re.search(r"(^|0)1(11)*0(00)*(1|$)", text)


TOMITA = {
    1: lambda text: "0" not in text,
    2: lambda text: bool(re.fullmatch("(10)*", text)),
    3: tomita3,
    4: lambda text: "000" not in text,
    5: lambda text: text.count("0") % 2 == text.count("1") % 2 == 0,
    6: lambda text: (text.count("0") - text.count("1")) % 3 == 0,
    7: lambda text: bool(re.fullmatch("0*1*0*1*", text)),
}
RULES = {
    "task=parity": lambda text: str(text.count("1") % 2),
    "task=even_pairs": lambda text: str(int((text.count("ab") + text.count("ba")) % 2 == 0)),
    "task=cycle_navigation task.places=7": lambda text: str((text.count("+") - text.count("-")) % 7),
    "task=modular_arithmetic task.answer=end task.modulus=7": lambda text: value(text, 7),
    "task=dyck task.brackets=2 task.depth=2 task.lengths=[2,12]": lambda text: str(int(nested(text, 2))),
    **{
        f"task=tomita task.grammar={number}": lambda text, rule=rule: str(int(rule(text)))
        for number, rule in TOMITA.items()
    },
}


@pytest.mark.parametrize("words", RULES)
def test_answers_are_those_of_a_rule_in_plain_python(words):
    answers = set()
    for text, answer in pairs(task(*words.split())):
        assert answer == RULES[words](text), text
        answers.add(answer)
    assert len(answers) > 1


@pytest.mark.parametrize("number", TOMITA)
def test_tomita_languages_on_all_strings_up_to_ten_bits(number):
    built = task("task=tomita", f"task.grammar={number}")
    for length in range(1, 11):
        strings = torch.tensor([*itertools.product((0, 1), repeat=length)])
        outputs = built.automaton.run(strings)[1][:, -1].tolist()
        texts = ["".join(map(str, row)) for row in strings.tolist()]
        assert outputs == [int(TOMITA[number](text)) for text in texts]


def test_flip_flops_keep_their_last_pulse():
    for text, answer in pairs(task("task=flip_flop", "task.bits=2")):
        state, expected = ["0", "0"], []
        for symbol in text.split():
            for channel, pulse in enumerate(symbol):
                state[channel] = {"+": "1", "-": "0", "0": state[channel]}[pulse]
            expected.append("".join(state))
        assert answer == "; ".join(expected)


@pytest.mark.parametrize("group", ["S3", "A4", "S5", "Z7"])
def test_products_of_permutations(group):
    built = task("task=group", f"task.group={group}", "task.lengths=[1,9]")
    assert len(built.automaton.alphabet) == {"S3": 6, "A4": 12, "S5": 120, "Z7": 7}[group]
    for text, answer in pairs(built):
        state, expected = None, []
        for element in text if group == "Z7" else text.split():
            if group == "Z7":
                state = str((int(state or 0) + int(element)) % 7)
            else:  # where each of 1, 2, ... goes
                state = "".join(element[int(place) - 1] for place in state or sorted(element))
            expected.append(state)
        assert answer.replace(" ", "") == "".join(expected)


def reber_strings(longest):
    """All strings of the embedded Reber grammar up to a length, by walking through its graph as drawn."""
    graph = {0: "B1", 1: "T2 P3", 2: "S2 X4", 3: "T3 V5", 4: "X3 S6", 5: "P4 V6", 6: "E7"}
    found, waiting = set(), [("", 0)]
    while waiting:
        text, node = waiting.pop()
        if node == 7:
            found |= {f"B{letter}{text}{letter}E" for letter in "TP"}
        elif len(text) < longest - 4:
            waiting += [(text + move[0], int(move[1])) for move in graph[node].split()]
    return {text for text in found if len(text) <= longest}


def test_reber_strings_and_what_can_come_next():
    strings = reber_strings(16)
    for text, answer in pairs(task("task=embedded_reber", "task.lengths=[9,12]")):
        assert text in strings
        for step, given in enumerate(answer.split("; ")):
            can_come = {
                other[step + 1] for other in strings if other.startswith(text[: step + 1]) and len(other) > step + 1
            }
            assert given == "{" + ",".join(letter for letter in "BTPSXVE" if letter in can_come) + "}"


def test_marks_of_temporal_order_stand_where_they_should():
    built = task("task=temporal_order", "task.lengths=[20,40]")
    for text, answer in pairs(built):
        marks = [(place, letter) for place, letter in enumerate(text) if letter in "XY"]
        assert "".join(letter for _, letter in marks) == answer and text[0] == "E" and text[-1] == "B"
        (first, _), (second, _) = marks
        assert int(len(text) * 0.1) <= first <= len(text) * 0.2 and int(len(text) * 0.5) <= second <= len(text) * 0.6
        assert set(text[1:-1]) <= set("abcdXY")


@pytest.mark.parametrize(
    "words", ["task=adder", "task=memory", "task=memory task.k=1", "task=parity task.answer=every_step"]
)
def test_the_automaton_of_a_task_gives_its_answers(words):
    built = task(*words.split())
    built.setup()
    automaton, examples = built.automaton, built.train
    for number in range(len(examples)):
        inputs, length, targets, _ = examples[torch.tensor(number)]
        string = (inputs[:length, None] - automaton.symbols).abs().sum(2).argmin(1)
        assert torch.equal(automaton.symbols[string], inputs[:length])
        outputs = automaton.run(string[None])[1][0]
        asked = outputs if built.format.every_step else outputs[-1:]
        assert NONE not in asked
        expected = targets[:length] if built.format.every_step else targets[None]
        assert torch.equal(automaton.answers[asked], expected.long())


def test_no_automaton_adds_from_the_most_significant_bit():
    assert task("task=adder", "task.order=msb").automaton is None


EXPRESSIONS = [
    "(ab)*",
    "a*b?a+",
    "(a|bb)*c{0,2}",
    "[^a]*a.|b",
    "(a{2,3}|b)+",
    "((a|b)*)*abb",
    "(a|b)*a(a|b){2}",
    "a|",
    "(ab?)+?",
]


@pytest.mark.parametrize("regex", EXPRESSIONS)
def test_expressions_match_what_python_matches(regex):
    built = Regular(regex=regex, alphabet="abc", name="own", lengths=(1, 6), **SIZES)
    for length in range(1, 7):
        texts = ["".join(letters) for letters in itertools.product("abc", repeat=length)]
        strings = torch.tensor([["abc".index(letter) for letter in text] for text in texts])
        accepted = built.automaton.run(strings)[1][:, -1].tolist()
        assert accepted == [int(bool(re.fullmatch(regex, text))) for text in texts]


def test_minimal_automata_are_as_small_as_they_can_be():
    built = Regular(regex="(a|b)*a(a|b){3}", name="own", lengths=(1, 6), **SIZES)
    assert len(built.automaton.next_states) == 2**3  # the last three letters; the fourth decides at once
    ends_in_ab = Regular(regex="(a|b)*ab", name="own", lengths=(1, 6), **SIZES)
    assert len(ends_in_ab.automaton.next_states) == 2


ATT = "0 1 a a\n0\t0\tb\tb\n1 0 a 0.5\n1 1 b\n1 2 <eps>\n2 2 a\n2 1.5\n"


def test_a_file_in_the_format_of_att(tmp_path):
    path = tmp_path / "own.att"
    path.write_text(ATT, encoding="utf-8")
    built = Regular(path=str(path), name="own", lengths=(1, 6), **SIZES)
    assert built.automaton.alphabet == ("a", "b")
    for length in range(1, 8):
        texts = ["".join(letters) for letters in itertools.product("ab", repeat=length)]
        strings = torch.tensor([["ab".index(letter) for letter in text] for text in texts])
        accepted = built.automaton.run(strings)[1][:, -1].tolist()
        assert accepted == [int(bool(re.fullmatch("b*a(b|ab*a)*a*", text))) for text in texts]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "must have moves"),
        ("0 1 a\n", "has no accepting states"),
        ("0\n", "has no moves"),
        ("0 1 a b\n1\n", r"line 1: turns 'a' into 'b'"),
        (None, r"cannot be read \(is no"),
    ],
)
def test_files_that_hold_no_automaton(tmp_path, text, message):
    path = tmp_path / "own.att"
    if text is not None:
        path.write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match=message):
        Regular(path=str(path), name="own", lengths=(1, 6), **SIZES)


def drawn(built, length, count):
    strings = built.draw_strings(torch.full((count,), length), torch.Generator().manual_seed(0))
    return [built.text(row) for row in strings.tolist()]


def assert_equal_shares(texts, expected):
    counts = dict.fromkeys(expected, 0)
    for text in texts:
        counts[text] += 1
    assert chisquare(list(counts.values())).pvalue > 1e-3


def test_uniform_strings_are_equally_frequent():
    built = Regular(regex="a*b*|c", alphabet="abc", name="own", lengths=(1, 6), **SIZES)
    assert_equal_shares(drawn(built, 5, 20_000), map("".join, itertools.product("abc", repeat=5)))
    arithmetic = task("task=modular_arithmetic", "task.answer=end", "task.modulus=2")
    expected = [
        a + x + b + y + c
        for a, b, c in itertools.product("01", repeat=3)
        for x, y in itertools.product("+-*", repeat=2)
    ]
    assert_equal_shares(drawn(arithmetic, 5, 10_000), expected)


def test_members_and_others_are_equally_frequent_and_each_uniform():
    built = task("task=dyck", "task.sampling=balanced", "task.depth=3")
    texts = drawn(built, 8, 20_000)
    everything = list(map("".join, itertools.product("()", repeat=8)))
    members = [text for text in everything if nested(text, 3)]
    split = [text for text in texts if text in members]
    assert abs(len(split) - 10_000) < 300
    assert_equal_shares(split, members)
    assert_equal_shares([text for text in texts if text not in members], set(everything) - set(members))


def test_edited_members_differ_in_one_to_three_symbols_from_a_member():
    built = task("task=dyck", "task.depth=3")
    texts = drawn(built, 10, 4_000)
    members = [text for text in map("".join, itertools.product("()", repeat=10)) if nested(text, 3)]
    inside = [text for text in texts if text in members]
    assert_equal_shares(inside, members)
    assert abs(len(inside) - 2_000) < 200
    least = {min(sum(a != b for a, b in zip(text, member, strict=True)) for member in members) for text in texts}
    assert least == {0, 1, 2, 3} or least == {0, 1, 2}


def test_few_strings_that_are_no_members():
    """Almost all strings of twenty letters are members, and editing hardly finds another."""
    built = Regular(
        regex="(a|b)*a(a|b)*|b{0,19}", alphabet="ab", sampling="edited", name="own", lengths=(20, 20), **SIZES
    )
    texts = drawn(built, 20, 100)
    assert 30 < texts.count("b" * 20) < 70


def test_lengths_without_members_are_left_out():
    built = task("task=tomita", "task.grammar=5")
    assert built.lengths_with_examples(1, 9) == [2, 4, 6, 8]
    built.setup()
    assert set((built.train.lengths % 2).tolist()) == {0}
    with pytest.raises(UserError, match="tomita: has no examples of length 7"):
        built.test_examples([7], 5)


def test_the_length_tells_nothing():
    built = task("task=tomita", "task.grammar=4", "task.lengths=[5,30]", "task.train_size=4000")
    built.setup()
    for length in range(5, 31):
        answers = built.train.targets[built.train.lengths == length]
        assert abs(answers.mean() - 0.5) < 4 * (0.25 / len(answers)) ** 0.5


def test_chance_is_counted():
    assert task("task=parity").chance_accuracy == pytest.approx(0.5)
    assert task("task=dyck").chance_accuracy == 0.5
    assert task("task=cycle_navigation", "task.lengths=[1,1]").chance_accuracy == pytest.approx(1 / 3)
    built = task(
        "task=even_pairs", "task.lengths=[1,3]"
    )  # of one, two and three letters 2 of 2, 2 of 4, 4 of 8 are even
    assert built.chance_accuracy == pytest.approx((1 + 1 / 2 + 1 / 2) / 3)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({}, "must have one of states, regex and path, the automaton, not none"),
        ({"regex": "a*", "path": "x"}, "regex and path"),
        ({"regex": "a("}, "is no regular expression"),
        ({"regex": r"(a)\1"}, "is not supported"),
        ({"regex": "(?=a)b"}, "is not supported"),
        ({"regex": "^a$"}, "is not supported"),
        ({"regex": r"\d"}, "list the characters"),
        ({"regex": "(?i)a"}, "without flags"),
        ({"regex": "()"}, "names none"),
        ({"regex": "(a{9000}){9}"}, "states="),
        ({"states": {"a": {"next": {}}}}, "alphabet=None"),
        ({"states": {"a": {"next": {0: "b"}}}, "alphabet": [0]}, "next='b': must be one of the states a"),
        ({"states": {"a": {"next": {1: "a"}}}, "alphabet": [0]}, "states.a='1': must be one of the symbols 0"),
        ({"states": {"a": {"nxt": {}}}, "alphabet": [0]}, "states.a=.*must be a mapping with next and output"),
        ({"states": {"a": {"next": {0: "a"}, "output": 0}}, "alphabet": [0]}, "two different answers"),
        ({"states": [1], "alphabet": [0]}, "must be a mapping of states"),
        ({"regex": "a*", "alphabet": ["aa"]}, "single characters"),
        ({"regex": "a*", "alphabet": "ab", "answer": "all"}, "end or every_step or next"),
        ({"regex": "a*", "alphabet": "ab", "sampling": "x"}, "uniform or balanced or edited"),
        ({"regex": "a*", "sampling": "edited"}, "two symbols or more"),
    ],
)
def test_what_is_no_automaton_is_refused(values, message):
    with pytest.raises(ValueError, match=message):
        Regular(name="own", lengths=(1, 6), **SIZES, **values)


@pytest.mark.parametrize(
    ("words", "text", "message"),
    [
        ("task=parity", "012", "'2' is no symbol; must be of 0, 1, like"),
        ("task=parity", "", "has no symbols"),
        ("task=modular_arithmetic", "1++2", r"\+ cannot stand at place 3"),
        ("task=modular_arithmetic task.answer=end", "1+", "has no answer"),
        ("task=flip_flop", "+00 ++", r"'\+\+' is no symbol"),
    ],
)
def test_what_is_no_string_of_a_task_is_refused(words, text, message):
    with pytest.raises(ValueError, match=message):
        task(*words.split()).parse(text)


def test_short_strings_have_no_room_for_two_marks():
    assert TemporalOrder(name="own", lengths=(5, 30), **SIZES).lengths_with_examples(5, 12) == [10, 11, 12]


def test_answers_are_asked_only_where_the_automaton_gives_one():
    built = task("task=modular_arithmetic", "task.answer=every_step", "task.lengths=[3,9]")
    built.setup()
    assert built.train.asked is not None
    for number in range(50):
        inputs, length, _, asked = built.train[torch.tensor(number)]
        text = built.write_input(inputs[:length])
        assert [letter.isdigit() for letter in text] == asked[:length].tolist()


@pytest.mark.parametrize("regex", ["(ab)*", "a{1,2}|[^b]", r"a\.b", "a*,b", "a=b"])
def test_expressions_need_no_quotes_of_hydra(regex):
    assert config.compose(["task=regular", f"task.regex={regex}"]).task.regex == regex


def test_a_task_of_the_documentation(tmp_path):
    text = (REPOSITORY / "docs" / "tasks.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)
    (tmp_path / "task").mkdir()
    (tmp_path / "task" / "no_aa.yaml").write_text(block, encoding="utf-8")
    built = task(f"hydra.searchpath=[file://{tmp_path}]", "task=no_aa")
    for string, answer in pairs(built):
        assert answer == str(int("aa" not in string))


@pytest.mark.parametrize(
    "words", ["task=modular_arithmetic task.answer=end", "task=tomita task.grammar=3", "task=memory"]
)
def test_a_table_of_states_gives_the_same_automaton(words):
    automaton = task(*words.split()).automaton
    names = [str(number) for number in automaton.answers.tolist()]
    again, found = from_states(automaton.alphabet, as_states(automaton, names))
    assert found == names
    assert torch.equal(again.minimized().next_states, automaton.minimized().next_states)
    assert torch.equal(again.minimized().outputs, automaton.minimized().outputs)


def test_a_run_keeps_the_automaton_of_a_file(tmp_path):
    path = tmp_path / "own.att"
    path.write_text(ATT, encoding="utf-8")
    cfg = config.compose(["task=regular", f"task.path={path}"])
    expected = config.build_task(cfg).automaton
    describe_data(cfg)
    path.unlink()
    kept = config.build_task(cfg).automaton
    assert torch.equal(kept.next_states, expected.next_states) and torch.equal(kept.outputs, expected.outputs)
