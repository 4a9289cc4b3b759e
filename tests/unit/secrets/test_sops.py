from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
import yaml
from kustodian.errors import OutputError, SecretsError, ToolTimeout, UsageError
from kustodian.secrets import sops

from tests.conftest import Identity, Repo

from ..kit import is_running, program, python, within, write

Encrypt = Callable[..., Path]
MEMORY = Path("/dev/shm")
SECRET = "kind: Secret\nmetadata: {name: s}\nstringData:\n  a: hunter2\n  b: x\n"


@pytest.fixture
def binary(tool: Callable[[str], Path]) -> Path:
    return tool("sops")


@pytest.fixture
def env(identity: Identity) -> dict[str, str]:
    return sops.environment((identity.file,))


@pytest.fixture
def encrypted(repo: Repo) -> Path:
    return repo.encrypt("s.sops.yaml", SECRET)


# The environment


def test_demo_keys_stand_beside_the_callers_own(tmp_path: Path) -> None:
    write(tmp_path, {"one": "AGE-ONE\n", "two": "AGE-TWO\n"})
    keys = (tmp_path / "one", tmp_path / "two")
    base = {"SOPS_AGE_KEY": "AGE-OWN", "X": "y"}
    assert sops.environment(keys, base) == {
        "SOPS_AGE_KEY": "AGE-OWN\nAGE-ONE\n\nAGE-TWO",
        "X": "y",
        "SOPS_DISABLE_VERSION_CHECK": "1",
    }
    assert base == {"SOPS_AGE_KEY": "AGE-OWN", "X": "y"}


def test_without_any_key_none_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    assert sops.environment((), {}) == {"SOPS_DISABLE_VERSION_CHECK": "1"}
    monkeypatch.setenv("MARK", "x")
    assert sops.environment(())["MARK"] == "x"


def test_a_demo_key_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as raised:
        sops.environment((tmp_path / "gone",))
    assert raised.value.message == f"{tmp_path / 'gone'}: No such file or directory"
    assert raised.value.hint == "`demoKeys` of kustodian.yaml names it"


# Decryption


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.yaml", b"a: 1\nb: text\n"),
        ("a.json", b'{\n\t"a": 1\n}\n'),
        ("a.env", b"A=1\n"),
        ("a.ini", b"[s]\na = 1\n"),
        ("a.bin", b"\xff\x00x"),
        ("mit platz ü.txt", b"text"),
    ],
)
def test_what_was_encrypted_is_decrypted(
    encrypt: Encrypt, binary: Path, env: dict[str, str], name: str, content: bytes
) -> None:
    path = encrypt(name, content)
    assert sops.decrypt(binary, path, env=env).strip() == content.strip()


