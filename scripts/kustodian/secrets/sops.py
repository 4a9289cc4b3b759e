"""The sops program: what a file's decryption, encryption and editing come down to, and what its exit codes mean.

sops' own messages are shown only where they can't hold a plain value (no key at hand); the exit codes are those of
https://github.com/getsops/sops/blob/main/cmd/sops/codes/codes.go.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from kustodian import process
from kustodian.errors import OutputError, SecretsError, UsageError, task
from kustodian.files import write_atomically
from kustodian.secrets import envelope

if TYPE_CHECKING:
    import yaml

SECONDS = 60.0
"""Time limit of one call; a key service that does not answer must not hang a build."""

CONFIG = ".sops.yaml"

_NO_MAC, _BAD_MAC, _NO_KEY = 52, 51, 128
_NO_CONFIG, _UNCHANGED, _NO_EDITOR, _ENCRYPTED_ALREADY = 61, 200, 201, 203


def environment(demo_keys: tuple[Path, ...], base: Mapping[str, str] | None = None) -> dict[str, str]:
    """The variables for sops: the caller's, and the repository's public demo identities beside the caller's own."""
    env = dict(os.environ if base is None else base)
    identities = [env.get("SOPS_AGE_KEY", "")]
    for path in demo_keys:
        try:
            identities.append(path.read_text("utf-8"))
        except OSError as error:
            raise UsageError(
                f"{path}: {error.strerror or error}", hint="`demoKeys` of kustodian.yaml names it"
            ) from None
    env["SOPS_AGE_KEY"] = "\n".join(identities).strip()
    if not env["SOPS_AGE_KEY"]:
        del env["SOPS_AGE_KEY"]
    env["SOPS_DISABLE_VERSION_CHECK"] = "1"
    return env


def decrypt(program: Path, file: Path, *, env: Mapping[str, str], new_group: bool = True) -> bytes:
    """The plain content of an encrypted file, in memory. Raises `SecretsError`."""
    if not file.is_file():
        raise SecretsError(f"{file}: no such file")
    done = process.run(
        [program, "decrypt", file.absolute()], timeout=SECONDS, env=env, cwd=file.absolute().parent, new_group=new_group
    )
    if done.returncode != 0:
        if done.returncode not in (_NO_KEY, _BAD_MAC):
            _refuse_by_content(file)
        raise _failure(file, done)
    return done.stdout


def encrypt(program: Path, file: Path, *, root: Path, env: Mapping[str, str]) -> bool:
    """Encrypt a file in place by the repository's rules; False, and no change, if it is encrypted already.

    The rules are those of the nearest `.sops.yaml` from the file's folder up to `root`.

    The file is replaced in one rename, only after the result has been checked: every value that the rule covers is
    encrypted, and a Secret has none left in the open. A file that is encrypted already is checked in the same way.
    Raises `SecretsError`.
    """
    text = _read(file)
    if is_encrypted(text, file.name):
        check_encrypted(text, file.name, str(file))
        return False
    _refuse_shapeless(text, file)
    config = _config(file, root)
    done = process.run(
        [program, "--config", config, "encrypt", "--filename-override", file.absolute(), "/dev/stdin"],
        stdin=text,
        timeout=SECONDS,
        env=env,
        cwd=config.parent,
    )
    if done.returncode != 0:
        again = (str(program), "--config", str(config), "encrypt", str(file))  # /dev/stdin would wait for a person
        raise _failure(file, replace(done, argv=again), config)
    check_encrypted(done.stdout, file.name, str(file))
    write_atomically(file, done.stdout, durable=True)
    return True


