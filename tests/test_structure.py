"""The structure of the package, read from its imports: folders import in one direction, files in no circle."""

import ast
import re
import sys
from graphlib import CycleError, TopologicalSorter
from importlib import metadata
from pathlib import Path

import pytest
from helpers import REPOSITORY

PACKAGE = "rnn_tasks"
SMALL_MODULES = ("errors", "seeds", "files", "arguments", "checks", "internals", "memory")
# From top to bottom: a file imports from its own layer's folder and from the layers below. Folders that share a layer
# know nothing of each other. All other files at the root are commands.
LAYERS = [
    ["commands"],
    ["report"],
    ["page"],
    ["runs"],
    ["stack"],
    ["training"],
    ["models", "tasks"],
    ["photos"],
    ["config"],
    ["small modules"],
]
HEIGHT = {folder: -number for number, layer in enumerate(LAYERS) for folder in layer}
TEXT = (".py", ".yaml", ".yml", ".toml", ".md", ".html", ".j2", ".js", ".css", ".cpp", ".json")
HOME = re.compile(r"(?<![\w.])/(?:home|Users|root|work|workspace)/\w|C:\\Users", re.IGNORECASE)


def read_modules(directory):
    """The syntax tree of each module of the package, by its dotted name."""
    files = sorted((directory / PACKAGE).rglob("*.py"))
    names = [".".join(file.relative_to(directory).with_suffix("").parts) for file in files]
    return {
        name.removesuffix(".__init__"): ast.parse(file.read_text(encoding="utf-8"))
        for name, file in zip(names, files, strict=True)
    }


def imports_of(tree, modules):
    """The modules of the package that a file imports, also inside functions and for type hints alone."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in modules)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, "relative imports are not read here"
            members = {f"{node.module}.{alias.name}" for alias in node.names}
            yield from members & modules.keys()
            if node.module in modules and not members <= modules.keys():
                yield node.module


def graph(directory):
    """The modules that each module imports."""
    modules = read_modules(directory)
    return {name: set(imports_of(tree, modules)) for name, tree in modules.items()}


def folder(module):
    """The folder of a module, for the layers."""
    top = module.split(".")[1] if "." in module else PACKAGE
    if top in (PACKAGE, *SMALL_MODULES):
        return "small modules"
    return top if top in HEIGHT and not module.endswith("__main__") else "commands"


def upward_imports(imports):
    """Imports that lead up, or aside to another folder of the same layer, as "importer -> imported"."""
    return [
        f"{importer} -> {imported}"
        for importer, targets in imports.items()
        for imported in sorted(targets)
        if folder(imported) != folder(importer) and HEIGHT[folder(imported)] >= HEIGHT[folder(importer)]
    ]


def circle(imports):
    """The files of one circle of imports, or nothing."""
    try:
        TopologicalSorter(imports).prepare()
    except CycleError as error:
        return error.args[1]
    return []


@pytest.fixture(scope="module")
def imports():
    return graph(REPOSITORY)


def test_every_folder_has_a_layer():
    folders = {file.parent.name for file in (REPOSITORY / PACKAGE).glob("*/*.py")}
    assert folders == HEIGHT.keys() - {"commands", "small modules"}


def test_no_import_points_up(imports):
    assert upward_imports(imports) == []


def test_files_import_each_other_in_no_circle(imports):
    assert circle(imports) == []


@pytest.mark.parametrize(
    ("file", "text", "upward", "circular"),
    [
        ("models/cells.py", "from rnn_tasks.tasks import adder", True, False),
        ("training/losses.py", "def later():\n    from rnn_tasks import train", True, True),
        ("seeds.py", "import rnn_tasks.tasks.adder", True, True),
        ("training/losses.py", "from rnn_tasks.training.learner import Learner", False, True),
        ("training/losses.py", "from rnn_tasks.tasks.adder import Adder", False, False),
        ("training/losses.py", "if TYPE_CHECKING:\n    from rnn_tasks.train import train", True, True),
    ],
)
def test_an_import_in_the_wrong_direction_is_noticed(tmp_path, file, text, upward, circular):
    files = {
        "train.py": "from rnn_tasks.training import learner",
        "training/learner.py": "from rnn_tasks.training.losses import mse",
        "training/losses.py": "",
        "tasks/adder.py": "import rnn_tasks.seeds",
        "models/cells.py": "",
        "seeds.py": "import torch",
        file: text,
    }
    for name, content in files.items():
        (tmp_path / PACKAGE / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / PACKAGE / name).write_text(content, encoding="utf-8")
    imports = graph(tmp_path)
    assert len(imports) == 6
    assert bool(upward_imports(imports)) is upward
    assert bool(circle(imports)) is circular


def test_no_module_is_named_like_a_dependency(imports):
    requirements = metadata.requires("rnn-tasks") or []
    direct = {re.split(r"[^\w-]", requirement)[0] for requirement in requirements}
    names = {name for name, sources in metadata.packages_distributions().items() if direct & set(sources)}
    assert {"torch", "tensorboard", "sklearn"} <= names
    parts = {part for module in imports for part in module.split(".")[1:]} - {"__main__"}
    assert parts & (names | sys.stdlib_module_names) == set()


def test_the_private_parts_of_libraries_are_imported_in_one_module():
    for name, tree in read_modules(REPOSITORY).items():
        if name != f"{PACKAGE}.internals":
            modules = [node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
            modules += [alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names]
            private = [module for module in modules if "._" in module and "__future__" not in module]
            assert private == [], f"{name}: to rnn_tasks/internals.py"


def text_files():
    directories = ("rnn_tasks", "conf", "tests", "benchmarks", "docs", ".github")
    files = [file for directory in directories for file in (REPOSITORY / directory).rglob("*")]
    return [file for file in [*files, *REPOSITORY.glob("*")] if file.suffix in TEXT or file.name == "Makefile"]


def test_no_file_names_a_path_of_the_machine_it_was_written_on():
    assert Path(__file__) in text_files()
    lines = {
        f"{file.relative_to(REPOSITORY)}: {line.strip()}"
        for file in text_files()
        for line in file.read_text(encoding="utf-8").splitlines()
        if HOME.search(line)
    }
    assert lines == set()
    assert all(HOME.search(path) for path in ("see /" + "home/ann/x", "'/" + "work/main'", "C:" + "\\Users\\ann"))
