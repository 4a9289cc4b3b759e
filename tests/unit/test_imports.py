"""The direction of imports: leaves know nothing above them, stages not each other, and only the edge knows Invoke."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from .kit import python

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "scripts" / "kustodian"
MODULES = {
    ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__"): path
    for path in sorted(PACKAGE.rglob("*.py"))
}
STAGES = ("build", "validate", "doctor", "clean")


def imports(path: Path, *, when_checking_types: bool = False) -> Iterator[str]:
    """The modules that a file names in its imports, those inside functions included."""
    tree = ast.parse(path.read_text("utf-8"))
    skipped: set[ast.AST] = set()
    for node in ast.walk(tree):
        if not when_checking_types and isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            skipped.update(child for statement in node.body for child in ast.walk(statement))
    for node in ast.walk(tree):
        if node in skipped:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            assert node.module is not None
            for alias in node.names:
                below = f"{node.module}.{alias.name}"
                yield below if below in MODULES else node.module


def ours(module: str, *, when_checking_types: bool = False) -> set[str]:
    found = imports(MODULES[module], when_checking_types=when_checking_types)
    return {name for name in found if name.split(".")[0] == "kustodian"}


@pytest.mark.parametrize(
    ("module", "allowed"),
    [
        ("kustodian.errors", set()),
        ("kustodian.finding", set()),
        ("kustodian.resource", set()),
        ("kustodian.kustomization", set()),
        ("kustodian.files", {"kustodian.errors"}),
        ("kustodian.process", {"kustodian.errors"}),
        ("kustodian.settings", {"kustodian.errors"}),
        ("kustodian.pool", {"kustodian", "kustodian.errors", "kustodian.process"}),
        ("kustodian.toolchain.pins", set()),
        (
            "kustodian.repository",
            {"kustodian", "kustodian.errors", "kustodian.kustomization", "kustodian.settings"},
        ),
    ],
)
def test_a_leaf_knows_nothing_above_it(module: str, allowed: set[str]) -> None:
    assert ours(module, when_checking_types=True) <= allowed


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_does_not_import_another(stage: str) -> None:
    others = {f"kustodian.{other}" for other in STAGES if other != stage}
    members = [name for name in MODULES if name == f"kustodian.{stage}" or name.startswith(f"kustodian.{stage}.")]
    assert members
    for member in members:
        named = {name for name in ours(member) for other in others if name == other or name.startswith(f"{other}.")}
        assert named == set(), member


@pytest.mark.parametrize("module", MODULES)
def test_only_the_edge_knows_the_tasks_the_reports_and_invoke(module: str) -> None:
    edge = {name for name in MODULES if name == "kustodian.__main__" or f"{name}.".startswith("kustodian.tasks.")}
    named = set(imports(MODULES[module]))
    if module not in edge:
        assert not {name for name in named if name.split(".")[0] == "invoke"}
        assert not named & edge
        assert not {name for name in named if name.startswith("kustodian.report") and not module.startswith(name[:16])}


def below(*packages: str) -> list[str]:
    """The modules of some packages."""
    return [name for name in MODULES for package in packages if f"{name}.".startswith(f"kustodian.{package}.")]


@pytest.mark.parametrize(
    ("package", "unknown"),
    [
        # What speaks to Argo CD knows nothing of what is delivered by it.
        ("argocd", ("cluster", "delivery", *STAGES)),
        # A delivery is rendered and validated before; nobody in it asks how a trial cluster is made.
        ("delivery", ("cluster", "build", "doctor", "clean")),
        # A trial cluster is like any that somebody else set up: it knows none of its clients.
        ("cluster", ("argocd", "delivery", *STAGES)),
        ("git", ("argocd", "cluster", "delivery", *STAGES)),
        ("render", ("argocd", "cluster", "delivery", *STAGES)),
        ("toolchain", ("argocd", "cluster", "delivery", "repository", *STAGES)),
        ("validate", ("cluster", "delivery")),
    ],
)
def test_a_package_does_not_know_who_uses_it(package: str, unknown: tuple[str, ...]) -> None:
    # Whether a trial cluster is up, and where, may be asked by everybody.
    above = set(below(*unknown)) - {"kustodian.cluster.state"}
    assert above
    for member in below(package):
        assert not ours(member, when_checking_types=True) & above, member


@pytest.mark.parametrize("module", ["application", "cli", "paths", "wait"])
def test_what_only_computes_speaks_to_nobody(module: str) -> None:
    named = set(imports(MODULES[f"kustodian.argocd.{module}"], when_checking_types=True))
    assert not named & {"httpx", "kustodian.process", "kustodian.argocd.client", "kustodian.argocd.session"}


def test_the_state_of_a_cluster_is_read_without_what_makes_one() -> None:
    assert ours("kustodian.cluster.state") == {"kustodian.toolchain"}


def test_only_one_module_starts_programs() -> None:
    """Argument lists, time limits and process groups in one place."""
    starters = {name for name, path in MODULES.items() if "subprocess" in set(imports(path))}
    assert starters == {"kustodian.process"}
    for name, path in MODULES.items():
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "os":
                assert node.attr not in ("system", "popen", "execv", "execvp", "spawnv", "fork"), name


def test_yaml_is_read_by_the_c_loader_only() -> None:
    for name, path in MODULES.items():
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "yaml":
                assert node.attr not in ("safe_load", "safe_load_all", "SafeLoader", "FullLoader", "Loader"), name


def test_the_imports_make_no_circle_when_they_run() -> None:
    """Each module can be the first that a process imports."""
    names = [name for name in MODULES if not name.endswith("__main__")]
    done = python(
        """
        import importlib, sys
        for name in sys.argv[1:]:
            for loaded in [module for module in sys.modules if module.split(".")[0] == "kustodian"]:
                del sys.modules[loaded]
            importlib.import_module(name)
        print("all")
        """,
        *names,
    )
    assert (done.stdout, done.stderr) == ("all\n", "")


def test_the_library_knows_nothing_of_the_showcase() -> None:
    """kustodian works on any repository; the application that it is delivered with is one of many."""
    for path in sorted((ROOT / "scripts").rglob("*")):
        if path.is_file() and "__pycache__" not in path.parts:
            assert b"flowlet" not in path.read_bytes().lower(), path
            assert "flowlet" not in path.name.lower()


def loaded_by(module: str) -> set[str]:
    done = python("import importlib, sys; importlib.import_module(sys.argv[1]); print(*sys.modules)", module)
    assert done.stderr == ""
    return set(done.stdout.split())


HEAVY = {
    "yaml",
    "httpx",
    "jsonschema",
    "referencing",
    "rich",
    "kubernetes_validate",
    "filelock",
    "platformdirs",
    "trustme",
}


def test_the_tasks_start_fast_because_they_import_little() -> None:
    found = loaded_by("kustodian.tasks")
    # Invoke itself reads its configuration with PyYAML and starts programs.
    assert (found - loaded_by("invoke")) & (HEAVY | {"subprocess", "concurrent.futures", "tempfile"}) == set()
    assert {name for name in found if name.startswith("kustodian")} == {
        "kustodian",
        "kustodian.errors",
        *(name for name in MODULES if f"{name}.".startswith("kustodian.tasks.")),
    }


def test_a_module_imports_what_is_heavy_only_when_it_is_used() -> None:
    done = python(
        "import importlib, sys\nfor name in sys.argv[1:]:\n    importlib.import_module(name)\nprint(*sys.modules)",
        *(name for name in MODULES if not f"{name}.".startswith(("kustodian.__main__.", "kustodian.tasks."))),
    )
    assert done.stderr == ""
    assert set(done.stdout.split()) & HEAVY == set()


def test_the_secrets_generator_imports_little() -> None:
    # kustomize starts it once for each generator of each overlay.
    found = loaded_by("kustodian.secrets.generator")
    assert {name for name in found if name.startswith("kustodian")} == {
        "kustodian",
        "kustodian.secrets",
        "kustodian.secrets.generator",
    }
    found = loaded_by("kustodian.secrets.ksops")
    assert found & (HEAVY | {"subprocess", "asyncio", "concurrent.futures", "tempfile", "invoke"}) == set()