def test_a_relative_path_is_one_of_the_working_folder(
    encrypted: Path, binary: Path, env: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(encrypted.parent)
    assert b"hunter2" in sops.decrypt(binary, Path(encrypted.name), env=env)


def test_a_file_that_is_not_there_is_named(tmp_path: Path, binary: Path) -> None:
    with pytest.raises(SecretsError) as raised:
        sops.decrypt(binary, tmp_path / "gone.yaml", env={})
    assert raised.value.message == f"{tmp_path / 'gone.yaml'}: no such file"


def test_without_a_key_the_recipients_are_named(encrypted: Path, binary: Path, identity: Identity) -> None:
    with pytest.raises(SecretsError) as raised:
        sops.decrypt(binary, encrypted, env=sops.environment(()))
    assert raised.value.message == (
        f"{encrypted}: no key at hand opens it: it is encrypted for age {identity.recipient}"
    )
    assert raised.value.hint.startswith("set SOPS_AGE_KEY_FILE to your identity, or ask for access")


@pytest.mark.parametrize(("name", "content"), [("a.env", "A=1\n"), ("a.ini", "[s]\na = 1\n")])
def test_without_a_key_a_flat_file_is_still_named(encrypt: Encrypt, binary: Path, name: str, content: str) -> None:
    path = encrypt(name, content)
    with pytest.raises(SecretsError) as raised:
        sops.decrypt(binary, path, env=sops.environment(()))
    assert raised.value.message == f"{path}: no key at hand opens it: its recipients are others"


def fails(binary: Path, path: Path, env: Mapping[str, str]) -> SecretsError:
    with pytest.raises(SecretsError) as raised:
        sops.decrypt(binary, path, env=env)
    assert "hunter2" not in str(raised.value)
    assert "AES256" not in str(raised.value)
    return raised.value


def test_a_file_that_was_changed_afterwards_has_a_broken_mac(
    encrypted: Path, binary: Path, env: dict[str, str]
) -> None:
    encrypted.write_text(encrypted.read_text("utf-8").replace("name: s", "name: hunter2"), "utf-8")
    error = fails(binary, encrypted, env)
    assert error.message == f"{encrypted}: its content does not match its MAC: it was changed after encrypting"
    assert error.hint.startswith("restore it from git and change it with: invoke edit ")


def test_a_file_whose_mac_is_of_another_file_has_a_broken_mac(repo: Repo, binary: Path, env: dict[str, str]) -> None:
    one, two = (repo.encrypt(f"{name}.yaml", SECRET) for name in "ab")
    mac = re.compile(r"^    mac: .*$", re.MULTILINE)
    other = mac.search(two.read_text("utf-8"))
    assert other is not None
    one.write_text(mac.sub(other[0], one.read_text("utf-8")), "utf-8")
    error = fails(binary, one, env)
    # sops can't decrypt that MAC at all: it belongs to another data key.
    assert error.message in (
        f"{one}: its content does not match its MAC: it was changed after encrypting",
        f"{one}: sops failed (exit code 1); its message is not shown because it may quote the content",
    )


def test_a_file_without_a_mac_has_a_broken_one(encrypted: Path, binary: Path, env: dict[str, str]) -> None:
    encrypted.write_text(re.sub(r"(?m)^    mac: .*\n", "", encrypted.read_text("utf-8")), "utf-8")
    error = fails(binary, encrypted, env)
    assert error.message == f"{encrypted}: its content does not match its MAC: it was changed after encrypting"


def test_a_value_put_in_by_hand_is_not_quoted(encrypted: Path, binary: Path, env: dict[str, str]) -> None:
    encrypted.write_text(re.sub(r"(?m)^    b: ENC.*$", "    b: hunter2", encrypted.read_text("utf-8")), "utf-8")
    error = fails(binary, encrypted, env)
    assert error.message == (
        f"{encrypted}:6: `stringData.b` is not encrypted though the file's rule says it must be "
        "(edited by hand after encrypting?)"
    )
    assert "hunter2" not in str(error)


@pytest.mark.parametrize("text", [SECRET, "just text\n", "a: 'hunter2\n", ""])
def test_what_is_not_encrypted_is_not_decrypted(tmp_path: Path, binary: Path, env: dict[str, str], text: str) -> None:
    write(tmp_path, {"s.yaml": text})
    assert fails(binary, tmp_path / "s.yaml", env).message.startswith(f"{tmp_path / 's.yaml'}: ")


def test_a_program_that_hangs_is_ended_by_the_time_limit(
    encrypted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sops, "SECONDS", 0.2)
    slow = program(tmp_path / "slow", "exec sleep 60\n")
    with pytest.raises(ToolTimeout) as raised:
        sops.decrypt(slow, encrypted, env=dict(os.environ))
    assert raised.value.message == "slow did not end within 0.2 s; it and its children were ended"


# Encryption in place


def encrypt_in(repo: Repo, name: str, env: Mapping[str, str]) -> bool:
    return sops.encrypt(repo.sops, repo.root / name, root=repo.root, env=env)


@pytest.mark.parametrize("ends", ["\n", "\r\n"])
def test_a_file_is_encrypted_in_place_once(repo: Repo, env: dict[str, str], ends: str) -> None:
    path = repo.root / "dir ü" / "s.sops.yaml"
    repo.write({"dir ü/s.sops.yaml": SECRET.replace("\n", ends)})
    path.chmod(0o640)
    assert encrypt_in(repo, "dir ü/s.sops.yaml", env) is True
    text = path.read_bytes()
    assert b"hunter2" not in text
    assert path.stat().st_mode & 0o777 == 0o640
    assert list(path.parent.iterdir()) == [path]
    assert yaml.safe_load(sops.decrypt(repo.sops, path, env=env)) == yaml.safe_load(SECRET)
    assert encrypt_in(repo, "dir ü/s.sops.yaml", env) is False
    assert path.read_bytes() == text


def test_encryption_needs_no_key(repo: Repo) -> None:
    repo.write({"s.sops.yaml": SECRET})
    assert encrypt_in(repo, "s.sops.yaml", sops.environment(())) is True


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.sops.json", '{"data": {"a": "x"}}'),
        ("a.sops.env", "data=x\n"),
        ("a.sops.ini", "[s]\ndata = x\n"),
        ("a.sops.txt", "text\n"),
        ("many.sops.yaml", SECRET + "---\n" + SECRET),
    ],
)
def test_every_format_is_encrypted_and_known_as_such(repo: Repo, env: dict[str, str], name: str, text: str) -> None:
    repo.write({name: text})
    assert encrypt_in(repo, name, env) is True
    assert encrypt_in(repo, name, env) is False


