from rnn_tasks.models.cells import CELLS, Cell, cell
from rnn_tasks.models.crnn import Crnn
from rnn_tasks.models.network import Network

__all__ = ["CELLS", "Cell", "Crnn", "Network", "cell"]
