"""No plain value, and nothing computed from one, is in sealed output or in anything that a failure prints."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from kustodian.secrets import ksops

from ..conftest import GENERATOR, Ran, Repo

# Long enough not to occur by chance, and everything that YAML, JSON, a shell or a terminal finds special.
VALUES = st.text(
    st.characters(codec="utf-8", exclude_categories=("Cs", "Cc"), include_characters="\n\t\"'\\$%{}[]:#&*!|>-"),
    min_size=12,
    max_size=60,
).filter(lambda text: len(text.strip()) >= 12 and len(set(text)) >= 6)
SECRETS = st.dictionaries(st.from_regex(r"[a-z][a-z0-9_.-]{0,8}", fullmatch=True), VALUES, min_size=1, max_size=4)

EXAMPLES = settings(
    max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)


def forms(value: str) -> Iterator[str]:
    """The value as it could come out, and what could be computed from it."""
    plain = value.encode()
    yield value
    yield base64.b64encode(plain).decode()
    yield plain.hex()
    for digest in (hashlib.sha256, hashlib.sha1, hashlib.md5, hashlib.sha512):
        yield digest(plain).hexdigest()[:16]
    yield yaml.safe_dump(value, allow_unicode=True).strip().removesuffix("...").strip()
    # A message may quote the beginning or one line of it.
    yield value.strip()[:12]
    yield from (line.strip() for line in value.splitlines() if len(line.strip()) >= 8)


def assert_absent(secret: dict[str, str], text: str) -> None:
    for value in secret.values():
        for form in forms(value):
            assert form not in text


def manifest(secret: dict[str, str], **metadata: object) -> str:
    document = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s", **metadata}, "stringData": secret}
    return yaml.safe_dump(document, allow_unicode=True)


@EXAMPLES
@given(secret=SECRETS)
def test_sealed_manifests_keep_every_key_and_no_value(secret: dict[str, str], repo: Repo) -> None:
    repo.secret_overlay("a", manifest(secret))
    document = ksops.parse({"files": ["secret.sops.yaml"]})
    nodes = ksops.generate(document, repo.root / "overlays/a", decrypt=None)
    text = yaml.serialize_all(nodes, Dumper=yaml.CSafeDumper)
    assert set(yaml.safe_load(text)["stringData"]) == set(secret)
    assert_absent(secret, text)


@EXAMPLES
@given(secret=SECRETS)
def test_sealed_secret_from_keeps_no_value(secret: dict[str, str], repo: Repo) -> None:
    (repo.root / ".sops.yaml").write_text(f"creation_rules:\n  - age: {repo.identity.recipient}\n")
    repo.encrypt("a.yaml", yaml.safe_dump(secret, allow_unicode=True))
    repo.encrypt("b.bin", "\n".join(secret.values()))
    document = ksops.parse({"secretFrom": [{"metadata": {"name": "s"}, "files": ["a.yaml"], "binaryFiles": ["b.bin"]}]})
    text = yaml.serialize_all(ksops.generate(document, repo.root, decrypt=None), Dumper=yaml.CSafeDumper)
    assert_absent(secret, text)


@EXAMPLES
@given(secret=SECRETS, other=VALUES)
def test_a_fingerprint_changes_exactly_when_its_value_is_set(secret: dict[str, str], other: str, repo: Repo) -> None:
    file = repo.secret_overlay("a", manifest(secret))

    def sealed() -> dict[str, str]:
        nodes = ksops.generate(ksops.parse({"files": [str(file)]}), repo.root, decrypt=None)
        return dict(yaml.safe_load(yaml.serialize_all(nodes, Dumper=yaml.CSafeDumper))["stringData"])

    before = sealed()
    changed = sorted(secret)[0]
    subprocess.run(
        [repo.sops, "set", "--value-stdin", file, f'["stringData"]["{changed}"]'],
        input=json.dumps(other).encode(),
        env={**os.environ, "SOPS_AGE_KEY_FILE": str(repo.identity.file)},
        check=True,
        capture_output=True,
    )
    after = sealed()
    assert {key for key in secret if before[key] != after[key]} == ({changed} if other != secret[changed] else set())


# What can go wrong after decryption, each in a way that makes some program quote what it was given.
BREAKS: dict[str, Callable[[str], str]] = {
    "not-yaml": lambda text: text + "  broken: [\n",
    "value-of-the-wrong-type": lambda text: text.replace("stringData:", "data:"),
    "no-name": lambda text: text.replace("  name: s\n", "  nam: s\n"),
    "a-list-of-documents": lambda text: "- " + text.replace("\n", "\n  "),
}


@pytest.mark.parametrize("broken", BREAKS)
@settings(parent=EXAMPLES, max_examples=3)
@given(secret=SECRETS)
def test_failures_of_a_revealed_build_quote_no_value(
    broken: str, secret: dict[str, str], repo: Repo, kustodian: Callable[..., Ran]
) -> None:
    # Encrypted as a whole, so that sops itself takes what is no manifest.
    (repo.root / ".sops.yaml").write_text(f"creation_rules:\n  - age: {repo.identity.recipient}\n")
    repo.write(
        {
            "overlays/a/kustomization.yaml": "generators: [secrets.yaml]\n",
            "overlays/a/secrets.yaml": f"{GENERATOR}files: [secret.bin]\n",
        }
    )
    repo.encrypt("overlays/a/secret.bin", BREAKS[broken](manifest(secret)))
    arguments = ("--repo", repo.root, "build", "--all", "--reveal", "--output", "-")
    ran = kustodian(*arguments, SOPS_AGE_KEY_FILE=str(repo.identity.file), cwd=repo.root)
    if ran.code == 0:  # kustomize took it: the value is in the output on purpose, and nowhere else
        assert_absent(secret, ran.err)
    else:
        assert ran.code == 2
        assert_absent(secret, ran.output)


@settings(parent=EXAMPLES, max_examples=3)
@given(secret=SECRETS, position=st.integers(0, 10**6))
def test_damaged_files_quote_no_value(
    secret: dict[str, str], position: int, repo: Repo, kustodian: Callable[..., Ran]
) -> None:
    file = repo.secret_overlay("a", manifest(secret))
    text = file.read_bytes()
    # Somebody's editor put a plain value back, and something else damaged a byte.
    plain = next(iter(secret.values())).replace("\n", " ").replace("'", "''")
    text = text.replace(b"stringData:\n", f"stringData:\n    by_hand: '{plain}'\n".encode())
    cut = position % len(text)
    file.write_bytes(text[:cut] + b"\x00" + text[cut + 1 :])
    for arguments in (("validate", "--all"), ("build", "--all"), ("build", "--all", "--reveal", "--output", "-")):
        ran = kustodian("--repo", repo.root, *arguments, SOPS_AGE_KEY_FILE=str(repo.identity.file), cwd=repo.root)
        assert ran.code in (1, 2)
        assert_absent(secret, ran.output)


def test_an_unforeseen_exception_quotes_no_value() -> None:
    code = """
from kustodian.tasks import command

@command
def body():
    value = "".join(["hunter2", "-", "hunter2"])
    raise RuntimeError(value)

body()
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "error: unexpected RuntimeError; this is a bug of kustodian" in done.stderr
    assert "hunter2-hunter2" not in done.stdout + done.stderr
