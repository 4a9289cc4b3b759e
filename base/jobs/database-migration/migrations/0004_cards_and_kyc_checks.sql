-- No card number, no CVV: the issuer keeps them, Flowlet keeps the issuer's token (PCI DSS 4.0, 3.2 and 3.5).
CREATE TABLE flowlet.cards (
  id uuid PRIMARY KEY DEFAULT uuidv7(),
  account_id uuid NOT NULL REFERENCES flowlet.accounts,
  issuer text NOT NULL,
  issuer_token text NOT NULL,
  last_four char(4) NOT NULL CHECK (last_four ~ '^[0-9]{4}$'),
  expires_on date NOT NULL,
  status text NOT NULL DEFAULT 'inactive' CHECK (status IN ('inactive', 'active', 'frozen', 'cancelled')),
  created_at timestamptz NOT NULL DEFAULT now(),
  UNIQUE (issuer, issuer_token)
);
CREATE INDEX cards_account ON flowlet.cards (account_id);
REVOKE DELETE ON flowlet.cards FROM flowlet_app;

CREATE TABLE flowlet.kyc_checks (
  id uuid PRIMARY KEY DEFAULT uuidv7(),
  user_id uuid NOT NULL REFERENCES flowlet.users,
  provider text NOT NULL,
  provider_reference text NOT NULL,
  kind text NOT NULL CHECK (kind IN ('identity', 'address', 'sanctions', 'source_of_funds')),
  outcome text NOT NULL DEFAULT 'pending' CHECK (outcome IN ('pending', 'passed', 'review', 'failed')),
  requested_at timestamptz NOT NULL DEFAULT now(),
  decided_at timestamptz,
  CHECK ((outcome = 'pending') = (decided_at IS NULL)),
  UNIQUE (provider, provider_reference)
);
CREATE INDEX kyc_checks_user ON flowlet.kyc_checks (user_id);
REVOKE DELETE ON flowlet.kyc_checks FROM flowlet_app;