def edit(program: Path, file: Path, *, env: Mapping[str, str]) -> bool:
    """Open the decrypted file in the person's editor and encrypt the result in place; False if nothing changed.

    sops keeps the plain text in a file while the editor runs: it lies in memory where the system has such a place, in
    a folder that only the user may enter, which is gone at the end however the editor ends.
    """
    before = _read(file)
    if not is_encrypted(before, file.name):
        raise SecretsError(
            f"{file}: not encrypted, so there is nothing to decrypt for an editor", hint=task(f"encrypt {file}")
        )
    with _private_folder() as folder:
        copy = folder / file.name
        copy.write_bytes(before)
        code = process.run_attached(
            [program, "edit", copy], env={**env, "TMPDIR": str(folder)}, cwd=file.absolute().parent
        )
        if code == _UNCHANGED:
            return False
        if code != 0:
            raise _failure(file, process.Completed(("sops",), code, b"", b""), attached=True)
        text = copy.read_bytes()
        check_encrypted(text, file.name, str(file))
        if _read(file) != before:
            kept = file.with_name(f"{file.name}.edited")
            write_atomically(kept, text, durable=True)
            raise SecretsError(
                f"{file}: was changed by somebody else meanwhile; nothing was overwritten",
                hint=f"your version is in {kept}, encrypted: compare the two, and edit again",
            )
        write_atomically(file, text, durable=True)
    return True


def is_encrypted(text: bytes, name: str) -> bool:
    """Whether a file has SOPS' header. Raises `SecretsError` for YAML that does not parse."""
    form = envelope.format_of(name)
    if form == "dotenv":
        return any(line.startswith(b"sops_mac=") for line in text.splitlines())
    if form == "ini":
        return any(line.strip() == b"[sops]" for line in text.splitlines())
    if form == "binary" and not text.lstrip().startswith(b"{"):
        return False
    try:
        documents = envelope.compose(text, name)
    except SecretsError:
        if form == "binary":
            return False  # it only starts as JSON does
        raise
    return any(envelope.scalar(document, envelope.METADATA, "mac") for document in documents)


def check_encrypted(text: bytes, name: str, shown: str) -> None:
    """Raises `SecretsError` if a value that should be encrypted is in the open, or if nothing is encrypted at all."""
    body = b"\n".join(line for line in text.splitlines() if not re.match(rb"\s*\"?(sops_)?mac\"?\s*[:=]", line))
    form = envelope.format_of(name)
    if not envelope.TOKEN.search(body.decode("utf-8", "replace")):
        raise SecretsError(
            f"{shown}: the rule in {CONFIG} encrypts none of its values", hint="see `encrypted_regex` of the rule"
        )
    if form in ("dotenv", "ini"):
        _refuse_by_hand(text, shown)
        return
    for document in envelope.compose(text, shown):
        _refuse_by_hand_in(document, shown)
        for path in _open_secret_values(document):
            raise SecretsError(
                f"{shown}: `{'.'.join(path)}` would stay in plain text",
                hint="the rule in .sops.yaml must cover it: encrypted_regex: ^(data|stringData)$",
            )


def _refuse_by_hand(text: bytes, name: str) -> None:
    for entry in envelope.flat(text, name)[1]:
        raise envelope.edited_by_hand(name, entry.path, entry.line)


def _refuse_by_hand_in(document: yaml.Node, name: str) -> None:
    for path, node in envelope.plain_values(document, envelope.header(document, name).rule):
        raise envelope.edited_by_hand(name, path, node.start_mark.line + 1)


def _refuse_shapeless(text: bytes, file: Path) -> None:
    """Refuse what sops can't encrypt, since its exit code would not tell why."""
    import yaml

    if envelope.format_of(file) not in ("yaml", "json"):
        return
    documents = envelope.compose(text, str(file))
    if not documents:
        raise SecretsError(f"{file}: has no document")
    for document in documents:
        if not isinstance(document, yaml.MappingNode):
            raise SecretsError(f"{file}:{document.start_mark.line + 1}: must be a mapping to be encrypted")


def _open_secret_values(document: object) -> Iterator[envelope.Path]:
    import yaml

    assert isinstance(document, yaml.Node)  # noqa: S101
    items = envelope.child(document, "items")
    if envelope.scalar(document, "kind").endswith("List") and isinstance(items, yaml.SequenceNode):
        for item in items.value:
            yield from _open_secret_values(item)
    if envelope.scalar(document, "kind") != "Secret":
        return
    for path, node in envelope.leaves(document):
        plain = not envelope.is_empty(node) and not envelope.TOKEN.fullmatch(node.value)
        if plain and path[0] in ("data", "stringData"):
            yield path


