"""Names of the runs of a sweep, readable and safe as a directory."""

import json
import re
from collections.abc import Collection, Mapping, Sequence
from hashlib import blake2b
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, QuotedString
from omegaconf import OmegaConf

from rnn_tasks.errors import UserError

LONGEST = 200  # bytes of a name
UNSAFE = r"[^\w.,=+-]+"  # characters
REGEX = "task.regex"


def key_of(override: Override) -> str:
    """Return the key of an override, without the sign for adding or removing."""
    return override.get_key_element().lstrip("+~")


def plain(value: Any) -> Any:
    """Return a value of an override as plain containers, strings and numbers."""
    if isinstance(value, QuotedString):
        return value.text
    if isinstance(value, list):
        return [plain(item) for item in value]
    if isinstance(value, dict):
        return {str(plain(key)): plain(item) for key, item in value.items()}
    return value


def quoted(text: str) -> str:
    """Return a text as a value of Hydra's grammar, which reads two backslashes as one only before a quote.

    Raises:
        UserError: it has "${", which Hydra would replace.
    """
    if "${" in text:
        raise UserError(f"{text}: has ${{ in its name, which Hydra would replace; rename it")
    return "'" + re.sub(r"(\\+)(?='|$)", r"\1\1", text).replace("'", "\\'") + "'"


def with_quoted_regex(word: str) -> str:
    """Return an override in which a regular expression is quoted, as Hydra's grammar cannot read most of them."""
    key, _, value = word.partition("=")
    plain = key.lstrip("+") == REGEX and value not in ("", "null") and value[0] not in "'\""
    return f"{key}={quoted(value)}" if plain else word


def own_choices(words: Sequence[str], constant: Collection[str]) -> dict[str, Any]:
    """Return the values that a run of a sweep has for itself, by their keys.

    Args:
        words: all overrides of the run.
        constant: the keys that all runs of the sweep have in common.
    """
    overrides = OverridesParser.create().parse_overrides(list(words))
    return {key_of(each): plain(each.value()) for each in overrides if key_of(each) not in constant}


def run_name(choices: Mapping[str, Any]) -> str:
    """Return the name of a run's directory within a sweep, at most 200 bytes of safe characters.

    A hash of the choices keeps names apart where characters are replaced or cut, or a text could be taken for a list.
    Values that are written alike, as 1 and "1" or csv and [csv], give one name.

    >>> run_name({"model.hidden": 3, "task.lengths": [1, 5], "task/augmentation": "none"})
    'model.hidden=3,task.augmentation=none,task.lengths=1+5'
    """
    parts = sorted(f"{key.replace('/', '.')}={_text(value)}" for key, value in choices.items())
    full = ",".join(parts)
    name = re.sub(UNSAFE, "_", full, flags=re.ASCII).strip("_")
    if name != full or len(name) > LONGEST or any(map(_is_ambiguous, choices.values())):
        text = json.dumps(choices, sort_keys=True, default=str)
        name = f"{name[: LONGEST - 10]}_{blake2b(text.encode(), digest_size=4).hexdigest()}"
    return name or "run"


def _text(value: Any) -> str:
    if isinstance(value, list):
        return "+".join(map(_text, value)) or "none"
    if isinstance(value, dict):
        return "+".join(f"{key}={_text(item)}" for key, item in value.items()) or "none"
    if value is None:
        return "null"
    return str(value).lower() if isinstance(value, bool) else str(value)


def _is_ambiguous(value: Any, inside: bool = False) -> bool:
    if isinstance(value, list | dict):
        items = value if isinstance(value, list) else value.values()
        return inside or any(_is_ambiguous(item, inside=True) for item in items)
    return isinstance(value, str) and any(sign in value for sign in "+,=")


OmegaConf.register_new_resolver(
    "run_name", lambda words, constant: run_name(own_choices(words, constant)), replace=True
)
