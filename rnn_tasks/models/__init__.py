from rnn_tasks.models.network import Network
from rnn_tasks.models.recurrence import CELLS, Cell, cell

__all__ = ["CELLS", "Cell", "Network", "cell"]
