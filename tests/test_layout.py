"""The house of the repository: which file may import what. Read FLOORS; the rest enforces it."""

import ast
import graphlib
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
FLOORS = {  # folder or file: what it may import besides the standard library and, relatively, itself
    "Models": {"Files", "Options", "keras", "numpy", "pydantic"},
    "Input": {"Files", "Options", "av", "fsspec", "numpy", "pydantic", "soundfile", "soxr"},
    "Learning": {"Files", "Options", "keras", "numpy", "pydantic", "tensorboardX"},
    "Metrics": {"Files", "jinja2", "matplotlib", "numpy", "pandas", "scipy", "sklearn"},
    "Config.py": {"Input", "Learning", "Models", "Options", "pydantic"},
    "Actions": {"Actions", "Claims", "Config", "Files", "Options", "Runs", "Utils"}
    | {"Input", "Learning", "Metrics", "Models"}
    | {"keras", "matplotlib", "mido", "numpy", "pandas", "pydantic", "scipy", "soundfile", "soxr"},
    "Experiment.py": {"Claims", "Config", "Files", "Options", "Runs", "sacred"},
    "Claims.py": {"Config", "Files", "Options", "Runs", "Utils"},
    "Runs.py": {"Files"},
    "Options.py": {"Files", "pydantic"},
    "Files.py": set(),
    "Utils.py": {"numpy", "tqdm"},
}
ROOMS = {  # what a single module may import beyond its floor: tf.data, and what runs inside the training step
    "Input/pipeline.py": {"tensorflow"},
    "Input/pretraining/pipeline.py": {"tensorflow"},
    "Input/device.py": {"keras"},
    "Learning/devices.py": {"jax"},
    "Input/workers.py": {"distributed", "joblib"},
}
SHARED = {
    "Actions",
    "Claims",
    "Config",
    "Experiment",
    "Files",
    "Options",
    "Runs",
    "Utils",
    "Models",
    "Input",
    "Learning",
    "Metrics",
}  # a script imports these, and no other script
PYPI_NAMES = {"sklearn": "scikit-learn", "tensorflow": "tensorflow-cpu"}
OPTIONAL = {"distributed", "jax"}  # an extra of pyproject.toml
NEVER_IMPORTED = {"setuptools", "tensorboard"}  # sacred needs the one, people the other


def sources(root: Path, floor: str) -> list[Path]:
    return sorted((root / floor).rglob("*.py")) if not floor.endswith(".py") else [root / floor]


def scripts(root: Path) -> list[Path]:
    return [path for path in sorted(root.glob("*.py")) if path.name not in FLOORS]


def imports(path: Path) -> Iterator[tuple[int, str]]:
    """Level (0 absolute, 1 the own folder, 2 the one above) and dotted name of each import, wherever in the file."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from ((0, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = f"{node.module}." if node.module else ""
            yield from ((node.level, base + alias.name) for alias in node.names)


def top(name: str) -> str:
    return name.partition(".")[0]


def wrong_imports(root: Path) -> Iterator[str]:
    for floor, libraries in FLOORS.items():
        for path in sources(root, floor):
            where = path.relative_to(root).as_posix()
            allowed = libraries | ROOMS.get(where, set()) | set(sys.stdlib_module_names)
            depth = len(path.relative_to(root).parts) - 1
            for level, name in imports(path):
                if level > depth or (level == 0 and top(name) not in allowed):
                    yield f"{where} imports {'.' * level}{name}"
    rooms = {path.stem for path in scripts(root)}
    for path in scripts(root):
        yield from (f"{path.name} imports the script {name}" for _, name in imports(path) if top(name) in rooms)


def circles(root: Path) -> Iterator[str]:
    for floor in FLOORS:
        graph = {path: set(_relatives(path)) - {path} for path in sources(root, floor)}
        try:
            graphlib.TopologicalSorter(graph).prepare()
        except graphlib.CycleError as error:
            yield " -> ".join(path.relative_to(root).as_posix() for path in error.args[1])


def _relatives(path: Path) -> Iterator[Path]:
    """The files that a module's relative imports lead to."""
    for level, name in imports(path):
        if level:
            folder = path.parents[level - 1]
            tried = [folder.joinpath(*name.split(".")[:n]) for n in range(name.count(".") + 1, 0, -1)]
            files = [file for stem in tried for file in (stem.with_suffix(".py"), stem / "__init__.py")]
            yield from [file for file in (*files, folder / "__init__.py") if file.is_file()][:1]


def undocumented(root: Path) -> Iterator[str]:
    for path in [path for floor in FLOORS for path in sources(root, floor)]:
        tree = ast.parse(path.read_text())
        nodes = [node for node in tree.body if isinstance(node, (ast.FunctionDef, ast.ClassDef))]
        public = [node for node in nodes if not node.name.startswith("_")]
        for node in (tree, *public):
            if not ast.get_docstring(node):
                yield f"{path.relative_to(root).as_posix()} {getattr(node, 'name', '')}".strip()


def declared(root: Path) -> set[str]:
    lines = (root / "requirements.txt").read_text().splitlines()
    return {re.match(r"[\w-]+", line).group() for line in lines if re.match(r"[\w-]", line)}  # type: ignore[union-attr]


def imported(root: Path) -> set[str]:
    """Third-party packages that the product imports."""
    files = [*scripts(root), *(path for floor in FLOORS for path in sources(root, floor))]
    names = {top(name) for path in files for level, name in imports(path) if not level}
    return names - set(sys.stdlib_module_names) - SHARED


