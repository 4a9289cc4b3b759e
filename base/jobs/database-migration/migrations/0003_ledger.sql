-- The double-entry ledger. Amounts are whole minor units (cents); debit > 0, credit < 0.
-- Nothing in it is ever changed or deleted, by any role: a mistake is reversed by another entry.

CREATE FUNCTION flowlet.refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE '%.% is append-only: % refused', TG_TABLE_SCHEMA, TG_TABLE_NAME, TG_OP
    USING ERRCODE = 'restrict_violation';
END $$;

CREATE TABLE flowlet.accounts (
  id uuid PRIMARY KEY DEFAULT uuidv7(),
  user_id uuid REFERENCES flowlet.users,  -- null: Flowlet's own (fees, settlement, suspense)
  code text UNIQUE,
  kind text NOT NULL CHECK (kind IN ('asset', 'liability', 'equity', 'income', 'expense')),
  currency char(3) NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
  status text NOT NULL DEFAULT 'open' CHECK (status IN ('open', 'frozen', 'closed')),
  created_at timestamptz NOT NULL DEFAULT now(),
  CHECK (user_id IS NOT NULL OR code IS NOT NULL),
  UNIQUE (id, currency)
);
CREATE INDEX accounts_user ON flowlet.accounts (user_id);
REVOKE DELETE ON flowlet.accounts FROM flowlet_app;

CREATE TABLE flowlet.journal_entries (
  id uuid PRIMARY KEY DEFAULT uuidv7(),
  idempotency_key text NOT NULL UNIQUE,  -- a payment that is sent twice is booked once
  description text NOT NULL,
  reverses uuid UNIQUE REFERENCES flowlet.journal_entries,
  occurred_at timestamptz NOT NULL,
  recorded_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE flowlet.postings (
  entry_id uuid NOT NULL REFERENCES flowlet.journal_entries,
  line smallint NOT NULL CHECK (line > 0),
  account_id uuid NOT NULL,
  currency char(3) NOT NULL,
  amount_minor bigint NOT NULL CHECK (amount_minor <> 0),
  PRIMARY KEY (entry_id, line),
  -- a posting is in its account's currency
  FOREIGN KEY (account_id, currency) REFERENCES flowlet.accounts (id, currency)
);
CREATE INDEX postings_account ON flowlet.postings (account_id, entry_id);

-- Checked at commit, when all of an entry's postings are there. Also fired by the entry itself, so that none
-- is left without postings.
CREATE FUNCTION flowlet.check_entry_balances() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog AS $$
DECLARE
  entry uuid := (to_jsonb(NEW) ->> TG_ARGV[0])::uuid;
  bad record;
BEGIN
  IF NOT EXISTS (SELECT FROM flowlet.postings WHERE entry_id = entry) THEN
    RAISE 'journal entry % has no postings', entry USING ERRCODE = 'check_violation';
  END IF;
  SELECT currency, sum(amount_minor) AS total INTO bad FROM flowlet.postings
    WHERE entry_id = entry GROUP BY currency HAVING sum(amount_minor) <> 0 ORDER BY currency LIMIT 1;
  IF FOUND THEN
    RAISE 'journal entry % does not balance: % is off by %', entry, bad.currency, bad.total
      USING ERRCODE = 'check_violation';
  END IF;
  RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER entry_balances AFTER INSERT ON flowlet.journal_entries
  DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION flowlet.check_entry_balances('id');
CREATE CONSTRAINT TRIGGER entry_balances AFTER INSERT ON flowlet.postings
  DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION flowlet.check_entry_balances('entry_id');

-- The owner too: a privilege that is taken away from the application does not bind the next migration.
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON flowlet.journal_entries
  FOR EACH ROW EXECUTE FUNCTION flowlet.refuse_change();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON flowlet.postings
  FOR EACH ROW EXECUTE FUNCTION flowlet.refuse_change();
CREATE TRIGGER never_truncated BEFORE TRUNCATE ON flowlet.journal_entries
  FOR EACH STATEMENT EXECUTE FUNCTION flowlet.refuse_change();
CREATE TRIGGER never_truncated BEFORE TRUNCATE ON flowlet.postings
  FOR EACH STATEMENT EXECUTE FUNCTION flowlet.refuse_change();
REVOKE UPDATE, DELETE ON flowlet.journal_entries, flowlet.postings FROM flowlet_app;

CREATE VIEW flowlet.account_balances WITH (security_invoker = true) AS
  SELECT a.id AS account_id, a.currency, coalesce(sum(p.amount_minor), 0)::bigint AS balance_minor
    FROM flowlet.accounts a LEFT JOIN flowlet.postings p ON p.account_id = a.id
    GROUP BY a.id, a.currency;
