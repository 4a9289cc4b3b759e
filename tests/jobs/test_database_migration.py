"""database-migration: order, records, refusals, and no half of anything."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

import pytest

from .conftest import Runner
from .rendered import REPOSITORY, Result

SHIPPED = sorted((REPOSITORY / "base/jobs/database-migration/migrations").glob("*.sql"))
RECORDS = "SELECT version, name, checksum FROM flowlet.schema_migrations ORDER BY version"
OWN_TABLES = "SELECT relname FROM pg_class WHERE relname ~ '^t[0-9]$' ORDER BY 1"

TWO = {"0001_one.sql": "CREATE TABLE flowlet.t1 ();\n", "0002_two.sql": "CREATE TABLE flowlet.t2 ();\n"}


@pytest.fixture
def migrate(runner: Runner, initialised: str, tmp_path: Path) -> Migrate:
    return Migrate(runner, initialised, tmp_path / "migrations")


class Migrate:
    """Runs database-migration with the given files as /migrations."""

    def __init__(self, runner: Runner, database: str, folder: Path) -> None:
        self.runner = runner
        self.database = database
        self.folder = folder
        folder.mkdir()

    def __call__(self, files: Mapping[str, str]) -> Result:
        for old in self.folder.iterdir():
            old.unlink()
        for name, text in files.items():
            (self.folder / name).write_text(text)
        return self.runner.run("database-migration", self.database, mounts={"/migrations": self.folder})

    def rows(self, text: str) -> list[tuple[str, ...]]:
        return self.runner.server.query(self.database, text)


def done(out: str) -> Result:
    return Result(0, out, "")


def refused(err: str) -> Result:
    return Result(1, "", f"database-migration: {err}\n")


def test_the_shipped_migrations_apply_in_order_and_once(runner: Runner, initialised: str) -> None:
    names = [file.stem for file in SHIPPED]
    assert len(names) == 5
    out = runner.succeed("database-migration", initialised)
    applied = [f"database-migration: applied {name}" for name in names]
    assert out.splitlines() == [*applied, f"database-migration: up to date at {names[-1]}"]
    assert runner.server.query(initialised, RECORDS) == [
        (str(number), file.stem, hashlib.sha256(file.read_bytes()).hexdigest())
        for number, file in enumerate(SHIPPED, start=1)
    ]
    applied_at = "SELECT count(DISTINCT applied_at) FROM flowlet.schema_migrations"
    assert runner.server.value(initialised, applied_at) == "5"  # each in its own transaction

    first = runner.server.dump(initialised)
    assert runner.succeed("database-migration", initialised) == (f"database-migration: up to date at {names[-1]}\n")
    assert runner.server.dump(initialised) == first


def test_two_at_once_apply_each_migration_once(runner: Runner, initialised: str) -> None:
    prepared = runner.prepare("database-migration", initialised)
    both = [prepared.start(), prepared.start()]
    lines: list[str] = []
    for process in both:
        out, err = process.communicate(timeout=30)
        assert (process.returncode, err) == (0, "")
        lines += out.splitlines()
    latest = f"database-migration: up to date at {SHIPPED[-1].stem}"
    applied = [f"database-migration: applied {file.stem}" for file in SHIPPED]
    assert sorted(lines) == sorted([*applied, latest, latest])


def test_a_later_migration_is_added(migrate: Migrate) -> None:
    assert migrate(TWO) == done(
        "database-migration: applied 0001_one\n"
        "database-migration: applied 0002_two\n"
        "database-migration: up to date at 0002_two\n"
    )
    three = TWO | {"0003_three.sql": "CREATE TABLE flowlet.t3 ();\n"}
    assert migrate(three) == done(
        "database-migration: applied 0003_three\ndatabase-migration: up to date at 0003_three\n"
    )
    assert migrate.rows(OWN_TABLES) == [("t1",), ("t2",), ("t3",)]


def test_a_failing_migration_is_rolled_back_whole_and_named(migrate: Migrate) -> None:
    files = TWO | {
        "0003_bad.sql": "CREATE TABLE flowlet.t3 ();\n\nALTER TABLE flowlet.t1 ADD a int;\nSELECT 1/0;\n",
        "0004_never.sql": "CREATE TABLE flowlet.t4 ();\n",
    }
    assert migrate(files) == Result(
        1,
        "database-migration: applied 0001_one\ndatabase-migration: applied 0002_two\n",
        "database-migration: 0003_bad failed and was rolled back whole (line 4): division by zero\n",
    )
    assert migrate.rows(OWN_TABLES) == [("t1",), ("t2",)]
    assert migrate.rows("SELECT attname FROM pg_attribute WHERE attrelid = 'flowlet.t1'::regclass AND attnum > 0") == []
    assert [row[:2] for row in migrate.rows(RECORDS)] == [("1", "0001_one"), ("2", "0002_two")]

    repaired = files | {"0003_bad.sql": "CREATE TABLE flowlet.t3 ();\n"}
    assert migrate(repaired).code == 0
    assert migrate.rows(OWN_TABLES) == [("t1",), ("t2",), ("t3",), ("t4",)]


def test_a_migration_that_fails_at_its_commit_is_rolled_back_too(migrate: Migrate) -> None:
    parent = "CREATE TABLE flowlet.t3 (id int PRIMARY KEY);\n"
    child = "CREATE TABLE flowlet.t4 (id int REFERENCES flowlet.t3 DEFERRABLE INITIALLY DEFERRED);\n"
    result = migrate({"0001_bad.sql": f"{parent}{child}INSERT INTO flowlet.t4 VALUES (1);\n"})
    assert result == refused(
        "0001_bad failed and was rolled back whole: "
        'insert or update on table "t4" violates foreign key constraint "t4_id_fkey"'
    )
    assert migrate.rows(OWN_TABLES) == []
    assert migrate.rows(RECORDS) == []


def test_a_setting_of_one_migration_does_not_reach_the_next(migrate: Migrate) -> None:
    files = {
        "0001_one.sql": "SET lock_timeout = 0;\nSET search_path = flowlet;\nCREATE TABLE t1 ();\n",
        "0002_two.sql": "CREATE TABLE flowlet.t2 AS SELECT current_setting('lock_timeout') AS wait,"
        " current_setting('search_path') AS path;\n",
    }
    assert migrate(files).code == 0
    assert migrate.rows("SELECT * FROM flowlet.t2") == [("15s", '"$user", public')]


def test_an_error_quotes_no_row(migrate: Migrate) -> None:
    """DETAIL would: "Key (email)=(ada@example.com) already exists"."""
    table = "CREATE TABLE flowlet.t1 (email text UNIQUE);\n"
    rows = "INSERT INTO flowlet.t1 VALUES ('ada@example.com'), ('ada@example.com');\n"
    result = migrate({"0001_bad.sql": table + rows})
    assert result == refused(
        "0001_bad failed and was rolled back whole (line 2): "
        'duplicate key value violates unique constraint "t1_email_key"'
    )


def test_a_changed_migration_is_refused(migrate: Migrate) -> None:
    migrate(TWO)
    before = migrate.runner.server.dump(migrate.database)
    changed = TWO | {"0002_two.sql": "CREATE TABLE flowlet.other ();\n", "0003_three.sql": "SELECT 1;\n"}
    result = migrate(changed)
    old, new = (hashlib.sha256(files["0002_two.sql"].encode()).hexdigest()[:12] for files in (TWO, changed))
    today = migrate.rows("SELECT to_char(now() AT TIME ZONE 'UTC', 'YYYY-MM-DD')")[0][0]
    assert result == refused(
        f"migration 0002_two was changed after it was applied on {today} "
        f"(sha256 {old} then, {new} now): restore it and write a new one"
    )
    assert migrate.runner.server.dump(migrate.database) == before


def test_a_renamed_migration_is_refused(migrate: Migrate) -> None:
    migrate(TWO)
    renamed = {"0001_one.sql": TWO["0001_one.sql"], "0002_second.sql": TWO["0002_two.sql"]}
    assert migrate(renamed) == refused(
        "migration 0002_second was applied as 0002_two: applied migrations keep their name and number"
    )


def test_a_missing_record_is_refused(migrate: Migrate) -> None:
    migrate(TWO)
    migrate.rows("DELETE FROM flowlet.schema_migrations WHERE version = 1")
    assert migrate(TWO) == refused("the database has no record of migration 0001 but of later ones: out of order")


def test_a_database_ahead_of_the_release_is_a_roll_back(migrate: Migrate) -> None:
    migrate(TWO)
    before = migrate.runner.server.dump(migrate.database)
    assert migrate({"0001_one.sql": TWO["0001_one.sql"]}) == done(
        "database-migration: the database is 1 migration(s) ahead of this release: a roll-back\n"
        "database-migration: up to date at 0001_one\n"
    )
    assert migrate.runner.server.dump(migrate.database) == before


GAPLESS = "here; numbers have no gap and no double"
NAMING = "a migration is named NNNN_name.sql, in small letters, digits and _"
ONE_OF_ITS_OWN = "a migration must not begin or end transactions: it runs in one of its own"


@pytest.mark.parametrize(
    ("files", "line"),
    [
        ({"0001_one.sql": "", "0003_three.sql": ""}, f"0003_three.sql: expected number 0002 {GAPLESS}"),
        ({"0001_one.sql": "", "0001_two.sql": ""}, f"0001_two.sql: expected number 0002 {GAPLESS}"),
        ({"0002_two.sql": ""}, f"0002_two.sql: expected number 0001 {GAPLESS}"),
        ({"1_one.sql": ""}, f"1_one.sql: {NAMING}"),
        ({"0001_.sql": ""}, f"0001_.sql: {NAMING}"),
        ({"0001_it's.sql": ""}, f"0001_it's.sql: {NAMING}"),
        ({"0001_One.sql": ""}, f"0001_One.sql: {NAMING}"),
        ({"0001_one.sql": "CREATE TABLE flowlet.t1 ();\n  Commit ;\n"}, f"0001_one.sql: {ONE_OF_ITS_OWN}"),
        ({"0001_one.sql": "START TRANSACTION;\n"}, f"0001_one.sql: {ONE_OF_ITS_OWN}"),
    ],
)  # fmt: skip
def test_files_that_are_refused_before_anything_runs(migrate: Migrate, files: Mapping[str, str], line: str) -> None:
    assert migrate(files) == refused(line)
    assert migrate.rows("SELECT to_regclass('flowlet.schema_migrations')") == [("",)]


def test_an_empty_folder_is_refused(migrate: Migrate) -> None:
    assert migrate({}) == refused(f"there are no migrations in {migrate.folder}")


def test_without_init_system_it_says_so(runner: Runner, blank: str) -> None:
    assert runner.run("database-migration", blank) == refused("there is no schema flowlet: init-system has not run")


def test_the_application_can_read_the_records_and_not_write_them(runner: Runner, database: str) -> None:
    app = {"user": "flowlet_app", "password": "app"}
    assert len(runner.server.query(database, RECORDS, **app)) == 5
    for statement in (
        "DELETE FROM flowlet.schema_migrations",
        "UPDATE flowlet.schema_migrations SET checksum = ''",
        "INSERT INTO flowlet.schema_migrations VALUES (9, 'x', 'x')",
    ):
        assert runner.server.refusal(database, statement, **app).endswith(
            "permission denied for table schema_migrations"
        )


def test_a_stopped_pod_ends_at_once_and_leaves_nothing(migrate: Migrate) -> None:
    """The kubelet sends SIGTERM to process 1 only, the shell, which must not sit out its child."""
    (migrate.folder / "0001_slow.sql").write_text("CREATE TABLE flowlet.t1 ();\nSELECT pg_sleep(120);\n")
    server = migrate.runner.server
    prepared = migrate.runner.prepare("database-migration", migrate.database, mounts={"/migrations": migrate.folder})
    with prepared.start() as process:
        sleeping = f"datname = '{migrate.database}' AND wait_event = 'PgSleep'"
        server.wait_until(f"EXISTS (SELECT FROM pg_stat_activity WHERE {sleeping})")
        process.terminate()
        out, err = process.communicate(timeout=5)
    assert (process.returncode, out, err) == (
        1,
        "",
        "database-migration: stopped by a signal before its end\n",
    )
    # The server ends the statement when it next looks for its client (10 s); the test need not wait for that.
    server.query("postgres", f"SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE {sleeping}")
    assert migrate.rows(OWN_TABLES) == []
