"""No program of a commit runs, wherever it hides: with the real kustomize, and a script that leaves a mark."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from kustodian.errors import RenderError
from kustodian.render import Renderer
from kustodian.repository import Repository

from .kit import Files, program, write

HINT = "only `path: ksops` is started: a render must not run code that a commit brings along"
MAP = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: m}\n"
OURS = """\
apiVersion: viaduct.ai/v1
kind: ksops
metadata:
  name: NAME
  annotations:
    config.kubernetes.io/function: |
      exec: {path: ksops}
files: []
"""
THEIRS = """\
apiVersion: a/v1
kind: X
metadata:
  name: x
  annotations:
    config.kubernetes.io/function: |
      exec: {path: SCRIPT}
"""
ANNOTATION = "config.kubernetes.io/function"


@pytest.fixture
def render(tmp_path: Path, tool: Callable[[str], Path]) -> Callable[..., bytes]:
    """Renders `app/`, which has a generator of ours, so that plugins are on; a program that runs fails the test."""

    def run(kustomization: str, files: Files) -> bytes:
        mark = tmp_path / "it-ran"
        script = program(tmp_path / "repo" / "script.sh", f"touch '{mark}'\ncat\n")
        texts = {
            "app/kustomization.yaml": f"resources: [m.yaml, ../base]\n{kustomization}",
            "app/m.yaml": MAP,
            "app/ours.yaml": OURS.replace("NAME", "one"),
            "base/kustomization.yaml": "namePrefix: x-\n",
            **files,
        }
        changed = {name: str(text).replace("SCRIPT", str(script)) for name, text in texts.items()}
        repository = Repository.open(write(tmp_path / "repo", changed))
        try:
            return Renderer(repository, tool("kustomize")).render(repository.overlay_at(repository.root / "app"))
        finally:
            assert not mark.exists()

    return run


Render = Callable[..., bytes]
BOTH = "generators: [ours.yaml, theirs.yaml]\n"
STARTS = "app: the plugin X/x starts the program "
ANOTHER = "app: the plugin X/x is another function than ksops"


@pytest.mark.parametrize(
    ("theirs", "message"),
    [
        (THEIRS, STARTS),
        (THEIRS.replace(ANNOTATION, "config.k8s.io/function"), STARTS),
        (THEIRS.replace(ANNOTATION, f"{ANNOTATION}: ''\n    config.k8s.io/function"), STARTS),
        ("apiVersion: a/v1\nkind: X\nmetadata:\n  name: x\n  configFn:\n    exec: {path: SCRIPT}\n", STARTS),
        (f"{THEIRS}      ---\n      a: b\n", ANOTHER),
        (f"{THEIRS}      x: 2024-13-01\n", ANOTHER),
        (THEIRS.replace("exec:", "Exec:"), ANOTHER),
        (THEIRS.replace("exec: {path: SCRIPT}", "exec: {path: ksops}\n      container: {image: x}"), ANOTHER),
        (THEIRS.replace("exec: {path: SCRIPT}", "container: {image: x}"), ANOTHER),
        (THEIRS.replace("exec: {path: SCRIPT}", "starlark: {path: x.star, name: x}"), ANOTHER),
        (THEIRS.replace("exec: {path: SCRIPT}", "exec: {path: ./ksops}"), STARTS),
        (THEIRS.replace("exec: {path: SCRIPT}", "exec: {path: /usr/bin/ksops}"), STARTS),
        (THEIRS.replace("exec: {path: SCRIPT}", "exec: {}"), f"{STARTS}None"),
        (THEIRS.replace("exec: {path: SCRIPT}", "exec: SCRIPT"), f"{STARTS}None"),
        (
            "kind: X\nmetadata: {name: x, annotations: {config.kubernetes.io/container: image}}\n",
            ANOTHER,
        ),
        (
            "x: &x {annotations: {config.kubernetes.io/function: 'exec: {path: SCRIPT}'}}\n"
            "apiVersion: a/v1\nkind: X\nmetadata: {<<: *x, name: x}\n",
            STARTS,
        ),
        (f"kind: Y\nmetadata: {{name: y}}\n---\n{THEIRS}", STARTS),
        (
            "apiVersion: v1\nkind: List\nitems:\n- kind: List\n  items:\n"
            "  - {apiVersion: a/v1, kind: X, metadata: {name: x, configFn: {exec: {path: SCRIPT}}}}\n",
            STARTS,
        ),
    ],
)
@pytest.mark.parametrize("field", ["generators", "transformers", "validators"])
def test_every_way_to_name_a_program_is_known(render: Render, field: str, theirs: str, message: str) -> None:
    with pytest.raises(RenderError) as raised:
        render(
            f"generators: [ours.yaml]\n{field}: [theirs.yaml]\n".replace("]\ngenerators: [", ", "),
            {"app/theirs.yaml": theirs},
        )
    assert raised.value.message.startswith(message)
    assert raised.value.hint == HINT


@pytest.mark.parametrize(
    ("kustomization", "files"),
    [
        ("generators: [ours.yaml]\n", {"base/kustomization.yaml": "transformers: [t.yaml]\n", "base/t.yaml": THEIRS}),
        ("generators: [ours.yaml]\n", {"base/kustomization.yaml": "Transformers: [t.yaml]\n", "base/t.yaml": THEIRS}),
        (
            "generators: [ours.yaml]\n",
            {"base/kustomization.yaml": "generators: []\nGENERATORS: [t.yaml]\n", "base/t.yaml": THEIRS},
        ),
        (
            "generators: [ours.yaml]\ncomponents: [../part]\n",
            {"part/kustomization.yaml": "kind: Component\nvalidators: [t.yaml]\n", "part/t.yaml": THEIRS},
        ),
        ("generators: [ours.yaml, ../g]\n", {"g/kustomization.yaml": "resources: [t.yaml]\n", "g/t.yaml": THEIRS}),
        (
            "generators: [ours.yaml, ../base]\n",
            {"base/kustomization.yaml": "resources: [t.yaml]\n", "base/t.yaml": THEIRS},
        ),
        (
            "generators:\n- ours.yaml\n- '--- {kind: X, metadata: {name: x, configFn: {exec: {path: SCRIPT}}}}'\n",
            {},
        ),
        ("generators:\n- ours.yaml\n- |\n  kind: X\n  metadata: {name: x, configFn: {exec: {path: SCRIPT}}}\n", {}),
        (
            "generators: [ours.yaml, ../g]\n",
            {
                "g/kustomization.yaml": "resources: [t.yaml]\npatches:\n- target: {kind: X}\n  patch: |\n"
                "    - op: replace\n      path: /metadata/annotations/config.kubernetes.io~1function\n"
                "      value: 'exec: {path: SCRIPT}'\n",
                "g/t.yaml": THEIRS.replace("SCRIPT", "ksops"),
            },
        ),
    ],
    ids=["base", "case", "two cases", "component", "folder", "resource too", "one line", "inline", "patched"],
)
def test_a_program_is_found_wherever_it_is_named(render: Render, kustomization: str, files: Files) -> None:
    with pytest.raises(RenderError) as raised:
        render(kustomization, files)
    assert raised.value.message.startswith(STARTS)
    assert raised.value.hint == HINT


@pytest.mark.parametrize(
    ("kustomization", "files", "message"),
    [
        (BOTH, {"app/theirs.yaml": f"{THEIRS}spec: 2024-13-01\n"}, "app: app/theirs.yaml: not YAML: ValueError"),
        (
            "generators: [ours.yaml]\n",
            {
                "base/kustomization.yaml": "commonAnnotations: {a: 2024-13-01}\ngenerators: [t.yaml]\n",
                "base/t.yaml": THEIRS,
            },
            "app: base/kustomization.yaml: not YAML: ValueError",
        ),
        (
            "generators:\n- ours.yaml\n- |\n  kind: X\n  a: 2024-13-01\n",
            {},
            "app: app/kustomization.yaml: generators: not YAML: ValueError",
        ),
    ],
    ids=["plugin", "kustomization", "inline"],
)
def test_what_we_cannot_read_might_be_a_program(render: Render, kustomization: str, files: Files, message: str) -> None:
    with pytest.raises(RenderError) as raised:
        render(kustomization, files)
    assert (raised.value.message, raised.value.hint) == (message, HINT)


def test_a_folder_of_plugins_that_needs_plugins_is_refused(render: Render) -> None:
    files = {
        "g/kustomization.yaml": "resources: [t.yaml]\ngenerators: [u.yaml]\n",
        "g/t.yaml": OURS.replace("NAME", "two"),
        "g/u.yaml": OURS.replace("NAME", "three"),
    }
    with pytest.raises(RenderError) as raised:
        render("generators: [ours.yaml, ../g]\n", files)
    assert raised.value.message == "g: this folder of plugins can't be built without plugins"


def test_a_circle_of_plugin_folders_ends(render: Render) -> None:
    with pytest.raises(RenderError):
        render("generators: [ours.yaml, ../g]\n", {"g/kustomization.yaml": "generators: [../g, ../app]\n"})


# What is allowed


@pytest.mark.parametrize(
    ("kustomization", "files"),
    [
        ("", {}),
        ("generators: [ours.yaml]\n", {}),
        ("generators: [ours.yaml, ../g]\n", {"g/kustomization.yaml": "resources: [t.yaml]\n", "g/t.yaml": OURS}),
        (
            "generators: [ours.yaml, ../g]\n",
            {"g/kustomization.yaml": "namePrefix: a-\nresources: [t.yaml]\n", "g/t.yaml": OURS},
        ),
        (
            "generators: [ours.yaml]\ntransformers: [prefix.yaml]\n",
            {
                "app/prefix.yaml": "apiVersion: builtin\nkind: PrefixTransformer\nmetadata: {name: p}\nprefix: p-\n"
                "fieldSpecs: [{path: metadata/name}]\n"
            },
        ),
        (
            "generators: [ours.yaml]\n",
            {"app/ours.yaml": "apiVersion: viaduct.ai/v1\nkind: ksops\nmetadata: {name: s}\nfiles: []\n"},
        ),
    ],
    ids=["none", "ours", "folder", "changed folder", "builtin", "legacy"],
)
def test_our_generator_and_kustomizes_own_plugins_run(render: Render, kustomization: str, files: Files) -> None:
    assert b"kind: ConfigMap" in render(kustomization, files)


def test_where_nothing_is_ours_plugins_stay_off(tmp_path: Path, tool: Callable[[str], Path]) -> None:
    """A plugin that is no function and not ours is kustomize's to refuse."""
    files = {
        "app/kustomization.yaml": "resources: [m.yaml]\ngenerators: [t.yaml]\n",
        "app/m.yaml": MAP,
        "app/t.yaml": "apiVersion: a/v1\nkind: X\nmetadata: {name: x}\n",
    }
    repository = Repository.open(write(tmp_path, files))
    with pytest.raises(RenderError) as raised:
        Renderer(repository, tool("kustomize")).render(repository.overlay_at(tmp_path / "app"))
    assert "external plugins disabled" in raised.value.message
