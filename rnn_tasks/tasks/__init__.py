from rnn_tasks.tasks.adder import Adder
from rnn_tasks.tasks.base import Batch, Task
from rnn_tasks.tasks.examples import Examples
from rnn_tasks.tasks.memory import Memory

__all__ = ["Adder", "Batch", "Examples", "Memory", "Task"]
