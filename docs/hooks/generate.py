"""Pages of the reference that are made from the code: commands, configuration keys."""

import html
import os
import re
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files
from omegaconf import OmegaConf

from rnn_tasks import __main__ as console
from rnn_tasks.config import CONF, compose
from rnn_tasks.config.values import rule

GROUPS = ("task", "task/augmentation", "model", "optimizer", "scheduler", "loss", "logger", "callbacks", "debug")
WIDTH = 80  # characters of a block of code
ROOT = Path(__file__).parents[2]
KEY = re.compile(r"^(?P<indent> *)(?P<key>\w+):(?P<value>[^#]*?)(?:\s+# (?P<meaning>.*))?$")


def on_files(files: Files, config: Any) -> Files:
    """Add the pages that are made from the code, and the two that stand at the root of the project."""
    pages = {"reference/commands.md": commands(), "reference/configuration.md": configuration()}
    pages |= {"changelog.md": from_root("CHANGELOG.md"), "contributing.md": from_root("CONTRIBUTING.md")}
    for name, text in pages.items():
        files.append(File.generated(config, name, content=text))
    return files


def from_root(name: str) -> str:
    """Return the text of a page at the root of the project, with its links as they are on the site."""
    text = (ROOT / name).read_text(encoding="utf-8")
    return re.sub(r"\]\(docs/([^)]+)\)", r"](\1)", text)


def commands() -> str:
    """Return a page with the help of each command."""
    parts = ["# Commands\n\nEach is `python -m rnn_tasks.NAME`, and `rnn-tasks NAME` where the project is installed.\n"]
    for name in console.COMMANDS:
        parts.append(f"## {name}\n\n{console.summary(name)}.\n\n```text\n{_help(name)}\n```\n")
    return "\n".join(parts)


def _help(name: str) -> str:
    words = [sys.executable, "-m", console.module(name), "--help"]
    environment = os.environ | {"COLUMNS": str(WIDTH)}
    printed = subprocess.run(words, capture_output=True, text=True, check=True, env=environment).stdout
    return "\n".join(map(_wrapped, printed.split("\n== Values")[0].strip().splitlines()))


def _wrapped(line: str) -> str:
    """Break a long list of options, "group: one, two"; other lines stay as they are."""
    if len(line) <= WIDTH or not re.match(r"\w+: \w+, ", line):
        return line
    return textwrap.fill(line, WIDTH, subsequent_indent="    ")


def configuration() -> str:
    """Return a page with every key of the configuration: what it means, its default and what it must be."""
    parts = [
        "# Configuration keys\n\nThese are all keys of a run, as the files in `conf/` have them. Change one with"
        " `key=value` on the command line (`model.hidden=8`), choose an option of a group with `group=option`"
        " (`model=gru`). A task chooses options of other groups and sets some keys anew; what you write on the command"
        " line counts more than both. `python -m rnn_tasks.train --cfg job` prints the result.\n\n"
        "## Of every run\n\n" + _table(CONF / "config.yaml", "")
    ]
    for group in GROUPS:
        parts.append(f"## {group}\n\n{_default(group)}\n")
        for file in _options(group):
            lead = [line[2:] for line in file.read_text(encoding="utf-8").splitlines() if line.startswith("# ")]
            lead = [line for line in lead if not line.startswith("@")]
            if group == "task":
                lead.append(f"Chooses {', '.join(f'`{chosen}={option}`' for chosen, option in _choices(file))}.")
            parts.append(f"### `{group}={file.stem}`\n\n{' '.join(lead)}\n\n{_table(file, _prefix(file, group))}")
    return "\n".join(parts)


def _options(group: str) -> list[Path]:
    return sorted((CONF / group).glob("*.yaml"))


def _prefix(file: Path, group: str) -> str:
    """Return what stands before the keys of a file in their full names, such as "model."."""
    package = re.search(r"^# @package (\S+)", file.read_text(encoding="utf-8"), re.M)
    prefix = f"{package[1]}." if package else f"{group.replace('/', '.')}."
    return prefix.replace("_global_.", "")


