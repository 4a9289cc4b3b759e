-- Run by cleanup.sh as flowlet_cleanup, after it has checked that these are whole numbers.
-- Prints one line per table: its name and the number of deleted rows.

\getenv session_days CLEANUP_SESSION_DAYS
\getenv token_days CLEANUP_TOKEN_DAYS
\getenv notification_days CLEANUP_NOTIFICATION_DAYS
\getenv batch_size CLEANUP_BATCH_SIZE

-- The only way of values into a DO block. The limits are taken once, so that all batches agree on them.
SELECT set_config('cleanup.batch_size', :'batch_size', false) AS batch_size,
  set_config('cleanup.sessions_before', (now() - :session_days * interval '1 day')::text, false),
  set_config('cleanup.tokens_before', (now() - :token_days * interval '1 day')::text, false),
  set_config('cleanup.notifications_before', (now() - :notification_days * interval '1 day')::text, false)
  AS before \gset

-- expired or signed out
DO $$
DECLARE
  before timestamptz := current_setting('cleanup.sessions_before');
  batch integer := current_setting('cleanup.batch_size');
  deleted integer;
  total bigint := 0;
BEGIN
  LOOP
    DELETE FROM flowlet.sessions WHERE id IN (
      SELECT id FROM flowlet.sessions WHERE least(expires_at, revoked_at) < before
        ORDER BY least(expires_at, revoked_at) LIMIT batch);
    GET DIAGNOSTICS deleted = ROW_COUNT;
    COMMIT;
    total := total + deleted;
    EXIT WHEN deleted < batch;
  END LOOP;
  PERFORM set_config('cleanup.deleted', total::text, false);
END $$;
SELECT 'sessions ' || current_setting('cleanup.deleted');

-- expired, used (those for one use) or revoked; a programme's token without an end stays
DO $$
DECLARE
  before timestamptz := current_setting('cleanup.tokens_before');
  batch integer := current_setting('cleanup.batch_size');
  deleted integer;
  total bigint := 0;
BEGIN
  LOOP
    DELETE FROM flowlet.api_tokens WHERE id IN (
      SELECT id FROM flowlet.api_tokens WHERE least(expires_at, used_at, revoked_at) < before
        ORDER BY least(expires_at, used_at, revoked_at) LIMIT batch);
    GET DIAGNOSTICS deleted = ROW_COUNT;
    COMMIT;
    total := total + deleted;
    EXIT WHEN deleted < batch;
  END LOOP;
  PERFORM set_config('cleanup.deleted', total::text, false);
END $$;
SELECT 'api_tokens ' || current_setting('cleanup.deleted');

-- read; what was never read stays
DO $$
DECLARE
  before timestamptz := current_setting('cleanup.notifications_before');
  batch integer := current_setting('cleanup.batch_size');
  deleted integer;
  total bigint := 0;
BEGIN
  LOOP
    DELETE FROM flowlet.notifications WHERE id IN (
      SELECT id FROM flowlet.notifications WHERE read_at < before ORDER BY read_at LIMIT batch);
    GET DIAGNOSTICS deleted = ROW_COUNT;
    COMMIT;
    total := total + deleted;
    EXIT WHEN deleted < batch;
  END LOOP;
  PERFORM set_config('cleanup.deleted', total::text, false);
END $$;
SELECT 'notifications ' || current_setting('cleanup.deleted');
