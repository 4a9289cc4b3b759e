"""What the shipped schema refuses, whoever asks."""

from __future__ import annotations

import pytest

from .conftest import ROLES
from .postgres import Server

SETUP = """
INSERT INTO flowlet.accounts (id, code, kind, currency) VALUES
  ('00000000-0000-0000-0000-00000000000a', 'cash-eur', 'asset', 'EUR'),
  ('00000000-0000-0000-0000-00000000000b', 'fees-eur', 'income', 'EUR'),
  ('00000000-0000-0000-0000-00000000000c', 'cash-usd', 'asset', 'USD'),
  ('00000000-0000-0000-0000-00000000000d', 'fees-usd', 'income', 'USD');
"""
ENTRY = "00000000-0000-0000-0000-000000000001"
WRITERS = ("flowlet_app", "flowlet_owner")


@pytest.fixture
def books(server: Server, database: str) -> str:
    server.query(database, SETUP)
    return database


def entry(*postings: tuple[str, str, int], entry_id: str = ENTRY) -> str:
    """One transaction with an entry and its postings: (account's last digit, currency, amount)."""
    lines = [
        f"INSERT INTO flowlet.postings VALUES ('{entry_id}', {line}, "
        f"'00000000-0000-0000-0000-00000000000{account}', '{currency}', {amount});"
        for line, (account, currency, amount) in enumerate(postings, start=1)
    ]
    head = (
        "INSERT INTO flowlet.journal_entries (id, idempotency_key, description, occurred_at) "
        f"VALUES ('{entry_id}', 'key-{entry_id}', 'test', now());"
    )
    return "\n".join(["BEGIN;", head, *lines, "COMMIT;"])


@pytest.mark.parametrize("role", WRITERS)
def test_a_balanced_entry_is_booked(server: Server, books: str, role: str) -> None:
    both = entry(("a", "EUR", 500), ("b", "EUR", -500), ("c", "USD", 7), ("d", "USD", -7))
    server.query(books, both, user=role, password=ROLES[role])
    balances = "SELECT code, balance_minor FROM flowlet.account_balances JOIN flowlet.accounts ON id = account_id"
    assert sorted(server.query(books, balances, user=role, password=ROLES[role])) == [
        ("cash-eur", "500"),
        ("cash-usd", "7"),
        ("fees-eur", "-500"),
        ("fees-usd", "-7"),
    ]


@pytest.mark.parametrize("role", WRITERS)
@pytest.mark.parametrize(
    ("postings", "message"),
    [
        ([("a", "EUR", 500), ("b", "EUR", -499)], f"journal entry {ENTRY} does not balance: EUR is off by 1"),
        ([("a", "EUR", 500)], f"journal entry {ENTRY} does not balance: EUR is off by 500"),
        # the sum over both currencies is zero
        ([("a", "EUR", 500), ("c", "USD", -500)], f"journal entry {ENTRY} does not balance: EUR is off by 500"),
        ([], f"journal entry {ENTRY} has no postings"),
    ],
)  # fmt: skip
def test_an_unbalanced_entry_is_refused(
    server: Server, books: str, role: str, postings: list[tuple[str, str, int]], message: str
) -> None:
    refusal = server.refusal(books, entry(*postings), user=role, password=ROLES[role])
    assert refusal == message
    assert server.value(books, "SELECT count(*) FROM flowlet.journal_entries") == "0"
    assert server.value(books, "SELECT count(*) FROM flowlet.postings") == "0"


def test_an_entry_can_not_be_unbalanced_later(server: Server, books: str) -> None:
    server.query(books, entry(("a", "EUR", 5), ("b", "EUR", -5)))
    late = f"INSERT INTO flowlet.postings VALUES ('{ENTRY}', 3, '00000000-0000-0000-0000-00000000000a', 'EUR', 1)"
    assert server.refusal(books, late) == f"journal entry {ENTRY} does not balance: EUR is off by 1"


def test_a_posting_is_in_its_accounts_currency(server: Server, books: str) -> None:
    refusal = server.refusal(books, entry(("a", "USD", 5), ("b", "USD", -5)))
    assert refusal.endswith('violates foreign key constraint "postings_account_id_currency_fkey"')


def test_a_payment_sent_twice_is_booked_once(server: Server, books: str) -> None:
    server.query(books, entry(("a", "EUR", 5), ("b", "EUR", -5)))
    again = entry(("a", "EUR", 5), ("b", "EUR", -5), entry_id=ENTRY[:-1] + "2")
    refusal = server.refusal(books, again.replace(f"key-{ENTRY[:-1]}2", f"key-{ENTRY}"))
    assert refusal.endswith('violates unique constraint "journal_entries_idempotency_key_key"')


APPEND_ONLY = ("journal_entries", "postings", "audit_log")
CHANGES = {
    "UPDATE": {
        "journal_entries": "UPDATE flowlet.journal_entries SET description = 'x'",
        "postings": "UPDATE flowlet.postings SET amount_minor = 1",
        "audit_log": "UPDATE flowlet.audit_log SET actor = 'x'",
    },
    "DELETE": {table: f"DELETE FROM flowlet.{table}" for table in APPEND_ONLY},
    "TRUNCATE": {table: f"TRUNCATE flowlet.{table} CASCADE" for table in APPEND_ONLY},
}


@pytest.mark.parametrize("table", APPEND_ONLY)
def test_the_ledger_and_the_audit_log_are_append_only(server: Server, books: str, table: str) -> None:
    server.query(books, entry(("a", "EUR", 5), ("b", "EUR", -5)))
    audit = "(actor_kind, actor, action, object_kind, object_id) VALUES ('service', 'x', 'x', 'x', 'x')"
    server.query(books, f"INSERT INTO flowlet.audit_log {audit}", user="flowlet_app", password="app")
    before = server.dump(books)
    for operation, statements in CHANGES.items():
        statement = statements[table]
        # the owner by a trigger, the superuser too; the others have no such privilege
        for role in ("flowlet_owner", "postgres"):
            refusal = server.refusal(books, statement, user=role, password=ROLES.get(role, ""))
            # TRUNCATE … CASCADE of the entries may meet the postings' trigger
            assert refusal.startswith("flowlet.")
            assert refusal.endswith(f" is append-only: {operation} refused")
        for role in ("flowlet_app", "flowlet_cleanup"):
            refusal = server.refusal(books, statement, user=role, password=ROLES[role])
            assert refusal == f"permission denied for table {table}"
    assert server.dump(books) == before


@pytest.mark.parametrize("table", ["users", "accounts", "cards", "kyc_checks"])
def test_the_application_closes_and_does_not_delete(server: Server, books: str, table: str) -> None:
    refusal = server.refusal(books, f"DELETE FROM flowlet.{table}", user="flowlet_app", password="app")
    assert refusal == f"permission denied for table {table}"
