"""The documentation says what is true: every task, option, key and field is described, and every example prints what
the page says.

An example is a fenced block `console`: lines that start with `$ ` are commands, what follows is their output, both
streams as a terminal shows them. `…` stands for anything up to the end of the line, and alone on a line for any number
of lines. The commands of a page run in order, in a copy of this repository.
"""

from __future__ import annotations

import io
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from typing import Any, TextIO

import pytest
from kustodian import settings, toolchain
from kustodian.build import Outcome
from kustodian.delivery.drift import Difference, Drift, Kind
from kustodian.delivery.fields import Change
from kustodian.delivery.history import History, Sync
from kustodian.delivery.status import Row
from kustodian.errors import KustodianError
from kustodian.finding import Finding
from kustodian.git import Commit
from kustodian.report import delivery_json
from kustodian.report import json as json_report
from kustodian.repository import Overlay
from kustodian.resource import ResourceId
from kustodian.tasks import collection
from kustodian.toolchain.pins import PINS
from kustodian.validate import CONFIG, SCHEMA, Checked, Report
from kustodian.validate.argocd import ARGOCD
from kustodian.validate.tree import ENCRYPTED, PLAIN_SECRET

from .conftest import ROOT

LISTED = subprocess.run(
    ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], cwd=ROOT, check=True, capture_output=True
)
FILES = [name for name in LISTED.stdout.decode().split("\0") if name and (ROOT / name).is_file()]
PAGES = sorted(name for name in FILES if name.endswith(".md"))

NOT_RUN = ("pip install ", "uv run pytest")
"""The start of commands that an example shows and no test runs."""


def page(name: str) -> str:
    return (ROOT / name).read_text("utf-8")


def without_blocks(text: str) -> str:
    return re.sub(r"^ *```.*?^ *```$", "", text, flags=re.M | re.S)


# What is described


@pytest.mark.parametrize("task", collection().task_names)
def test_every_task_and_every_option_is_described(task: str) -> None:
    text = "\n".join(page(name) for name in PAGES if name == "README.md" or name.startswith("docs/"))
    assert re.search(rf"(invoke|kustodian( --repo DIR)?) {task}\b", text), f"no page shows `invoke {task}`"
    (context,) = (context for context in collection().to_contexts() if context.name == task)
    # What stands without its name (`cluster up`) has an option of that name, too, which nobody needs to know.
    missing = [flag for flag, argument in context.flags.items() if not argument.positional and flag not in text]
    assert not missing


@pytest.mark.parametrize("key", [*settings._KEYS, *settings._ARGOCD, *settings._CLUSTER])
def test_every_key_of_the_settings_is_described(key: str) -> None:
    assert f"\n| `{key}` |" in page("docs/repository-of-your-own.md")


def test_every_field_of_the_build_summary_is_described() -> None:
    failed = Outcome(Overlay("a", ROOT), 0.0, error=KustodianError(""))
    stream = io.StringIO()
    json_report.built([failed], 0.0, stream)
    assert_described(json.loads(stream.getvalue()), "docs/build.md")


def test_every_field_of_the_validation_report_is_described() -> None:
    report = Report((Checked(Overlay("a", ROOT), 0.0, findings=(Finding("rule", "message"),)),))
    stream = io.StringIO()
    json_report.validated(report, 0.0, stream)
    assert_described(json.loads(stream.getvalue()), "docs/validate.md")


def test_every_field_of_the_deliveries_is_described() -> None:
    commit = Commit("", "", "", "", "")
    change = Difference(ResourceId("", "", ""), Kind.CHANGED, (Change("", 1, 2),))
    printers: list[Callable[[TextIO], None]] = [
        lambda stream: delivery_json.status([Row("")], "", stream),
        lambda stream: delivery_json.history(History("", "", (Sync(0, "", "", "", commit),)), stream),
        lambda stream: delivery_json.drift(Drift("", "", "", 1, (change,)), stream),
    ]
    for printer in printers:
        stream = io.StringIO()
        printer(stream)
        assert_described(json.loads(stream.getvalue()), "docs/delivery.md")


def assert_described(document: Any, name: str) -> None:
    cells = "".join(line.split("|")[1] for line in page(name).splitlines() if line.startswith("| `"))
    missing = [key for key in keys(document) if f"`{key}`" not in cells]
    assert not missing


def keys(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        yield from value
        value = list(value.values())
    if isinstance(value, list):
        for item in value:
            yield from keys(item)


def test_every_rule_is_described() -> None:
    for rule in (SCHEMA, CONFIG, ENCRYPTED, PLAIN_SECRET, ARGOCD):
        assert f"\n| `{rule}` |" in page("docs/validate.md")


def test_every_program_and_variable_is_described() -> None:
    text = page("docs/troubleshooting.md")
    for name in (*PINS, f"`{toolchain.CACHE}`", f"`{toolchain.NO_BUILD}`", "`NO_COLOR`", "`GOPROXY`"):
        assert name in text


def test_the_pinned_kustomize_is_the_one_that_is_named() -> None:
    assert f"({PINS['kustomize'].version}," in page("docs/build.md")


# Links


def slug(heading: str) -> str:
    """The anchor that a heading gets on GitHub."""
    plain = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading)
    return re.sub(r"[^\w\- ]", "", plain.lower()).replace(" ", "-")