def refused(repo: Repo, name: str, env: Mapping[str, str]) -> SecretsError:
    """Encrypting `name` fails and leaves it, and nothing else, as it was."""
    before = (repo.root / name).read_bytes()
    beside = sorted((repo.root / name).parent.iterdir())
    with pytest.raises(SecretsError) as raised:
        encrypt_in(repo, name, env)
    assert (repo.root / name).read_bytes() == before
    assert sorted((repo.root / name).parent.iterdir()) == beside
    assert "hunter2" not in str(raised.value)
    return raised.value


RULES = "creation_rules:\n"


def test_a_file_that_no_rule_covers_is_refused(repo: Repo, env: dict[str, str]) -> None:
    rule = f"- path_regex: ^secrets/\n  age: {repo.identity.recipient}\n"
    repo.write({".sops.yaml": RULES + rule, "s.sops.yaml": SECRET, "secrets/s.sops.yaml": SECRET})
    error = refused(repo, "s.sops.yaml", env)
    assert error.message == (f"{repo.root / 's.sops.yaml'}: no rule in {repo.root / '.sops.yaml'} covers it")
    assert error.hint == "add a creation rule, or move the file"
    # The path is relative to the rules, from wherever the command is run.
    assert encrypt_in(repo, "secrets/s.sops.yaml", env) is True


def test_without_any_rules_a_file_is_refused(repo: Repo, env: dict[str, str]) -> None:
    (repo.root / ".sops.yaml").unlink()
    repo.write({"s.sops.yaml": SECRET})
    error = refused(repo, "s.sops.yaml", env)
    assert error.message == f"{repo.root / 's.sops.yaml'}: no .sops.yaml says for whom to encrypt it"
    assert error.hint == "write .sops.yaml at the root"


def test_rules_above_the_repository_do_not_count(repo: Repo, env: dict[str, str]) -> None:
    (repo.root / ".sops.yaml").rename(repo.root.parent / ".sops.yaml")
    repo.write({"s.sops.yaml": SECRET})
    assert refused(repo, "s.sops.yaml", env).hint == "write .sops.yaml at the root"


def test_a_rule_that_encrypts_nothing_of_a_file_is_refused(repo: Repo, env: dict[str, str]) -> None:
    repo.write({"s.sops.yaml": "kind: ConfigMap\nmetadata: {name: c}\nspec: {a: hunter2}\n"})
    error = refused(repo, "s.sops.yaml", env)
    assert error.message == f"{repo.root / 's.sops.yaml'}: the rule in .sops.yaml encrypts none of its values"
    assert error.hint == "see `encrypted_regex` of the rule"


@pytest.mark.parametrize(
    ("regex", "text", "place"),
    [
        ("^data$", SECRET.replace("kind: Secret", "kind: Secret\ndata: {c: eA==}"), "stringData.a"),
        ("^(password|stringData)$", SECRET + "data: {c: eA==}\n", "data.c"),
        ("^spec$", f"{SECRET}---\nspec: {{x: y}}\n", "stringData.a"),
        ("^b$", f"kind: List\nitems:\n- {SECRET.replace(chr(10), chr(10) + '  ')}\n", "stringData.a"),
    ],
    ids=["stringData", "data", "first of two", "list"],
)
def test_a_secret_that_would_stay_in_the_open_is_refused(
    repo: Repo, env: dict[str, str], regex: str, text: str, place: str
) -> None:
    rule = f"- encrypted_regex: {regex}\n  age: {repo.identity.recipient}\n"
    repo.write({".sops.yaml": RULES + rule, "s.sops.yaml": text})
    error = refused(repo, "s.sops.yaml", env)
    assert error.message == f"{repo.root / 's.sops.yaml'}: `{place}` would stay in plain text"
    assert error.hint == "the rule in .sops.yaml must cover it: encrypted_regex: ^(data|stringData)$"


