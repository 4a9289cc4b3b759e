CREATE TABLE flowlet.notifications (
  id uuid PRIMARY KEY DEFAULT uuidv7(),
  user_id uuid NOT NULL REFERENCES flowlet.users,
  kind text NOT NULL,
  body jsonb NOT NULL DEFAULT '{}',
  created_at timestamptz NOT NULL DEFAULT now(),
  read_at timestamptz
);
CREATE INDEX notifications_user ON flowlet.notifications (user_id, created_at);
CREATE INDEX notifications_read ON flowlet.notifications (read_at) WHERE read_at IS NOT NULL;
GRANT SELECT, DELETE ON flowlet.notifications TO flowlet_cleanup;

-- Who did what. Append-only and never cleaned (PCI DSS 4.0, 10.3 and 10.5); no foreign keys, so that it
-- stands whatever becomes of what it speaks of.
CREATE TABLE flowlet.audit_log (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  occurred_at timestamptz NOT NULL DEFAULT now(),
  actor_kind text NOT NULL CHECK (actor_kind IN ('user', 'employee', 'service')),
  actor text NOT NULL,
  action text NOT NULL,
  object_kind text NOT NULL,
  object_id text NOT NULL,
  detail jsonb NOT NULL DEFAULT '{}'
);
CREATE INDEX audit_log_object ON flowlet.audit_log (object_kind, object_id, occurred_at);
CREATE INDEX audit_log_actor ON flowlet.audit_log (actor, occurred_at);
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON flowlet.audit_log
  FOR EACH ROW EXECUTE FUNCTION flowlet.refuse_change();
CREATE TRIGGER never_truncated BEFORE TRUNCATE ON flowlet.audit_log
  FOR EACH STATEMENT EXECUTE FUNCTION flowlet.refuse_change();
REVOKE UPDATE, DELETE ON flowlet.audit_log FROM flowlet_app;
