from rnn_tasks.models.crnn import Crnn
from rnn_tasks.models.network import Network
from rnn_tasks.models.recurrence import CELLS, Cell, cell

__all__ = ["CELLS", "Cell", "Crnn", "Network", "cell"]