def test_nulls_and_empty_values_may_stay(repo: Repo, env: dict[str, str]) -> None:
    repo.write({"s.sops.yaml": SECRET + "data: {x: null, y: , z: ''}\n"})
    assert encrypt_in(repo, "s.sops.yaml", env) is True
    assert encrypt_in(repo, "s.sops.yaml", env) is False


def test_a_plain_document_beside_an_encrypted_one_is_refused(repo: Repo, env: dict[str, str]) -> None:
    path = repo.encrypt("s.sops.yaml", SECRET)
    path.write_text(f"{path.read_text('utf-8')}---\n{SECRET}", "utf-8")
    assert refused(repo, "s.sops.yaml", env).message == f"{path}: not encrypted: it has no `sops` entry"


def test_a_plain_value_in_an_encrypted_file_is_refused(repo: Repo, env: dict[str, str]) -> None:
    path = repo.encrypt("s.sops.yaml", SECRET)
    text = re.sub(r"( +)b: ENC.*", r"\1b: hunter2", path.read_text("utf-8"), count=1)
    path.write_text(text, "utf-8")
    assert refused(repo, "s.sops.yaml", env).message.startswith(f"{path}:6: `stringData.b` is not encrypted")
    dotenv = repo.encrypt("a.sops.env", "data=x\n")
    dotenv.write_text("data_b=hunter2\n" + dotenv.read_text("utf-8"), "utf-8")
    rule = "sops_encrypted_regex="
    dotenv.write_text(re.sub(f"{rule}.*", f"{rule}data", dotenv.read_text("utf-8")), "utf-8")
    assert "`data_b` is not encrypted" in refused(repo, "a.sops.env", env).message


def test_a_header_alone_does_not_make_a_file_encrypted(repo: Repo, env: dict[str, str]) -> None:
    repo.write({"s.sops.yaml": SECRET + "sops: {mac: x}\n"})
    assert "encrypts none of its values" in refused(repo, "s.sops.yaml", env).message


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", ": has no document"),
        ("# hunter2\n", ": has no document"),
        ("\n- hunter2\n", ":2: must be a mapping to be encrypted"),
        ("hunter2\n", ":1: must be a mapping to be encrypted"),
    ],
)
def test_what_has_no_values_by_name_is_refused(repo: Repo, env: dict[str, str], text: str, message: str) -> None:
    repo.write({"s.sops.yaml": text})
    assert refused(repo, "s.sops.yaml", env).message == f"{repo.root / 's.sops.yaml'}{message}"


def test_the_hint_of_a_failed_encryption_reads_the_file(repo: Repo, env: dict[str, str], tmp_path: Path) -> None:
    repo.write({"s.sops.yaml": SECRET})
    path = repo.root / "s.sops.yaml"
    failing = program(tmp_path / "sops", "exit 25\n")
    with pytest.raises(SecretsError) as raised:
        sops.encrypt(failing, path, root=repo.root, env=env)
    assert raised.value.hint.endswith(f"{failing} --config {repo.root / '.sops.yaml'} encrypt {path}")


def test_private_folders_of_processes_that_are_gone_are_removed() -> None:
    gone = subprocess.Popen(["true"])
    gone.wait()
    stale, live = (MEMORY / f"kustodian-{pid}-test" for pid in (gone.pid, os.getpid()))
    for folder in (stale, live):
        folder.mkdir()
        (folder / "s.yaml").write_text("x", "utf-8")
    try:
        with sops._private_folder() as folder:
            assert folder.name.startswith(f"kustodian-{os.getpid()}-")
            assert not stale.exists()
            assert live.exists()
    finally:
        for left in (stale, live):
            shutil.rmtree(left, ignore_errors=True)