def _choices(file: Path) -> list[tuple[str, Any]]:
    """Return the groups and options in the list of defaults of a file."""
    content: Any = OmegaConf.to_container(OmegaConf.load(file))
    choices = []
    for entry in content.get("defaults", ()):
        for group, option in entry.items() if isinstance(entry, dict) else ():
            choices.append((group.removeprefix("override ").lstrip("/"), option))
    return choices


def _default(group: str) -> str:
    """Return a sentence about the option of a group that a run has if the command line names none."""
    others: dict[str, list[str]] = {}
    for task in _options("task"):
        for chosen, option in _choices(task):
            if chosen == group:
                others.setdefault(option, []).append(f"`task={task.stem}`")
    parts = [f"`{option}` with {', '.join(tasks)}" for option, tasks in others.items()]
    own = dict(_choices(CONF / "config.yaml")).get(group)
    if sum(map(len, others.values())) == len(_options("task")):
        parts.append(f"`{own}` with a task of your own that chooses none")
    elif own or not parts:
        parts.insert(0, f"`{own}`" if own else "none")
    return f"Default: {'; '.join(parts)}."


def _table(file: Path, prefix: str) -> str:
    rows = [
        f"| `{key}` | {_plain(meaning)} | `{default}` | {rule} |" for key, meaning, default, rule in keys(file, prefix)
    ]
    return "\n".join(["| key | meaning | default | must be |", "| --- | --- | --- | --- |", *rows, ""]) if rows else ""


def _plain(text: str) -> str:
    """Return a text that Markdown shows as it is."""
    return re.sub(r"([_*\[\]])", r"\\\1", html.escape(text, quote=False))


def _lines(file: Path, prefix: str) -> Iterator[tuple[str, str, str, Any]]:
    """Return key, value as it is written, comment and value of each line of a YAML file that sets a key."""
    content = OmegaConf.to_container(OmegaConf.load(file))
    path: list[str] = []
    for line in file.read_text(encoding="utf-8").splitlines():
        match = KEY.match(line)
        if not match or match["key"] == "defaults":
            continue
        path[len(match["indent"]) // 2 :] = [match["key"]]
        if path[0] == "hydra":
            continue
        if path[:2] == ["task", "states"]:
            if len(path) == 2 and match["value"].strip() != "null":
                yield "task.states", "a table", match["meaning"] or "", {}
                continue
            if len(path) > 2:
                continue
        node: Any = content
        for key in path:
            node = node[key]
        if not isinstance(node, dict) or "{" in line:
            yield prefix + ".".join(path), match["value"].strip() or "null", match["meaning"] or "", node


@lru_cache
def _meanings() -> dict[str, str]:
    """Return the meaning of each key, from the first file that belongs to its group and explains it."""
    files = [(CONF / "config.yaml", "")]
    files += [(file, _prefix(file, group)) for group in GROUPS for file in _options(group)]
    own = [
        (key, comment)
        for file, prefix in files
        for key, _, comment, _ in _lines(file, prefix)
        if comment and _is_own(key, file)
    ]
    return dict(reversed(own))


def _is_own(key: str, file: Path) -> bool:
    """Whether a file of conf/ is the one that a key belongs to, not a task that sets it anew."""
    return file.parent == CONF or key.split(".")[0] in file.relative_to(CONF).parts[0]


def keys(file: Path, prefix: str) -> list[tuple[str, str, str, str]]:
    """Return key, meaning, default and rule of each value in a YAML file of conf/."""
    known = compose(["task=mnist", "model=crnn", "loss=ce"])
    rows = []
    for key, default, comment, value in _lines(file, prefix):
        example = OmegaConf.select(known, key)
        known_meaning = _meanings().get(key)
        meaning = comment if comment and _is_own(key, file) else "; ".join(filter(None, (known_meaning, comment)))
        rows.append((key, meaning, default, rule(key, value if example is None else example)))
    return rows