def _config(file: Path, root: Path) -> Path:
    folder = file.absolute().parent.resolve()
    if not folder.is_relative_to(root):
        raise UsageError(f"{file} is not in the repository {root}")
    for parent in (folder, *folder.parents):
        if (parent / CONFIG).is_file():
            return parent / CONFIG
        if parent == root:
            break
    raise SecretsError(f"{file}: no {CONFIG} says for whom to encrypt it", hint=f"write {CONFIG} at the root")


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise UsageError(f"{file}: {error.strerror or error}") from None


def _refuse_by_content(file: Path) -> None:
    """Raise what the file itself tells of a failure: that it is not encrypted, or was edited by hand."""
    text, name = _read(file), str(file)
    if envelope.format_of(name) in ("dotenv", "ini"):
        _refuse_by_hand(text, name)
    elif is_encrypted(text, name):
        for document in envelope.compose(text, name):
            _refuse_by_hand_in(document, name)
    else:
        raise SecretsError(f"{file}: not encrypted", hint=task(f"encrypt {file}"))


def _failure(
    file: Path, done: process.Completed, config: Path | None = None, *, attached: bool = False
) -> SecretsError:
    match done.returncode:
        case code if code == _NO_KEY:
            return SecretsError(
                f"{file}: no key at hand opens it: {_recipients(file)}",
                hint="set SOPS_AGE_KEY_FILE to your identity, or ask for access; "
                f"`{task('doctor')}` shows what is at hand",
            )
        case code if code == _BAD_MAC:
            return SecretsError(
                f"{file}: its content does not match its MAC: it was changed after encrypting",
                hint=f"restore it from git and change it with: {task(f'edit {file}')}",
            )
        case code if code == _NO_MAC:
            return SecretsError(f"{file}: has no MAC: it is not encrypted, or damaged", hint="restore it from git")
        case code if code == _NO_CONFIG or (config is not None and b"no matching creation rules" in done.stderr):
            return SecretsError(
                f"{file}: no rule in {config or '.sops.yaml'} covers it", hint="add a creation rule, or move the file"
            )
        case code if code == _NO_EDITOR:
            return SecretsError(
                f"{file}: the editor could not be started, or failed; nothing was changed",
                hint="EDITOR must name a program that waits until the file is closed, and ends with exit code 0",
            )
        case code if code == _ENCRYPTED_ALREADY:
            return SecretsError(f"{file}: encrypted already")
        case code if attached:
            return SecretsError(
                f"{file}: sops failed (exit code {code}); nothing was changed", hint="it says why above"
            )
        case code:
            return SecretsError(
                f"{file}: sops failed (exit code {code}); its message is not shown because it may quote the content",
                hint=f"to see it, on your own terminal: {process.command_line(done.argv)}",
            )


def _recipients(file: Path) -> str:
    with contextlib.suppress(SecretsError, OSError):
        if envelope.format_of(file) in ("yaml", "json", "binary"):
            documents = envelope.compose(file.read_bytes(), file.name)
            names = [f"{who.kind} {who.name}" for who in envelope.header(documents[0], file.name).recipients]
            return "it is encrypted for " + ", ".join(names or ["nobody"])
    return "its recipients are others"


@contextlib.contextmanager
def _private_folder() -> Iterator[Path]:
    memory = Path("/dev/shm")  # noqa: S108  a file system in memory: plain text never reaches a disk
    _remove_stale(memory)
    try:
        prefix = f"kustodian-{os.getpid()}-"
        folder = Path(tempfile.mkdtemp(prefix=prefix, dir=memory if os.access(memory, os.W_OK) else None))
    except OSError as error:
        raise OutputError(f"can't make a private folder for the editor: {error.strerror}") from None
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _remove_stale(memory: Path) -> None:
    """Remove the folders of processes that were ended before they could do so themselves."""
    for folder in memory.glob("kustodian-*-*"):
        owner = folder.name.split("-")[1]
        with contextlib.suppress(OSError):
            if owner.isdecimal() and folder.lstat().st_uid == os.getuid() and not _is_running(int(owner)):
                shutil.rmtree(folder, ignore_errors=True)


def _is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        pass
    return True
