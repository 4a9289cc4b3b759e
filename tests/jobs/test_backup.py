"""backup: what is restored equals what was there; what failed leaves the older ones alone."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from .conftest import Runner
from .rendered import Result

NAME = re.compile(r"flowlet-testing-\d{8}T\d{6}Z\.dump")

MORE_ROWS = """
INSERT INTO flowlet.sessions (user_id, token_hash, ip_address, expires_at)
  SELECT u.id, sha256(n::text::bytea), '2001:db8::1', now() + interval '1 day'
  FROM generate_series(1, 500) n, (SELECT id FROM flowlet.users LIMIT 1) u;
INSERT INTO flowlet.api_tokens (user_id, purpose, token_hash, scopes)
  SELECT id, 'api', sha256('x'), '{"a,b", "c\\"d"}' FROM flowlet.users LIMIT 1;
INSERT INTO flowlet.audit_log (actor_kind, actor, action, object_kind, object_id, detail)
  SELECT 'service', E'tab\\tline\\nend \\\\ ''quote'' é', 'x', 'x', n::text, '{"a": [1, null]}'
  FROM generate_series(1, 50) n;
"""


@pytest.fixture
def filled(runner: Runner, database: str) -> str:
    runner.succeed("data-seeding", database, changes={"FLOWLET_ENVIRONMENT": "staging"})
    runner.server.query(database, MORE_ROWS)
    return database


@pytest.fixture
def volume(tmp_path: Path) -> Path:
    folder = tmp_path / "volume"
    folder.mkdir()
    (folder / "lost+found").mkdir()
    return folder


def back_up(
    runner: Runner,
    database: str,
    volume: Path,
    changes: Mapping[str, str] | None = None,
    *,
    programs: Path | None = None,
) -> Result:
    return runner.run("backup", database, changes=changes, mounts={"/backups": volume}, programs=programs)


def limits(*, days: int, minimum: int) -> dict[str, str]:
    return {"BACKUP_RETENTION_DAYS": str(days), "BACKUP_MINIMUM_KEPT": str(minimum)}


def files(volume: Path) -> list[str]:
    return sorted(path.name for path in volume.iterdir() if path.name != "lost+found")


def new_dump(volume: Path) -> Path:
    (dump,) = (path for path in volume.iterdir() if NAME.fullmatch(path.name))
    return dump


def old_backup(volume: Path, age: timedelta, *, environment: str = "testing") -> str:
    """A backup with its checksum, of a content that no test looks at; its name."""
    taken = datetime.now(UTC) - age
    name = f"flowlet-{environment}-{taken:%Y%m%dT%H%M%SZ}.dump"
    (volume / name).write_text("old")
    (volume / f"{name}.sha256").write_text("old")
    return name


def with_checksums(*names: str) -> list[str]:
    return sorted([*names, *(f"{name}.sha256" for name in names)])


def test_a_restored_backup_equals_the_database(runner: Runner, filled: str, initialised: str, volume: Path) -> None:
    result = back_up(runner, filled, volume)
    dump = new_dump(volume)
    assert result == Result(
        0,
        f"backup: wrote {dump.name}: 11 tables, {dump.stat().st_size} bytes\n"
        "backup: kept 1, deleted 0 older than 30 days\n",
        "",
    )
    assert files(volume) == with_checksums(dump.name)
    assert {path.stat().st_mode & 0o777 for path in volume.glob("flowlet-*")} == {0o600}

    server = runner.server
    # word for word what the comment at the top of backup.sh says, as the database's owner
    (made_room, restore) = re.findall(r"^#   (.+)$", runner.jobs["backup"].files("/scripts")["backup.sh"], re.M)
    environment = server.connection(initialised, "flowlet_owner", "owner")
    environment["PATH"] = f"{server.programs}:{environment['PATH']}"
    for command in (made_room, restore.replace("flowlet-….dump", dump.name)):
        done = subprocess.run(
            ["/bin/sh", "-c", command],
            check=False, env=environment, cwd=volume, capture_output=True, text=True, timeout=60,
        )  # fmt: skip
        assert (done.returncode, done.stderr) == (0, "")

    assert server.dump(initialised) == server.dump(filled)
    assert server.value(initialised, "SELECT count(*) FROM flowlet.sessions") == "500"
    # and it lives on: the ledger still refuses, the migrations have nothing to do
    assert "append-only" in server.refusal(initialised, "DELETE FROM flowlet.postings")
    assert runner.succeed("database-migration", initialised).startswith("database-migration: up to date at 0005_")


def test_the_way_to_restore_spares_a_database_with_rows(runner: Runner, filled: str) -> None:
    refusal = runner.server.refusal(filled, "DROP SCHEMA flowlet", user="flowlet_owner", password="owner")
    assert refusal == "cannot drop schema flowlet because other objects depend on it"


def test_a_second_backup_holds_the_same_and_leaves_the_first(runner: Runner, filled: str, volume: Path) -> None:
    before = runner.server.dump(filled)
    contents: list[str] = []
    earlier = ""
    for _ in range(2):
        assert back_up(runner, filled, volume).code == 0
        dump = new_dump(volume)
        script = [str(runner.server.programs / "pg_restore"), "--restrict-key=x", "--file=-", str(dump)]
        contents.append(subprocess.run(script, check=True, capture_output=True, text=True).stdout)
        if not earlier:
            earlier = f"flowlet-other-{dump.name}"  # out of the way: names go by the second
            dump.rename(volume / earlier)
            (volume / f"{dump.name}.sha256").unlink()
    assert contents[0] == contents[1]
    assert (volume / earlier).exists()
    assert runner.server.dump(filled) == before


def test_retention_deletes_what_is_too_old_and_keeps_the_minimum(runner: Runner, database: str, volume: Path) -> None:
    hour = timedelta(hours=1)
    young = old_backup(volume, timedelta(days=10) - hour)
    just_too_old = old_backup(volume, timedelta(days=10) + hour)
    older = old_backup(volume, timedelta(days=400))
    other = old_backup(volume, timedelta(days=400), environment="testing-eu")
    strangers = ["notes.txt", "flowlet-testing-latest.dump", "flowlet-testing-20200101.dump"]
    for name in strangers:
        (volume / name).touch()

    # the new one and the young one are two: the third is kept for the minimum's sake
    out = back_up(runner, database, volume, limits(days=10, minimum=3)).out
    assert out.endswith("backup: kept 3, deleted 1 older than 10 days\n")
    (new,) = {name for name in files(volume) if NAME.fullmatch(name)} - {young, just_too_old, older}
    kept = with_checksums(new, young, just_too_old, other)
    assert files(volume) == sorted([*kept, *strangers])

    for name in (new, f"{new}.sha256"):
        (volume / name).unlink()
    out = back_up(runner, database, volume, limits(days=10, minimum=1)).out
    assert out.endswith("backup: kept 2, deleted 1 older than 10 days\n")
    assert just_too_old not in files(volume)
    assert young in files(volume)


def test_never_fewer_than_the_minimum(runner: Runner, database: str, volume: Path) -> None:
    ancient = [old_backup(volume, timedelta(days=days)) for days in (500, 600, 700, 800)]
    # one without its checksum is not counted on
    (volume / f"{ancient[0]}.sha256").unlink()
    out = back_up(runner, database, volume, limits(days=1, minimum=3)).out
    assert out.endswith("backup: kept 3, deleted 1 older than 1 days\n")
    assert [name for name in ancient if (volume / name).exists()] == ancient[:3]


def test_leftovers_of_broken_runs_are_removed(runner: Runner, database: str, volume: Path) -> None:
    hours_ago = datetime.now(UTC).timestamp() - 4 * 3600
    for name in (".partial-broken", ".partial-running"):
        (volume / name).mkdir()
        (volume / name / "x.dump").write_text("half")
    orphan = volume / "flowlet-testing-20200101T000000Z.dump.sha256"
    orphan.touch()
    for path in (volume / ".partial-broken", orphan):
        os.utime(path, (hours_ago, hours_ago))
    assert back_up(runner, database, volume).code == 0
    assert files(volume) == [".partial-running", *with_checksums(new_dump(volume).name)]


UNTOUCHED = "older backups are untouched"


@pytest.fixture
def ancient(volume: Path) -> list[str]:
    """More backups than the minimum, all of them older than the retention."""
    return with_checksums(*(old_backup(volume, timedelta(days=100 + n)) for n in range(4)))


STRICT = limits(days=1, minimum=1)


def test_a_table_that_it_may_not_read_fails_the_dump(
    runner: Runner, database: str, volume: Path, ancient: list[str]
) -> None:
    runner.server.query(database, "REVOKE SELECT ON flowlet.postings FROM flowlet_backup")
    result = back_up(runner, database, volume, STRICT)
    line = f"the dump failed, {UNTOUCHED}: query failed: ERROR:  permission denied for table postings"
    assert result == Result(1, "", f"backup: {line}\n")
    assert files(volume) == ancient


def test_a_dump_that_fails_in_the_middle_leaves_nothing(
    runner: Runner, filled: str, volume: Path, ancient: list[str]
) -> None:
    """Row security is found out only when the table's rows are copied, after others were written."""
    runner.server.query(filled, "ALTER TABLE flowlet.users ENABLE ROW LEVEL SECURITY")
    result = back_up(runner, filled, volume, STRICT)
    assert result.code == 1
    assert result.out == ""
    (line,) = result.err.splitlines()
    assert line.startswith(f"backup: the dump failed, {UNTOUCHED}: ")
    assert files(volume) == ancient


