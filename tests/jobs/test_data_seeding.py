"""data-seeding: the same demo data however often it runs, and never in production."""

from __future__ import annotations

import pytest

from .conftest import Runner
from .rendered import Result

STAGING = {"FLOWLET_ENVIRONMENT": "staging"}
OUT = (
    "data-seeding: users: 3 demo rows\n"
    "data-seeding: accounts: 7 demo rows\n"
    "data-seeding: journal_entries: 3 demo rows\n"
    "data-seeding: postings: 9 demo rows\n"
)


@pytest.mark.parametrize("environment", ["development", "staging"])
def test_a_second_run_changes_nothing(runner: Runner, database: str, environment: str) -> None:
    changes = {"FLOWLET_ENVIRONMENT": environment}
    assert runner.succeed("data-seeding", database, changes=changes) == OUT
    # Sessions and time stamps of the run aside there is nothing that differs, so the dumps are compared whole.
    first = runner.server.dump(database)
    assert runner.succeed("data-seeding", database, changes=changes) == OUT
    assert runner.server.dump(database) == first


def test_the_books_balance(runner: Runner, database: str) -> None:
    runner.succeed("data-seeding", database, changes=STAGING)
    totals = "SELECT entry_id, currency, sum(amount_minor) FROM flowlet.postings GROUP BY 1, 2"
    assert {row[2] for row in runner.server.query(database, totals)} == {"0"}
    balance = """SELECT full_name, b.currency, -balance_minor FROM flowlet.account_balances b
      JOIN flowlet.accounts a ON a.id = account_id JOIN flowlet.users u ON u.id = user_id ORDER BY 1, 2"""
    assert runner.server.query(database, balance) == [
        ("Ada Demo", "EUR", "64950"),
        ("Ada Demo", "USD", "10875"),
        ("Béla Demo", "EUR", "25000"),
        ("Chipo Demo", "EUR", "0"),
    ]


def test_what_a_tester_changed_stays(runner: Runner, database: str) -> None:
    runner.succeed("data-seeding", database, changes=STAGING)
    runner.server.query(database, "UPDATE flowlet.users SET status = 'suspended' WHERE full_name = 'Ada Demo'")
    changed = runner.server.dump(database)
    runner.succeed("data-seeding", database, changes=STAGING)
    assert runner.server.dump(database) == changed


@pytest.mark.parametrize("environment", ["production", "Production", "prod", "produktion", "staging "])
def test_everywhere_else_it_refuses(runner: Runner, database: str, environment: str) -> None:
    before = runner.server.dump(database)
    result = runner.run("data-seeding", database, changes={"FLOWLET_ENVIRONMENT": environment})
    line = f'demo data is for development and staging, not for "{environment}": nothing was written'
    assert result == Result(1, "", f"data-seeding: {line}\n")
    assert runner.server.dump(database) == before


def test_all_or_nothing(runner: Runner, database: str) -> None:
    """A real user has one of the demo addresses: the demo user is left out, and what refers to it fails."""
    runner.server.query(
        database,
        """INSERT INTO flowlet.users (email, password_hash, full_name, country)
           VALUES ('ada.demo@example.com', '!', 'Somebody', 'DE')""",
    )
    before = runner.server.dump(database)
    result = runner.run("data-seeding", database, changes=STAGING)
    assert result == Result(
        1,
        "",
        'data-seeding: nothing was written: insert or update on table "accounts" violates foreign key constraint '
        '"accounts_user_id_fkey"\n',
    )
    assert runner.server.dump(database) == before
