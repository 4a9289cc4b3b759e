"""init-system on a server of its own, since roles belong to the server and not to a database."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from . import postgres
from .conftest import Runner
from .rendered import Job

JOB_ROLES = ("flowlet_app", "flowlet_backup", "flowlet_cleanup")
# Everything that a shell, psql or SQL could stumble over; the middle is what no output may hold.
MARKER = "tr0ub4dor"
HARD = f"""it's "{MARKER}" \\ $HOME `id` %s :'x' $(id) é ; \\password --"""


@pytest.fixture(scope="module")
def bare_server() -> Iterator[postgres.Server]:
    with postgres.running_server() as running:
        yield running


@pytest.fixture
def blank(bare_server: postgres.Server) -> Iterator[str]:
    """An empty database on a server that knows none of the roles."""
    name = bare_server.create_database()
    yield name
    bare_server.drop_database(name)
    for role in JOB_ROLES:
        bare_server.query("postgres", f"DROP ROLE IF EXISTS {role}")


@pytest.fixture
def runner(jobs: Mapping[str, Job], bare_server: postgres.Server, tmp_path: Path) -> Runner:
    return Runner(jobs, bare_server, tmp_path)


def state(server: postgres.Server, database: str) -> str:
    """Roles with password verifiers, settings, schema, privileges, and those on the database itself."""
    access = server.value("postgres", f"SELECT datacl FROM pg_database WHERE datname = '{database}'")
    return "\n".join([server.dump_roles(), server.dump(database), access])


def test_a_second_run_changes_nothing(runner: Runner, blank: str) -> None:
    assert runner.succeed("init-system", blank) == (
        "init-system: flowlet_app: password set\n"
        "init-system: flowlet_backup: password set\n"
        "init-system: flowlet_cleanup: password set\n"
        f"init-system: ready: schema flowlet in {blank}, roles flowlet_app flowlet_backup flowlet_cleanup\n"
    )
    first = state(runner.server, blank)
    assert "SCRAM-SHA-256$4096:" in first

    assert runner.succeed("init-system", blank) == (
        "init-system: flowlet_app: password unchanged\n"
        "init-system: flowlet_backup: password unchanged\n"
        "init-system: flowlet_cleanup: password unchanged\n"
        f"init-system: ready: schema flowlet in {blank}, roles flowlet_app flowlet_backup flowlet_cleanup\n"
    )
    assert state(runner.server, blank) == first


def test_after_the_migrations_it_changes_nothing_either(runner: Runner, blank: str) -> None:
    runner.succeed("init-system", blank)
    runner.succeed("database-migration", blank)
    before = state(runner.server, blank)
    runner.succeed("init-system", blank)
    assert state(runner.server, blank) == before


def test_two_at_once_both_succeed(runner: Runner, blank: str) -> None:
    prepared = runner.prepare("init-system", blank)
    both = [prepared.start(), prepared.start()]
    for process in both:
        _, err = process.communicate(timeout=30)
        assert (process.returncode, err) == (0, "")
    assert len(runner.server.query(blank, "SELECT 1 FROM pg_roles WHERE rolname ~ '^flowlet_'")) == 4


def test_a_rotated_password_replaces_the_old_one(runner: Runner, blank: str) -> None:
    runner.succeed("init-system", blank)
    out = runner.succeed("init-system", blank, changes={"APP_PASSWORD": "new"})
    assert out.splitlines()[:3] == [
        "init-system: flowlet_app: password set",
        "init-system: flowlet_backup: password unchanged",
        "init-system: flowlet_cleanup: password unchanged",
    ]
    assert runner.server.query(blank, "SELECT 1", user="flowlet_app", password="new") == [("1",)]
    assert runner.server.refusal(blank, "SELECT 1", user="flowlet_app", password="app").endswith(
        'password authentication failed for user "flowlet_app"'
    )


def test_hard_passwords_work_and_are_seen_nowhere(runner: Runner, blank: str, tmp_path: Path) -> None:
    server = runner.server
    passwords = {
        "flowlet_app": HARD,
        "flowlet_backup": f"  {MARKER}  ",
        "flowlet_cleanup": f"%d\\n{MARKER}''\"\"",
    }
    arguments = recording_programs(server.programs, tmp_path / "recording")
    changes = {f"{role.removeprefix('flowlet_').upper()}_PASSWORD": text for role, text in passwords.items()}
    log_before = len(server.log.read_bytes())

    # twice: the second run tries the passwords instead of setting them
    for _ in range(2):
        result = runner.run("init-system", blank, changes=changes, programs=tmp_path / "recording")
        assert result.code == 0
        assert MARKER not in result.out + result.err

    for role, password in passwords.items():
        assert server.query(blank, "SELECT current_user", user=role, password=password) == [(role,)]
    seen = arguments.read_text()
    assert "\\password flowlet_app" in seen
    assert MARKER not in seen
    # a log in which each statement is written
    log = server.log.read_bytes()[log_before:].decode()
    assert 'ALTER USER "flowlet_app" PASSWORD \'SCRAM-SHA-256$' in log
    assert MARKER not in log