def test_the_nearest_rules_count(repo: Repo, env: dict[str, str], tmp_path: Path, tool: Callable[[str], Path]) -> None:
    other = tmp_path / "other.txt"
    keygen = tool("age-keygen")
    subprocess.run([keygen, "-o", other], check=True, capture_output=True)
    recipient = subprocess.run([keygen, "-y", other], check=True, capture_output=True, text=True).stdout.strip()
    nested = f"- path_regex: ^b/\n  age: {recipient}\n  encrypted_regex: ^(data|stringData)$\n"
    repo.write({"a/.sops.yaml": RULES + nested, "a/b/s.sops.yaml": SECRET, "a/c/s.sops.yaml": SECRET})
    assert encrypt_in(repo, "a/b/s.sops.yaml", env) is True
    assert recipient in (repo.root / "a/b/s.sops.yaml").read_text("utf-8")
    assert repo.identity.recipient not in (repo.root / "a/b/s.sops.yaml").read_text("utf-8")
    # The nearest rules do not cover it: those of the root are not asked, as sops would not either.
    assert refused(repo, "a/c/s.sops.yaml", env).message == (
        f"{repo.root / 'a/c/s.sops.yaml'}: no rule in {repo.root / 'a/.sops.yaml'} covers it"
    )


def test_a_file_outside_of_the_repository_is_refused(repo: Repo, env: dict[str, str], tmp_path: Path) -> None:
    write(tmp_path, {"outside.yaml": SECRET})
    with pytest.raises(UsageError) as raised:
        sops.encrypt(repo.sops, tmp_path / "outside.yaml", root=repo.root, env=env)
    assert raised.value.message == f"{tmp_path / 'outside.yaml'} is not in the repository {repo.root}"


def test_a_missing_file_and_a_folder_are_named(repo: Repo, env: dict[str, str]) -> None:
    (repo.root / "folder").mkdir()
    for name, reason in (("gone.yaml", "No such file or directory"), ("folder", "Is a directory")):
        with pytest.raises(UsageError) as raised:
            encrypt_in(repo, name, env)
        assert raised.value.message == f"{repo.root / name}: {reason}"


def test_a_file_that_does_not_parse_is_refused_and_not_quoted(repo: Repo, env: dict[str, str]) -> None:
    repo.write({"s.sops.yaml": "data: {a: 'hunter2}\n"})
    assert refused(repo, "s.sops.yaml", env).message.startswith("s.sops.yaml: not YAML: line 2, column 1: ")


def test_wrong_rules_are_refused(repo: Repo, env: dict[str, str]) -> None:
    repo.write({".sops.yaml": "creation_rules:\n- age: nobody\n", "s.sops.yaml": SECRET})
    assert refused(repo, "s.sops.yaml", env).message.startswith(f"{repo.root / 's.sops.yaml'}: sops failed (exit code ")


def test_a_full_disk_leaves_the_plain_file_whole(repo: Repo, env: dict[str, str]) -> None:
    repo.write({"s.sops.yaml": SECRET})
    done = python(
        """
        import resource, signal, sys
        from pathlib import Path
        from kustodian.errors import OutputError
        from kustodian.secrets import sops
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))
        try:
            sops.encrypt(Path(sys.argv[1]), Path(sys.argv[2]), root=Path(sys.argv[3]), env=sops.environment(()))
        except OutputError as error:
            print(error.message)
        """,
        *(repo.sops, repo.root / "s.sops.yaml", repo.root),
        PYTHONDONTWRITEBYTECODE="1",
    )
    assert (done.stdout, done.stderr) == (f"can't write {repo.root / 's.sops.yaml'}: File too large\n", "")
    assert (repo.root / "s.sops.yaml").read_text("utf-8") == SECRET
    assert sorted(path.name for path in repo.root.iterdir()) == [".git", ".gitignore", ".sops.yaml", "s.sops.yaml"]


# Whether a file is encrypted


@pytest.mark.parametrize(
    ("name", "text", "want"),
    [
        ("a.yaml", "a: 1\n", False),
        ("a.yaml", "", False),
        ("a.yaml", "sops: {mac: x}\n", True),
        ("a.yaml", "sops: {mac: ''}\n", False),
        ("a.yaml", "sops: {age: []}\n", False),
        ("a.yaml", "a: 1\n---\nsops: {mac: x}\n", True),
        ("a.yaml", "a: |\n  sops: {mac: x}\n", False),
        ("a.json", '{"sops": {"mac": "x"}}', True),
        ("a.json", '{\n\t"a": 1\n}', False),
        ("a.env", "A=1\nsops_mac=x\n", True),
        ("a.env", "A=sops_mac=x\n", False),
        ("a.ini", "[a]\n [sops] \n", True),
        ("a.ini", "[a]\nb = [sops]\n", False),
        ("a.bin", '  {"data": "x", "sops": {"mac": "x"}}', True),
        ("a.bin", '{"data": "x"}', False),
        ("a.bin", "sops: {mac: x}\n", False),
        ("a.bin", "plain {{ text\n", False),
    ],
)
def test_a_file_is_encrypted_when_it_has_the_header(name: str, text: str, want: bool) -> None:
    assert sops.is_encrypted(text.encode(), name) is want


