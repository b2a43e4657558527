from rnn_tasks.tasks.adder import Adder
from rnn_tasks.tasks.adding import Adding
from rnn_tasks.tasks.automata import Automaton
from rnn_tasks.tasks.base import Batch, Task
from rnn_tasks.tasks.copying import Copy
from rnn_tasks.tasks.counters import Counters
from rnn_tasks.tasks.dyck import Dyck
from rnn_tasks.tasks.examples import Examples
from rnn_tasks.tasks.hidden_coin import HiddenCoin
from rnn_tasks.tasks.long_lag import LongLag
from rnn_tasks.tasks.memory import Memory
from rnn_tasks.tasks.regular import Regular
from rnn_tasks.tasks.regular_arithmetic import CycleNavigation, FlipFlop, Group, ModularArithmetic
from rnn_tasks.tasks.regular_languages import BoundedDyck, EmbeddedReber, TemporalOrder, Tomita
from rnn_tasks.tasks.sequential_addition import SequentialAddition
from rnn_tasks.tasks.two_sequence import TwoSequence

__all__ = [
    "Adder",
    "Adding",
    "Automaton",
    "Batch",
    "BoundedDyck",
    "Copy",
    "Counters",
    "CycleNavigation",
    "Dyck",
    "EmbeddedReber",
    "Examples",
    "FlipFlop",
    "Group",
    "HiddenCoin",
    "LongLag",
    "Memory",
    "ModularArithmetic",
    "Regular",
    "SequentialAddition",
    "Task",
    "TemporalOrder",
    "Tomita",
    "TwoSequence",
]
