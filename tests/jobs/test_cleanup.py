"""cleanup: rows on both sides of each limit; what must go goes, everything else stays."""

from __future__ import annotations

import re

import pytest

from .conftest import Runner
from .rendered import Result

LIMITS = {
    "CLEANUP_SESSION_DAYS": "30",
    "CLEANUP_TOKEN_DAYS": "20",
    "CLEANUP_NOTIFICATION_DAYS": "10",
}

# The name of a row (in its id's last digits) says in the queries below whether it is to go: even ones go.
ROWS = """
CREATE FUNCTION pg_temp.id(n int) RETURNS uuid LANGUAGE sql
  AS $$ SELECT ('00000000-0000-0000-0000-' || lpad(n::text, 12, '0'))::uuid $$;
CREATE FUNCTION pg_temp.days_ago(days int, minutes int DEFAULT 0) RETURNS timestamptz LANGUAGE sql
  AS $$ SELECT now() - days * interval '1 day' - minutes * interval '1 minute' $$;

INSERT INTO flowlet.users (id, email, password_hash, full_name, country, status, created_at)
  VALUES (pg_temp.id(1), 'old@example.com', '!', 'Old', 'DE', 'closed', pg_temp.days_ago(5000));

INSERT INTO flowlet.sessions (id, user_id, token_hash, created_at, expires_at, revoked_at)
  SELECT pg_temp.id(n), pg_temp.id(1), sha256(n::text::bytea), pg_temp.days_ago(900), e, r FROM (VALUES
    (10, pg_temp.days_ago(30, 5), NULL),                        -- expired, just past the limit
    (11, pg_temp.days_ago(30, -5), NULL),                       -- expired, just before it
    (12, pg_temp.days_ago(-7), pg_temp.days_ago(30, 5)),        -- would last, but was revoked
    (13, pg_temp.days_ago(-7), pg_temp.days_ago(30, -5)),
    (14, pg_temp.days_ago(30, 5), pg_temp.days_ago(1)),         -- expired long ago, revoked yesterday
    (15, pg_temp.days_ago(-7), NULL),                           -- in use
    (16, pg_temp.days_ago(800), NULL),
    (18, pg_temp.days_ago(800), pg_temp.days_ago(850))
  ) AS rows (n, e, r);

INSERT INTO flowlet.api_tokens (id, user_id, purpose, token_hash, created_at, expires_at, used_at, revoked_at)
  SELECT pg_temp.id(n), pg_temp.id(1), p, sha256(n::text::bytea), pg_temp.days_ago(900), e, u, r FROM (VALUES
    (20, 'api', pg_temp.days_ago(20, 5), NULL::timestamptz, NULL),
    (21, 'api', pg_temp.days_ago(20, -5), NULL, NULL),
    (22, 'password_reset', pg_temp.days_ago(-1), pg_temp.days_ago(20, 5), NULL),
    (23, 'password_reset', pg_temp.days_ago(-1), pg_temp.days_ago(20, -5), NULL),
    (24, 'api', NULL, NULL, pg_temp.days_ago(20, 5)),
    (25, 'api', NULL, NULL, pg_temp.days_ago(20, -5)),
    (27, 'api', NULL, NULL, NULL),                              -- lives until it is revoked
    (29, 'email_verification', pg_temp.days_ago(-1), NULL, NULL)
  ) AS rows (n, p, e, u, r);

INSERT INTO flowlet.notifications (id, user_id, kind, created_at, read_at)
  SELECT pg_temp.id(n), pg_temp.id(1), 'x', pg_temp.days_ago(900), r FROM (VALUES
    (30, pg_temp.days_ago(10, 5)),
    (31, pg_temp.days_ago(10, -5)),
    (32, pg_temp.days_ago(800)),
    (33, NULL)                                                  -- never read
  ) AS rows (n, r);

INSERT INTO flowlet.audit_log (occurred_at, actor_kind, actor, action, object_kind, object_id)
  VALUES (pg_temp.days_ago(5000), 'user', 'x', 'x', 'x', 'x');
INSERT INTO flowlet.kyc_checks (user_id, provider, provider_reference, kind, requested_at)
  VALUES (pg_temp.id(1), 'x', 'x', 'identity', pg_temp.days_ago(5000));
"""
LEFT = """
SELECT right(id::text, 2) FROM flowlet.sessions UNION ALL SELECT right(id::text, 2) FROM flowlet.api_tokens
UNION ALL SELECT right(id::text, 2) FROM flowlet.notifications ORDER BY 1
"""
STAY = ["11", "13", "15", "21", "23", "25", "27", "29", "31", "33"]
CLEANED = ("sessions", "api_tokens", "notifications")