def anchors(path: Path) -> set[str]:
    return {slug(found) for found in re.findall(r"^#+ (.+)$", without_blocks(path.read_text("utf-8")), re.M)}


@pytest.mark.parametrize("name", PAGES)
def test_links_lead_somewhere(name: str) -> None:
    wrong = []
    for link in re.findall(r"\]\(([^)\s]+)\)", without_blocks(page(name))):
        if "://" in link:
            continue
        path, _hash, anchor = link.partition("#")
        target = (ROOT / name).parent / path if path else ROOT / name
        inside = target.resolve().is_relative_to(ROOT)
        if not (inside and target.exists()) or (anchor and anchor not in anchors(target)):
            wrong.append(link)
    assert not wrong


def test_every_page_is_linked_from_its_index_and_from_the_readme() -> None:
    missing = []
    for name in PAGES:
        folder, _slash, file = name.rpartition("/")
        if folder in ("docs", "docs/decisions") and file != "README.md":
            missing += [] if f"]({file})" in page(f"{folder}/README.md") else [f"{folder}/README.md: {file}"]
            missing += [] if folder != "docs" or f"]({name})" in page("README.md") else [f"README.md: {name}"]
    assert not missing


@pytest.mark.parametrize("name", PAGES)
def test_paths_that_are_named_exist(name: str) -> None:
    """Paths in backquotes that begin with a folder of the repository; `<env>` stands for each environment."""
    wrong = []
    folders = r"argocd|base|cluster-config|components|overlays|scripts|tests|docs|\.ci|\.github"
    for path in re.findall(rf"`((?:{folders})/[^`\s]*)`", page(name)):
        if re.search(r"example|canary|<name>|<behaviour>|<area>|…|/dev/", path):
            continue
        for environment in ("development", "staging", "production"):
            plain = path.replace("<env>", environment)
            if not any(ROOT.glob(plain.rstrip("/"))):
                wrong.append(plain)
    assert not wrong


# Examples


@dataclass(frozen=True)
class Example:
    line: int
    """Of the command in the page."""
    command: str
    want: list[str]


def examples(name: str) -> Iterator[Example]:
    lines = iter(enumerate(page(name).splitlines(), 1))
    for _number, line in lines:
        if line.strip() != "```console":
            continue
        block = list(takewhile(lambda numbered: numbered[1].strip() != "```", lines))
        starts = [place for place, (_number, text) in enumerate(block) if text.startswith("$ ")]
        assert starts, f"{name}: a console block without a command"
        for start, end in zip(starts, [*starts[1:], len(block)], strict=True):
            yield Example(block[start][0], block[start][1][2:], [text for _number, text in block[start + 1 : end]])


WITH_EXAMPLES = [name for name in PAGES if any(examples(name))]


def test_there_are_examples() -> None:
    assert {"README.md", "docs/build.md", "docs/validate.md", "docs/secrets.md"} <= set(WITH_EXAMPLES)


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """This repository as it is now, under git, in another place."""
    root = tmp_path / "flowlet"
    for name in FILES:
        target = root / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, target)
    for command in (["init", "--quiet"], ["add", "--all", "--force"], ["commit", "--quiet", "--message", "a copy"]):
        subprocess.run(["git", *command], cwd=root, check=True)
    return root


@pytest.mark.parametrize("name", WITH_EXAMPLES)
def test_examples_print_what_the_page_says(name: str, copy: Path) -> None:
    programs = Path(sys.executable).parent
    environment = {**os.environ, "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}"}
    for example in examples(name):
        if example.command.startswith(NOT_RUN):
            continue
        done = subprocess.run(
            ["/bin/sh", "-c", re.sub(r"\buv run ", "", example.command)],
            cwd=copy,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=120,
            check=False,
        )
        got = done.stdout.decode()
        shown = f"{name}:{example.line}: {example.command}\n--- says\n{chr(10).join(example.want)}\n--- prints\n{got}"
        assert re.fullmatch(pattern(example.want), got), shown


def pattern(want: list[str]) -> str:
    """What an example's output must fit."""
    any_lines = r"(?:[^\n]*\n)*"
    return "".join(
        any_lines if line.strip() == "…" else r"[^\n]*".join(map(re.escape, line.split("…"))) + "\n" for line in want
    )


@pytest.mark.parametrize(
    ("want", "got", "fits"),
    [
        (["a"], "a\n", True),
        (["a"], "ab\n", False),
        (["a …"], "a bc\n", True),
        (["a … s"], "a 1.2 s\n", True),
        (["a …"], "a b\nc\n", False),
        (["…", "b"], "b\n", True),
        (["…", "b"], "a\na\nb\n", True),
        ([], "", True),
        ([], "a\n", False),
    ],
)
def test_what_three_dots_stand_for(want: list[str], got: str, fits: bool) -> None:
    assert bool(re.fullmatch(pattern(want), got)) == fits