def test_a_full_volume_leaves_nothing(runner: Runner, filled: str, volume: Path, ancient: list[str]) -> None:
    """A limit on the size of files, as a stand-in for a full disk."""
    prepared = runner.prepare("backup", filled, changes=STRICT, mounts={"/backups": volume})
    process = subprocess.run(
        ["/bin/sh", "-c", 'trap "" XFSZ; ulimit -f 16; exec "$@"', "sh", *prepared.command],
        check=False,
        env=prepared.environment,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert process.returncode == 1
    (line,) = process.stderr.splitlines()
    assert line == f"backup: the dump failed, {UNTOUCHED}: could not write to output file: File too large"
    assert files(volume) == ancient


def test_a_dump_that_can_not_be_read_back_is_no_backup(
    runner: Runner, filled: str, volume: Path, ancient: list[str], tmp_path: Path
) -> None:
    """Its last block is missing: the table of contents, which is at the front, is whole."""
    programs = tmp_path / "programs"
    programs.mkdir()
    cut = programs / "pg_dump"
    cut.write_text(
        "#!/bin/sh\n"
        f"'{runner.server.programs / 'pg_dump'}' \"$@\" || exit\n"
        "for last; do :; done; file=${last#--file=}\n"
        'truncate -s -3000 "$file"\n'
        f"'{runner.server.programs / 'pg_restore'}' --list \"$file\" >'{tmp_path}/list'\n"
    )
    cut.chmod(0o755)
    result = back_up(runner, filled, volume, STRICT, programs=programs)
    assert "TABLE DATA flowlet users" in (tmp_path / "list").read_text()
    assert result.code == 1
    (line,) = result.err.splitlines()
    assert line.startswith(f"backup: the dump cannot be read back, {UNTOUCHED}: could not ")
    assert files(volume) == ancient


def test_a_database_without_flowlet_is_no_backup(runner: Runner, blank: str, volume: Path, ancient: list[str]) -> None:
    result = back_up(runner, blank, volume, STRICT)
    line = f"the dump holds no table of the schema flowlet, {UNTOUCHED}: is {blank} the right database?"
    assert result == Result(1, "", f"backup: {line}\n")
    assert files(volume) == ancient


def test_a_stopped_pod_leaves_nothing(runner: Runner, database: str, volume: Path, ancient: list[str]) -> None:
    server = runner.server
    locker = subprocess.Popen(
        [server.programs / "psql", "-X", "-q", "-c", "BEGIN; LOCK flowlet.users; SELECT pg_sleep(60)"],
        env=server.connection(database), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    with locker:
        server.wait_until("EXISTS (SELECT FROM pg_stat_activity WHERE wait_event = 'PgSleep')")
        with runner.prepare("backup", database, changes=STRICT, mounts={"/backups": volume}).start() as process:
            server.wait_until(
                "EXISTS (SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND usename = 'flowlet_backup')"
            )
            assert [name for name in files(volume) if name.startswith(".partial-")] != []
            process.terminate()
            out, err = process.communicate(timeout=5)
        locker.kill()
    assert (process.returncode, out, err) == (1, "", "backup: stopped by a signal before its end\n")
    assert files(volume) == ancient
    server.query(
        "postgres",
        f"SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = '{database}'",
    )


@pytest.mark.parametrize("environment", ["../production", "a b", "Staging"])
def test_an_environment_that_makes_no_file_name_is_refused(
    runner: Runner, database: str, volume: Path, environment: str
) -> None:
    result = back_up(runner, database, volume, {"FLOWLET_ENVIRONMENT": environment})
    line = f'FLOWLET_ENVIRONMENT must be small letters, digits and -, not "{environment}"'
    assert result == Result(1, "", f"backup: {line}\n")


def test_a_missing_volume_is_reported(runner: Runner, database: str, volume: Path) -> None:
    volume.joinpath("lost+found").rmdir()
    volume.rmdir()
    result = back_up(runner, database, volume)
    assert result == Result(1, "", f"backup: cannot write to the folder {volume}\n")
