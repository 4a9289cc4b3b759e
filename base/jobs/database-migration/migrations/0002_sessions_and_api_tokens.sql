-- Only hashes of what a client presents: a stolen dump lets nobody in.
CREATE TABLE flowlet.sessions (
  id uuid PRIMARY KEY DEFAULT uuidv7(),
  user_id uuid NOT NULL REFERENCES flowlet.users,
  token_hash bytea NOT NULL UNIQUE CHECK (length(token_hash) = 32),
  ip_address inet,
  created_at timestamptz NOT NULL DEFAULT now(),
  expires_at timestamptz NOT NULL CHECK (expires_at > created_at),
  revoked_at timestamptz
);
CREATE INDEX sessions_user ON flowlet.sessions (user_id);
-- what cleanup looks for; least() leaves nulls out
CREATE INDEX sessions_ended ON flowlet.sessions (least(expires_at, revoked_at));
GRANT SELECT, DELETE ON flowlet.sessions TO flowlet_cleanup;

CREATE TABLE flowlet.api_tokens (
  id uuid PRIMARY KEY DEFAULT uuidv7(),
  user_id uuid NOT NULL REFERENCES flowlet.users,
  purpose text NOT NULL CHECK (purpose IN ('api', 'email_verification', 'password_reset')),
  token_hash bytea NOT NULL UNIQUE CHECK (length(token_hash) = 32),
  scopes text[] NOT NULL DEFAULT '{}',
  created_at timestamptz NOT NULL DEFAULT now(),
  expires_at timestamptz CHECK (expires_at > created_at),
  used_at timestamptz,     -- a token for one use; afterwards it is worth nothing
  revoked_at timestamptz,
  -- only a programme's token may live until it is revoked, and be used again and again
  CHECK (purpose = 'api' OR expires_at IS NOT NULL),
  CHECK (purpose <> 'api' OR used_at IS NULL)
);
CREATE INDEX api_tokens_user ON flowlet.api_tokens (user_id);
CREATE INDEX api_tokens_ended ON flowlet.api_tokens (least(expires_at, used_at, revoked_at));
GRANT SELECT, DELETE ON flowlet.api_tokens TO flowlet_cleanup;
