from rnn_tasks.models.cells import CELLS, Cell, cell
from rnn_tasks.models.crnn import Crnn
from rnn_tasks.models.network import Network
from rnn_tasks.models.replicated import Replicated
from rnn_tasks.models.transformer import Transformer

__all__ = ["CELLS", "Cell", "Crnn", "Network", "Replicated", "Transformer", "cell"]