def test_a_binary_file_that_starts_like_json_is_no_encrypted_one() -> None:
    assert sops.is_encrypted(b"{\xff\x00", "a.bin") is False
    assert sops.is_encrypted(b"{{ template }}", "a.txt") is False


# Editing


@pytest.fixture
def editor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Makes a shell script the person's editor; `$1` is the file."""

    def use(body: str) -> None:
        monkeypatch.setenv("EDITOR", str(program(tmp_path / "editor.sh", body)))

    return use


@pytest.fixture(autouse=True)
def _no_plain_text_stays_behind() -> object:
    before = set(MEMORY.glob("kustodian-*"))
    yield None
    ours = {path for path in MEMORY.glob("kustodian-*") if path not in before}
    # Another test of another process may be editing at this moment; what is there for long is left behind.
    assert within(5, lambda: not any(path.exists() for path in ours))


Editor = Callable[[str], None]


def edit(path: Path, binary: Path, identity: Identity) -> bool:
    return sops.edit(binary, path, env=sops.environment((identity.file,)))


def test_what_the_editor_writes_is_encrypted_again_and_the_rest_keeps_its_ciphertext(
    encrypted: Path, binary: Path, identity: Identity, editor: Editor, env: dict[str, str], tmp_path: Path
) -> None:
    encrypted.chmod(0o640)
    before = yaml.safe_load(encrypted.read_text("utf-8"))
    editor(f"""
        printf '%s %s' "$1" "$(stat -c %a "$(dirname "$(dirname "$1")")")" > {tmp_path}/seen
        sed -i 's/hunter2/correct horse/' "$1"
        """)
    assert edit(encrypted, binary, identity) is True
    after = yaml.safe_load(encrypted.read_text("utf-8"))
    assert after["stringData"]["b"] == before["stringData"]["b"]
    assert after["stringData"]["a"] != before["stringData"]["a"]
    assert yaml.safe_load(sops.decrypt(binary, encrypted, env=env))["stringData"] == {"a": "correct horse", "b": "x"}
    assert encrypted.stat().st_mode & 0o777 == 0o640
    place = (tmp_path / "seen").read_text("utf-8")
    assert place.startswith(f"{MEMORY}/kustodian-")
    assert place.endswith("/s.sops.yaml 700")
    assert sorted(path.name for path in encrypted.parent.iterdir()) == [
        ".git",
        ".gitignore",
        ".sops.yaml",
        "s.sops.yaml",
    ]


def test_an_editor_that_changes_nothing_changes_nothing(
    encrypted: Path, binary: Path, identity: Identity, editor: Editor
) -> None:
    before = encrypted.read_bytes()
    editor('grep -q hunter2 "$1"\n')
    assert edit(encrypted, binary, identity) is False
    assert encrypted.read_bytes() == before


@pytest.mark.parametrize("body", ["exit 3\n", "kill -KILL $$\n", 'sed -i s/hunter2/x/ "$1"\nexit 1\n'])
def test_an_editor_that_fails_changes_nothing(
    encrypted: Path, binary: Path, identity: Identity, editor: Editor, body: str
) -> None:
    before = encrypted.read_bytes()
    editor(body)
    with pytest.raises(SecretsError) as raised:
        edit(encrypted, binary, identity)
    assert raised.value.message == f"{encrypted}: the editor could not be started, or failed; nothing was changed"
    assert raised.value.hint == (
        "EDITOR must name a program that waits until the file is closed, and ends with exit code 0"
    )
    assert encrypted.read_bytes() == before


def test_an_edit_that_sops_gives_up_says_nothing_of_a_message_that_was_shown(
    encrypted: Path, tmp_path: Path, identity: Identity
) -> None:
    before = encrypted.read_bytes()
    with pytest.raises(SecretsError) as raised:
        edit(encrypted, program(tmp_path / "sops", "exit 25\n"), identity)
    assert raised.value.message == f"{encrypted}: sops failed (exit code 25); nothing was changed"
    assert raised.value.hint == "it says why above"
    assert encrypted.read_bytes() == before


