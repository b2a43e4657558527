"""Rows as a pandas.DataFrame, where pandas is installed."""

from collections.abc import Sequence
from importlib.util import find_spec
from typing import Any

from rnn_tasks.errors import UserError


def frame(rows: Sequence[dict[str, Any]]) -> Any:
    """Return rows as a pandas.DataFrame, with a column for each key.

    Raises:
        UserError: pandas is not installed.
    """
    if not find_spec("pandas"):
        raise UserError("a table as a data frame needs the package pandas: pip install pandas")
    import pandas

    return pandas.DataFrame(list(rows))
