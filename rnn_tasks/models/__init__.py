from rnn_tasks.models.network import CELLS, Network

__all__ = ["CELLS", "Network"]
