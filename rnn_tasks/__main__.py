"""All commands as one: ``rnn-tasks train task=adder``, or ``python -m rnn_tasks train task=adder``."""

import ast
import sys
from importlib import import_module
from pathlib import Path

from rnn_tasks.arguments import command, program
from rnn_tasks.errors import UserError

COMMANDS = (
    "train",
    "sweep",
    "evaluate",
    "compare",
    "look",
    "predict",
    "export",
    "show",
    "draw",
    "new",
    "reproduce",
    "report",
)

# Completes names of commands, and after `train` what Hydra completes.
BASH_COMPLETION = """\
rnn_tasks_completion()
{{
    local choices word="${{COMP_WORDS[COMP_CWORD]}}"
    if [ "$COMP_CWORD" -eq 1 ]; then
        COMPREPLY=($(compgen -W "{commands}" -- "$word"))
    elif [ "${{COMP_WORDS[1]}}" = train ]; then
        choices=$(COMP_LINE="rnn-train${{COMP_LINE#*train}}" rnn-tasks train -sc query=bash 2>/dev/null)
        COMPREPLY=($(compgen -o default -W "$choices" -- "$word"))
        compopt -o nospace 2>/dev/null
    fi
}}
COMP_WORDBREAKS=${{COMP_WORDBREAKS//=}}
complete -o default -F rnn_tasks_completion rnn-tasks"""


def module(name: str) -> str:
    """Return the module of a command."""
    return f"rnn_tasks.{name}" + (".__main__" if (Path(__file__).parent / name).is_dir() else "")


def summary(name: str) -> str:
    """Return the first sentence of a command's docstring, read without importing the module and so without torch."""
    path = Path(__file__).parent.joinpath(*module(name).split(".")[1:]).with_suffix(".py")
    doc = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    return doc.splitlines()[0].partition(": ``")[0].rstrip(".")


def usage() -> str:
    """Return the commands with a line each."""
    lines = [f"usage: {program()} COMMAND ...", "", *(f"  {name:<12}{summary(name)}" for name in COMMANDS), ""]
    return "\n".join([*lines, f"{program()} COMMAND --help tells more."])


@command
def main() -> None:
    """Run the command that the first argument names; list all commands where there is none."""
    name, *rest = sys.argv[1:] or ["--help"]
    if name in ("-h", "--help"):
        print(usage())
    elif [name, *rest] in (["-sc", "install=bash"], ["--shell-completion", "install=bash"]):
        print(BASH_COMPLETION.format(commands=" ".join(COMMANDS)))
    elif name in COMMANDS:
        sys.argv = [f"{program()} {name}", *rest]
        import_module(module(name)).main()
    else:
        raise UserError(f"{name}: no such command; there are {', '.join(COMMANDS)}")


if __name__ == "__main__":
    main()
