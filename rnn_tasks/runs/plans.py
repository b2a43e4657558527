"""sweep.yaml: what a sweep is to make, kept in its directory so that it can be gone on with and looked at."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import yaml

from rnn_tasks.config.stored import LARGEST, require_simple
from rnn_tasks.config.sweeping import Plan
from rnn_tasks.errors import UserError
from rnn_tasks.files import read_text, write_atomically
from rnn_tasks.runs.trust import is_signed, sign

SWEEP = "sweep.yaml"


def is_sweep(directory: Path) -> bool:
    """Return whether a directory holds a sweep."""
    return (directory / SWEEP).is_file()


def write_plan(sweep: Path, plan: Plan) -> None:
    """Write sweep.yaml, signed: it may hold words of the user's own that run code.

    Raises:
        OSError: it cannot be written.
    """
    sweep.mkdir(parents=True, exist_ok=True)
    text = yaml.safe_dump(asdict(plan), sort_keys=False, allow_unicode=True, width=120)
    sign(sweep, text.encode())
    write_atomically(sweep / SWEEP, text)


def read_plan(sweep: Path, own: bool = False) -> Plan:
    """Return what a sweep is to make; nothing of it is executed.

    Args:
        sweep: its directory.
        own: refuse the plan of somebody else.

    Raises:
        UserError: there is no sweep, its sweep.yaml is damaged, or somebody else has begun it.
    """
    try:
        text = read_text(sweep / SWEEP, LARGEST)
        require_simple(text)
        content = yaml.safe_load(text)
        swept = content["swept"]
        _require(_are_texts(content["overrides"]) and isinstance(swept, dict) and _are_texts(list(swept)))
        _require(all(isinstance(texts, str) or (_are_texts(texts) and texts) for texts in swept.values()))
        _require(_are_texts(content["flags"]))
        plan = Plan(**content)
    except FileNotFoundError:
        raise UserError(f"{sweep}: holds no sweep; give a directory with a {SWEEP}") from None
    except Exception as error:  # a damaged yaml file raises many kinds
        raise UserError(f"{sweep / SWEEP}: is damaged; give the command of the sweep again") from error
    if own and not is_signed(sweep, text.encode()):
        raise UserError(
            f"{sweep}: was begun by somebody else, or on another machine; --trust goes on with it, if you trust it"
        )
    return plan


def _are_texts(node: Any) -> bool:
    return isinstance(node, list) and all(isinstance(text, str) for text in node)


def _require(valid: bool) -> None:
    if not valid:
        raise ValueError