def test_what_somebody_else_wrote_meanwhile_is_not_overwritten(
    encrypted: Path, binary: Path, identity: Identity, editor: Editor
) -> None:
    editor(f'sed -i s/hunter2/mine/ "$1"\necho theirs > {encrypted}\n')
    with pytest.raises(SecretsError) as raised:
        edit(encrypted, binary, identity)
    assert raised.value.message == f"{encrypted}: was changed by somebody else meanwhile; nothing was overwritten"
    assert encrypted.read_text("utf-8") == "theirs\n"
    kept = encrypted.with_name(f"{encrypted.name}.edited").read_text("utf-8")
    assert "ENC[" in kept
    assert "mine" not in kept


def test_what_would_stay_in_the_open_after_editing_is_refused(repo: Repo, identity: Identity, editor: Editor) -> None:
    repo.write({".sops.yaml": f"creation_rules:\n- encrypted_regex: ^stringData$\n  age: {identity.recipient}\n"})
    path = repo.encrypt("s.sops.yaml", SECRET)
    before = path.read_bytes()
    editor("printf 'data: {c: aHVudGVyMg==}\\n' >> \"$1\"\n")
    with pytest.raises(SecretsError) as raised:
        edit(path, repo.sops, identity)
    assert raised.value.message == f"{path}: `data.c` would stay in plain text"
    assert path.read_bytes() == before


def test_a_plain_file_is_not_edited(repo: Repo, identity: Identity, editor: Editor) -> None:
    editor("exit 9\n")
    repo.write({"s.sops.yaml": SECRET})
    with pytest.raises(SecretsError) as raised:
        edit(repo.root / "s.sops.yaml", repo.sops, identity)
    path = repo.root / "s.sops.yaml"
    assert raised.value.message == f"{path}: not encrypted, so there is nothing to decrypt for an editor"
    assert raised.value.hint == f"invoke encrypt {path}"
    with pytest.raises(UsageError):
        edit(repo.root / "gone.yaml", repo.sops, identity)


def test_without_a_key_nothing_is_opened(encrypted: Path, binary: Path, editor: Editor, tmp_path: Path) -> None:
    editor(f"touch {tmp_path}/opened\n")
    with pytest.raises(SecretsError) as raised:
        sops.edit(binary, encrypted, env=sops.environment(()))
    assert raised.value.message.startswith(f"{encrypted}: no key at hand opens it: it is encrypted for age ")
    assert not (tmp_path / "opened").exists()


def test_ctrl_c_in_the_editor_changes_nothing(
    encrypted: Path, binary: Path, identity: Identity, tmp_path: Path
) -> None:
    before = encrypted.read_bytes()
    script = program(tmp_path / "editor.sh", f'sed -i s/hunter2/x/ "$1"\necho $$ > {tmp_path}/pid\nexec sleep 30\n')
    body = """
        import sys
        from pathlib import Path
        from kustodian.secrets import sops
        try:
            sops.edit(Path(sys.argv[1]), Path(sys.argv[2]), env=sops.environment((Path(sys.argv[3]),)))
        except KeyboardInterrupt:
            print("interrupted")
        except Exception as error:
            print(type(error).__name__)
    """
    child = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(body), binary, encrypted, identity.file],
        env={**os.environ, "EDITOR": str(script)},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    assert within(20, (tmp_path / "pid").is_file)
    time.sleep(0.1)
    os.killpg(child.pid, signal.SIGINT)
    out, _err = child.communicate(timeout=20)
    assert out.decode().strip() in ("interrupted", "SecretsError")
    assert encrypted.read_bytes() == before
    assert within(2, lambda: not is_running(int((tmp_path / "pid").read_text("utf-8"))))


def test_without_a_place_in_memory_the_private_folder_is_in_the_temporary_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "access", lambda _path, _mode: False)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with sops._private_folder() as folder:
        assert folder.parent == tmp_path
        assert folder.stat().st_mode & 0o777 == 0o700
    assert not folder.exists()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "gone"))
    with pytest.raises(OutputError) as raised, sops._private_folder():
        pass
    assert raised.value.message == "can't make a private folder for the editor: No such file or directory"