def recording_programs(programs: Path, folder: Path) -> Path:
    """Puts a psql in front of the real one that writes down its arguments; the file that it writes."""
    folder.mkdir()
    record = folder / "arguments"
    script = folder / "psql"
    script.write_text(f"#!/bin/sh\nprintf '%s\\n' \"$@\" >>'{record}'\nexec '{programs / 'psql'}' \"$@\"\n")
    script.chmod(0o755)
    return record


@pytest.mark.parametrize("bad", ["two\nlines", "end\n", "bell\a"])
def test_a_password_that_could_not_be_sent_is_refused(runner: Runner, blank: str, bad: str) -> None:
    result = runner.run("init-system", blank, changes={"BACKUP_PASSWORD": bad})
    assert result.code == 1
    assert result.err == (
        "init-system: BACKUP_PASSWORD holds a line end or another control character, which no client could send\n"
    )
    assert runner.server.query(blank, "SELECT 1 FROM pg_roles WHERE rolname = 'flowlet_app'") == []


def test_a_role_that_another_one_made_is_reported(runner: Runner, blank: str) -> None:
    runner.server.query("postgres", "CREATE ROLE flowlet_backup LOGIN")
    result = runner.run("init-system", blank)
    assert result.code == 1
    assert result.err == "init-system: permission denied to alter role\n"
    # in one transaction: not half of it
    assert runner.server.query(blank, "SELECT 1 FROM pg_roles WHERE rolname = 'flowlet_app'") == []


def test_nobody_else_gets_in(runner: Runner, blank: str) -> None:
    runner.succeed("init-system", blank)
    runner.server.query("postgres", "CREATE ROLE stranger LOGIN PASSWORD 'x'")
    try:
        message = runner.server.refusal(blank, "SELECT 1", user="stranger", password="x")
    finally:
        runner.server.query("postgres", "DROP ROLE stranger")
    assert message.endswith(f'permission denied for database "{blank}"')


@pytest.mark.parametrize("role", JOB_ROLES)
def test_the_roles_can_create_nothing(runner: Runner, blank: str, role: str) -> None:
    runner.succeed("init-system", blank)
    runner.succeed("database-migration", blank)
    password = role.removeprefix("flowlet_")
    for statement, refusal in {
        "CREATE TABLE flowlet.x ()": "permission denied for schema flowlet",
        "CREATE TABLE public.x ()": "permission denied for schema public",
        "CREATE TEMPORARY TABLE x ()": f'permission denied to create temporary tables in database "{blank}"',
        "CREATE SCHEMA x": f"permission denied for database {blank}",
        "CREATE ROLE x": "permission denied to create role",
        "DROP TABLE flowlet.users": "must be owner of table users",
        "TRUNCATE flowlet.users": "permission denied for table users",
    }.items():
        # the default that keeps flowlet_backup from writing at all could be lifted by it; the privileges can't
        sql = f"SET default_transaction_read_only = off; {statement}"
        assert runner.server.refusal(blank, sql, user=role, password=password).endswith(refusal), statement


def test_backup_role_reads_every_table_and_writes_none(runner: Runner, blank: str) -> None:
    runner.succeed("init-system", blank)
    runner.succeed("database-migration", blank)
    rows = runner.server.query(
        blank,
        """SELECT relname, has_table_privilege('flowlet_backup', oid, 'SELECT'),
             has_table_privilege('flowlet_backup', oid, 'INSERT, UPDATE, DELETE, TRUNCATE')
           FROM pg_class WHERE relnamespace = 'flowlet'::regnamespace AND relkind IN ('r', 'v') ORDER BY 1""",
    )
    assert len(rows) == 12
    assert {row[1:] for row in rows} == {("t", "f")}


def test_the_test_server_is_not_root() -> None:
    """Otherwise the passwords above would prove nothing about a server as it is run."""
    unprivileged = postgres._unprivileged()
    assert unprivileged.get("user", os.geteuid()) != 0