@pytest.fixture
def filled(runner: Runner, database: str) -> str:
    runner.succeed("data-seeding", database, changes={"FLOWLET_ENVIRONMENT": "staging"})
    # the demo data's notification is unread and stays; out of the way of the row sets below
    runner.server.query(database, "DELETE FROM flowlet.notifications")
    runner.server.query(database, ROWS)
    return database


@pytest.mark.parametrize("batch", ["1", "2", "4", "1000"])
def test_it_deletes_what_it_should_and_nothing_else(runner: Runner, filled: str, batch: str) -> None:
    others = [f"--exclude-table-data=flowlet.{table}" for table in CLEANED]
    before = runner.server.dump(filled, *others)
    changes = LIMITS | {"CLEANUP_BATCH_SIZE": batch}
    assert runner.succeed("cleanup", filled, changes=changes) == (
        "cleanup: sessions: 5 deleted\ncleanup: api_tokens: 3 deleted\ncleanup: notifications: 2 deleted\n"
    )
    assert [row[0] for row in runner.server.query(filled, LEFT)] == STAY
    assert runner.server.dump(filled, *others) == before

    first = runner.server.dump(filled)
    assert runner.succeed("cleanup", filled, changes=changes) == (
        "cleanup: sessions: 0 deleted\ncleanup: api_tokens: 0 deleted\ncleanup: notifications: 0 deleted\n"
    )
    assert runner.server.dump(filled) == first


def test_each_batch_is_a_transaction_of_its_own(runner: Runner, filled: str) -> None:
    """The second batch meets a row that can't be deleted; the first one's rows stay deleted."""
    runner.server.query(
        filled,
        """CREATE FUNCTION public.stuck() RETURNS trigger LANGUAGE plpgsql AS $$
             BEGIN RAISE 'stuck'; END $$;
           CREATE TRIGGER stuck BEFORE DELETE ON flowlet.sessions FOR EACH ROW
             WHEN (old.id::text LIKE '%10') EXECUTE FUNCTION public.stuck()""",
    )
    result = runner.run("cleanup", filled, changes=LIMITS | {"CLEANUP_BATCH_SIZE": "1"})
    assert result == Result(1, "", "cleanup: stopped before its end, what was deleted stays deleted: stuck\n")
    left = [row[0] for row in runner.server.query(filled, LEFT)]
    # 18 and 16 ended years ago and so come first; of 10, 12, 14, which ended together, 10 may be any
    assert "16" not in left
    assert "18" not in left
    assert "10" in left


def test_the_limits_are_those_of_the_variables(runner: Runner, filled: str) -> None:
    longer = {name: str(int(days) + 1) for name, days in LIMITS.items()}
    assert runner.succeed("cleanup", filled, changes=longer) == (
        "cleanup: sessions: 2 deleted\ncleanup: api_tokens: 0 deleted\ncleanup: notifications: 1 deleted\n"
    )


def test_its_role_can_do_nothing_else(runner: Runner, filled: str) -> None:
    held = runner.server.query(
        filled,
        """SELECT table_name, privilege_type FROM information_schema.table_privileges
           WHERE grantee IN ('flowlet_cleanup', 'PUBLIC') AND table_schema = 'flowlet' ORDER BY 1, 2""",
    )
    assert held == [(table, right) for table in sorted(CLEANED) for right in ("DELETE", "SELECT")]
    tables = runner.server.query(
        filled, "SELECT relname FROM pg_class WHERE relnamespace = 'flowlet'::regnamespace AND relkind = 'r'"
    )
    for (table,) in tables:
        if table in CLEANED:
            continue
        for statement in (f"DELETE FROM flowlet.{table}", f"SELECT FROM flowlet.{table}"):
            refusal = runner.server.refusal(filled, statement, user="flowlet_cleanup", password="cleanup")
            assert refusal == f"permission denied for table {table}"
    assert {table for (table,) in tables} >= {"users", "accounts", "journal_entries", "postings", "audit_log"}


def test_the_limits_use_an_index(runner: Runner, filled: str) -> None:
    """A sequential scan of a large table every night would be felt."""
    for table, ended in {
        "sessions": "least(expires_at, revoked_at)",
        "api_tokens": "least(expires_at, used_at, revoked_at)",
        "notifications": "read_at",
    }.items():
        query = f"SELECT id FROM flowlet.{table} WHERE {ended} < now() ORDER BY {ended} LIMIT 10"
        plan = runner.server.query(filled, f"SET enable_seqscan = off; SET enable_sort = off; EXPLAIN {query}")
        assert any(re.search(rf"Index Scan using {table}_", line) for (line,) in plan), plan
