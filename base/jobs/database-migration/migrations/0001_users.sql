-- Customers. They are closed, never deleted: the ledger and the law need to know who they were.
CREATE TABLE flowlet.users (
  id uuid PRIMARY KEY DEFAULT uuidv7(),
  email text NOT NULL CHECK (email LIKE '_%@_%' AND length(email) <= 254),
  password_hash text NOT NULL,
  full_name text NOT NULL CHECK (full_name <> ''),
  country char(2) NOT NULL CHECK (country ~ '^[A-Z]{2}$'),
  status text NOT NULL DEFAULT 'pending' CHECK (status IN ('pending', 'active', 'suspended', 'closed')),
  created_at timestamptz NOT NULL DEFAULT now(),
  updated_at timestamptz NOT NULL DEFAULT now()
);
CREATE UNIQUE INDEX users_email ON flowlet.users (lower(email));
REVOKE DELETE ON flowlet.users FROM flowlet_app;
