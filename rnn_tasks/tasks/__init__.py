from rnn_tasks.tasks.adder import Adder
from rnn_tasks.tasks.automata import Automaton
from rnn_tasks.tasks.base import Batch, Task
from rnn_tasks.tasks.examples import Examples
from rnn_tasks.tasks.memory import Memory
from rnn_tasks.tasks.regular import Regular
from rnn_tasks.tasks.regular_arithmetic import CycleNavigation, FlipFlop, Group, ModularArithmetic
from rnn_tasks.tasks.regular_languages import BoundedDyck, EmbeddedReber, TemporalOrder, Tomita

__all__ = [
    "Adder",
    "Automaton",
    "Batch",
    "BoundedDyck",
    "CycleNavigation",
    "EmbeddedReber",
    "Examples",
    "FlipFlop",
    "Group",
    "Memory",
    "ModularArithmetic",
    "Regular",
    "Task",
    "TemporalOrder",
    "Tomita",
]
