"""Pages of the reference that are made from the code: commands, configuration keys."""

import html
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files
from omegaconf import OmegaConf

from rnn_tasks import __main__ as console
from rnn_tasks.config import CONF, compose
from rnn_tasks.config.values import rule

SET = "set for this option"
GROUPS = ("task", "task/augmentation", "model", "optimizer", "scheduler", "loss", "logger", "callbacks")
KEY = re.compile(r"^(?P<indent> *)(?P<key>\w+):(?P<value>[^#]*?)(?:\s+# (?P<meaning>.*))?$")


def on_files(files: Files, config: Any) -> Files:
    """Add the pages that are made from the code."""
    for name, text in (("commands", commands()), ("configuration", configuration())):
        files.append(File.generated(config, f"reference/{name}.md", content=text))
    return files


def commands() -> str:
    """Return a page with the help of each command."""
    parts = ["# Commands\n\nEach is `python -m rnn_tasks.NAME`, and `rnn-tasks NAME` where the project is installed.\n"]
    for name in console.COMMANDS:
        parts.append(f"## {name}\n\n{console.summary(name)}.\n\n```text\n{_help(name)}\n```\n")
    return "\n".join(parts)


def _help(name: str) -> str:
    words = [sys.executable, "-m", console.module(name), "--help"]
    environment = os.environ | {"COLUMNS": "100"}
    printed = subprocess.run(words, capture_output=True, text=True, check=True, env=environment).stdout
    return printed.split("\n== Values")[0].strip()


def configuration() -> str:
    """Return a page with every key of the configuration: its default, what it must be, and what it means."""
    parts = [
        "# Configuration keys\n\nEvery key of a run, as `conf/` has it. Change one with `key=value` on the command line"
        " (`model.hidden=8`), choose an option of a group with `group=option` (`model=gru`). *Default* is that of the"
        " file; a task sets some of them anew. `python -m rnn_tasks.train --cfg job` prints the result.\n\n"
        "## Of every run\n\n" + _table(CONF / "config.yaml", "")
    ]
    for group in GROUPS:
        parts.append(f"## {group}\n")
        for file in sorted((CONF / group).glob("*.yaml")):
            lead = [line[2:] for line in file.read_text(encoding="utf-8").splitlines() if line.startswith("# ")]
            lead = [line for line in lead if not line.startswith("@")]
            package = re.search(r"^# @package (\S+)", file.read_text(encoding="utf-8"), re.M)
            prefix = f"{package[1]}." if package else f"{group.replace('/', '.')}."
            table = _table(file, prefix.replace("_global_.", ""))
            parts.append(f"### `{group}={file.stem}`\n\n{' '.join(lead)}\n\n{table}")
    return "\n".join(parts)


def _table(file: Path, prefix: str) -> str:
    rows = [
        f"| `{key}` | `{default}` | {rule} | {_plain(meaning)} |" for key, default, rule, meaning in keys(file, prefix)
    ]
    return "\n".join(["| key | default | must be | meaning |", "| --- | --- | --- | --- |", *rows, ""]) if rows else ""


def _plain(text: str) -> str:
    """Return a text that Markdown shows as it is."""
    return re.sub(r"([_*\[\]])", r"\\\1", html.escape(text, quote=False))


def keys(file: Path, prefix: str) -> list[tuple[str, str, str, str]]:
    """Return key, default, rule and meaning of each value in a YAML file of conf/."""
    content, known = OmegaConf.load(file), compose(["task=mnist", "model=crnn", "loss=ce"])
    path: list[str] = []
    rows = []
    for line in file.read_text(encoding="utf-8").splitlines():
        match = KEY.match(line)
        if not match or match["key"] == "defaults":
            continue
        path[len(match["indent"]) // 2 :] = [match["key"]]
        if path[0] == "hydra":
            continue
        node = OmegaConf.to_container(content)
        for key in path:
            node = node[key]  # type: ignore[index,call-overload]
        if isinstance(node, dict) and "{" not in line:
            continue
        key = prefix + ".".join(path)
        example = OmegaConf.select(known, key)
        default, meaning = match["value"].strip() or "null", match["meaning"] or SET
        rows.append((key, default, rule(key, node if example is None else example), meaning))
    return rows