def test_floors_import_only_what_stands_below_them():
    assert list(wrong_imports(ROOT)) == []


def test_no_circles_inside_a_folder():
    assert list(circles(ROOT)) == []


def test_public_names_have_docstrings():
    assert list(undocumented(ROOT)) == []


def test_requirements_are_what_is_imported():
    names = {PYPI_NAMES.get(name, name) for name in imported(ROOT)}
    assert names - OPTIONAL <= declared(ROOT)
    assert declared(ROOT) - names - {"tensorflow"} == NEVER_IMPORTED


@pytest.fixture
def house(tmp_path):
    """A small tree without a fault."""
    write(tmp_path, "Models/__init__.py", '"""M."""\nfrom .layers import Up\n')
    write(tmp_path, "Models/layers.py", '"""L."""\nimport math\nimport keras\n\nclass Up:\n    """U."""\n')
    write(tmp_path, "Input/__init__.py", '"""I."""\n')
    write(tmp_path, "Input/pipeline.py", '"""P."""\nimport tensorflow as tf\n')
    write(tmp_path, "Input/readers/__init__.py", '"""S."""\nfrom ..pipeline import tf\n')
    write(tmp_path, "Metrics/__init__.py", '"""M."""\nimport numpy.linalg\n')
    write(tmp_path, "Config.py", '"""C."""\nimport pydantic\n')
    write(tmp_path, "Experiment.py", '"""E."""\nimport sacred\nimport Config\n')
    write(tmp_path, "Actions/__init__.py", '"""A."""\n')
    write(tmp_path, "Actions/task.py", '"""T."""\nimport Config\nfrom Learning.devices import Devices\n')
    write(tmp_path, "Files.py", '"""F."""\n')
    write(tmp_path, "Options.py", '"""O."""\nimport pydantic\n')
    write(tmp_path, "Claims.py", '"""C."""\nimport Runs\nimport Utils\n')
    write(tmp_path, "Runs.py", '"""R."""\nimport Files\n')
    write(tmp_path, "Utils.py", '"""U."""\n')
    write(tmp_path, "Training.py", "import keras\nimport Config\nfrom Models import Up\n")
    write(tmp_path, "Test.py", "import Utils\n")
    return tmp_path


def write(root, name, text):
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_the_checks_pass_a_sound_house(house):
    assert [*wrong_imports(house), *circles(house), *undocumented(house)] == []


@pytest.mark.parametrize(
    ("file", "line"),
    [
        ("Models/layers.py", "import tensorflow as tf"),
        ("Models/layers.py", "def f():\n    import jax.numpy as jnp"),
        ("Models/layers.py", "from Input import pipeline"),
        ("Models/layers.py", "from Models.layers import Up"),
        ("Models/layers.py", "from .. import Options"),
        ("Input/__init__.py", "import tensorflow"),
        ("Input/readers/__init__.py", "from ...Utils import progress"),
        ("Metrics/__init__.py", "import keras"),
        ("Metrics/__init__.py", "import sacred"),
        ("Config.py", "import Utils"),
        ("Config.py", "import sacred"),
        ("Experiment.py", "import keras"),
        ("Actions/task.py", "import sacred"),
        ("Actions/task.py", "from Training import train"),
        ("Files.py", "import Utils"),
        ("Options.py", "from Models.options import LOSSES"),
        ("Claims.py", "import sacred"),
        ("Runs.py", "import Config"),
        ("Utils.py", "import sacred"),
        ("Test.py", "from Training import train"),
    ],
)
def test_a_wrong_import_is_found(house, file, line):
    write(house, file, (house / file).read_text() + line)
    [found] = wrong_imports(house)
    assert found.startswith(file)


@pytest.mark.parametrize("line", ["from . import blocks", "from .blocks import Down", "from . import Up"])
def test_a_circle_is_found(house, line):
    write(house, "Models/blocks.py", '"""B."""\nfrom . import layers\n')
    write(house, "Models/layers.py", f'"""L."""\n{line}\n')
    [found] = circles(house)
    assert "Models/layers.py" in found


@pytest.mark.parametrize("text", ["", '"""L."""\ndef up(): ...\n', '"""L."""\nclass Up: ...\n'])
def test_a_missing_docstring_is_found(house, text):
    write(house, "Models/layers.py", text)
    [found] = undocumented(house)
    assert found.startswith("Models/layers.py")


def test_a_wheel_holds_the_command_the_scripts_the_floors_and_the_presets_and_nothing_else():
    built = subprocess.run([sys.executable, "-c", OUTPUTS], cwd=ROOT, capture_output=True, text=True, check=True)
    folders = ["Presets", *(folder for folder in FLOORS if not folder.endswith(".py"))]
    below = [path.relative_to(ROOT) for folder in folders for path in (ROOT / folder).rglob("*") if path.is_file()]
    files = [*below, *(path.relative_to(ROOT) for path in ROOT.glob("*.py"))]
    expected = [f"vimss/home/{path.as_posix()}" for path in files if "__pycache__" not in path.parts]
    expected += ["vimss/__init__.py", "vimss/__main__.py"]
    found = [os.path.normpath(line) for line in built.stdout.splitlines()]
    assert sorted(found) == sorted(expected)


OUTPUTS = """
from setuptools import Distribution
distribution = Distribution({"script_name": "setup.py"})
distribution.parse_config_files()
build = distribution.get_command_obj("build_py")
build.build_lib = "."
build.ensure_finalized()
print(*build.get_outputs(include_bytecode=False), sep="\\n")
"""
