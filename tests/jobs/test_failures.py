"""What every job does when it can't: one line that says why, no password in it, a non-zero exit, nothing done."""

from __future__ import annotations

import pytest

from .conftest import Runner
from .rendered import Result

USERS = {
    "init-system": "flowlet_owner",
    "database-migration": "flowlet_owner",
    "data-seeding": "flowlet_owner",
    "backup": "flowlet_backup",
    "cleanup": "flowlet_cleanup",
}
ALLOWED = {"FLOWLET_ENVIRONMENT": "staging"}  # so that data-seeding gets as far as the database
WRONG = "wr0ng' \\ $x %s"

# What a script can't do without; the others (PGAPPNAME, PGSSLMODE …) are libpq's own business.
NEEDED = {
    "init-system": ["APP_PASSWORD", "BACKUP_PASSWORD", "CLEANUP_PASSWORD"],
    "database-migration": ["MIGRATIONS_DIRECTORY"],
    "data-seeding": ["FLOWLET_ENVIRONMENT"],
    "backup": ["BACKUP_DIRECTORY", "BACKUP_RETENTION_DAYS", "BACKUP_MINIMUM_KEPT", "FLOWLET_ENVIRONMENT"],
    "cleanup": [
        "CLEANUP_SESSION_DAYS",
        "CLEANUP_TOKEN_DAYS",
        "CLEANUP_NOTIFICATION_DAYS",
        "CLEANUP_BATCH_SIZE",
    ],
}
CONNECTION = ["PGHOST", "PGPORT", "PGDATABASE", "PGUSER", "PGPASSWORD"]
INTEGERS = [
    (job, name) for job, names in NEEDED.items() for name in names if name.endswith(("_DAYS", "_KEPT", "_SIZE"))
]


@pytest.mark.parametrize("job", USERS)
def test_an_unreachable_database(runner: Runner, migrated: str, job: str) -> None:
    changes = ALLOWED | {"PGHOST": "127.0.0.1", "PGPORT": "1"}
    assert runner.run(job, migrated, changes=changes) == Result(
        1, "", f"{job}: cannot reach the database at 127.0.0.1:1: Connection refused\n"
    )


@pytest.mark.parametrize("job", USERS)
def test_a_host_that_does_not_exist(runner: Runner, migrated: str, job: str) -> None:
    result = runner.run(job, migrated, changes=ALLOWED | {"PGHOST": "nowhere.invalid"})
    assert (result.code, result.out) == (1, "")
    (line,) = result.err.splitlines()
    start = f'{job}: cannot reach the database at nowhere.invalid:5432: could not translate host name "nowhere.invalid"'
    assert line.startswith(start)


@pytest.mark.parametrize("job", USERS)
def test_a_wrong_password(runner: Runner, migrated: str, job: str) -> None:
    before = runner.server.dump(migrated)
    host = runner.server.socket
    assert runner.run(job, migrated, changes=ALLOWED | {"PGPASSWORD": WRONG}) == Result(
        1,
        "",
        f'{job}: cannot reach the database at {host}:5432: password authentication failed for user "{USERS[job]}"\n',
    )
    assert runner.server.dump(migrated) == before


@pytest.mark.parametrize("job", USERS)
def test_a_database_that_does_not_exist(runner: Runner, migrated: str, job: str) -> None:
    host = runner.server.socket
    assert runner.run(job, "nothing", changes=ALLOWED) == Result(
        1, "", f'{job}: cannot reach the database at {host}:5432: database "nothing" does not exist\n'
    )


@pytest.mark.parametrize(("job", "variable"), [(job, name) for job in USERS for name in CONNECTION + NEEDED[job]])
@pytest.mark.parametrize("value", [None, ""])
def test_a_missing_variable(runner: Runner, migrated: str, job: str, variable: str, value: str | None) -> None:
    changes = ALLOWED | {variable: value}
    assert runner.run(job, migrated, changes=changes) == Result(1, "", f"{job}: the variable {variable} is not set\n")


@pytest.mark.parametrize(("job", "variable"), INTEGERS)
@pytest.mark.parametrize("value", ["x", "-1", "1.5", "0", "007", " 7", "1; DROP TABLE flowlet.users", "9999999999"])
def test_a_number_that_is_none(runner: Runner, migrated: str, job: str, variable: str, value: str) -> None:
    result = runner.run(job, migrated, changes={variable: value})
    assert (result.code, result.out) == (1, "")
    (line,) = result.err.splitlines()
    assert line.startswith(f"{job}: {variable} must be a whole number from 1 to ")
    assert line.endswith(f', not "{value}"')


@pytest.mark.parametrize("job", USERS)
def test_a_tmp_that_is_not_writable(runner: Runner, migrated: str, job: str) -> None:
    result = runner.run(job, migrated, changes={"TMPDIR": "/nonexistent"})
    assert (result.code, result.out) == (1, "")
    assert result.err.splitlines()[-1] == f"{job}: cannot write to /nonexistent"


@pytest.mark.parametrize("job", USERS)
def test_nothing_stays_in_tmp(runner: Runner, database: str, job: str) -> None:
    """An error's text may be there while a job runs; a pod's /tmp is gone after it, another machine's is not."""
    runner.run(job, database, changes=ALLOWED)
    assert list((runner.folder / job / "tmp").iterdir()) == []
