# database-migration: applies migrations/NNNN_name.sql in order, each in one transaction together with its
# record in flowlet.schema_migrations, and refuses what would make two databases differ silently: a migration
# changed after it was applied, a gap, one slipped in before the last applied one.
#
# A database that is ahead of this release is no error: that is a roll-back of the release. So a migration must
# leave the release before it working (expand first, contract a release later).
#
# Connects to PostgreSQL itself, not through a transaction-pooling proxy: the lock belongs to the session.

. "${0%/*}/lib.sh"

need PGHOST PGPORT PGDATABASE PGUSER PGPASSWORD MIGRATIONS_DIRECTORY

driver=$work/driver.sql
stage=$work/stage # what the driver is doing, for the line on failure

cat >"$driver" <<'SQL'
\o :stage
\qecho waiting for the end of another migration run
\o
SET lock_timeout = '10min';
SELECT pg_advisory_lock(hashtext('flowlet database-migration')) AS locked \gset
\o :stage
\o
SELECT to_regnamespace('flowlet') IS NULL AS no_schema \gset
\if :no_schema
DO $$ BEGIN RAISE 'there is no schema flowlet: init-system has not run'; END $$;
\endif
BEGIN;
CREATE TABLE IF NOT EXISTS flowlet.schema_migrations (
  version integer PRIMARY KEY CHECK (version > 0),
  name text NOT NULL UNIQUE,
  checksum text NOT NULL CHECK (checksum ~ '^[0-9a-f]{64}$'),
  applied_at timestamptz NOT NULL DEFAULT now()
);
REVOKE INSERT, UPDATE, DELETE ON flowlet.schema_migrations FROM flowlet_app;
CREATE TEMPORARY TABLE shipped (version integer, name text, checksum text) ON COMMIT DROP;
SQL

transaction='^[[:space:]]*(begin|commit|rollback|abort|start[[:space:]]+transaction)([[:space:]]+(work|transaction))?[[:space:]]*;'
count=0
latest=none
for file in "$MIGRATIONS_DIRECTORY"/*.sql; do
  [ -e "$file" ] || fail "there are no migrations in $MIGRATIONS_DIRECTORY"
  name=${file##*/}
  name=${name%.sql}
  case $name in
    *[!a-z0-9_]*) fail "$name.sql: a migration is named NNNN_name.sql, in small letters, digits and _" ;;
    [0-9][0-9][0-9][0-9]_?*) ;;
    *) fail "$name.sql: a migration is named NNNN_name.sql, in small letters, digits and _" ;;
  esac
  count=$((count + 1))
  expected=$(printf '%04d' "$count")
  [ "${name%%_*}" = "$expected" ] ||
    fail "$name.sql: expected number $expected here; numbers have no gap and no double"
  if grep -Eiq "$transaction" "$file"; then
    fail "$name.sql: a migration must not begin or end transactions: it runs in one of its own"
  fi
  checksum=$(sha256sum <"$file")
  checksum=${checksum%% *}
  printf "INSERT INTO shipped VALUES (%d, '%s', '%s');\n" "$count" "$name" "$checksum" >>"$driver"
  latest=$name
  # No setting of one migration reaches the next. And a statement that waits for a table's lock makes everybody
  # behind it wait too: better fail and be retried.
  cat >>"$work/steps" <<SQL
RESET ROLE;
RESET ALL;
SET lock_timeout = '15s';
SELECT NOT EXISTS (SELECT FROM flowlet.schema_migrations WHERE version = $count) AS pending \\gset
\\if :pending
\\o :stage
\\qecho $name
\\o
BEGIN;
\\i '$file'
INSERT INTO flowlet.schema_migrations (version, name, checksum) VALUES ($count, '$name', '$checksum');
COMMIT;
\\echo $job: applied $name
\\endif
SQL
done

cat >>"$driver" <<'SQL'
DO $$
DECLARE
  seen record;
  recorded integer := (SELECT count(*) FROM flowlet.schema_migrations);
  shipped integer := (SELECT count(*) FROM shipped);
BEGIN
  SELECT r.name AS was, r.applied_at, r.checksum AS old, s.name, s.checksum AS new INTO seen
    FROM flowlet.schema_migrations r JOIN shipped s USING (version)
    WHERE (r.name, r.checksum) IS DISTINCT FROM (s.name, s.checksum) ORDER BY version LIMIT 1;
  IF FOUND AND seen.was <> seen.name THEN
    RAISE 'migration % was applied as %: applied migrations keep their name and number', seen.name, seen.was;
  ELSIF FOUND THEN
    RAISE 'migration % was changed after it was applied on % (sha256 % then, % now): restore it and write a new one',
      seen.name, to_char(seen.applied_at AT TIME ZONE 'UTC', 'YYYY-MM-DD'), left(seen.old, 12), left(seen.new, 12);
  END IF;
  SELECT e.version INTO seen FROM generate_series(1, recorded) AS e (version)
    WHERE NOT EXISTS (SELECT FROM flowlet.schema_migrations r WHERE r.version = e.version) ORDER BY 1 LIMIT 1;
  IF FOUND THEN
    RAISE 'the database has no record of migration % but of later ones: out of order', to_char(seen.version, 'FM0000');
  END IF;
  IF recorded > shipped THEN
    RAISE WARNING 'the database is % migration(s) ahead of this release: a roll-back', recorded - shipped;
  END IF;
END $$;
COMMIT;
SQL
cat "$work/steps" >>"$driver"

connect
: >"$stage"
if ! sql -v stage="$stage" -f "$driver" 2>"$work/errors"; then
  step=$(cat "$stage")
  case $step in
    '') fail "$(reason)" ;;
    [0-9]*)
      line=$(sed -n "s/^psql:.*$step\\.sql:\\([0-9]*\\): ERROR:.*/ (line \\1)/p" "$work/errors" | head -n 1)
      fail "$step failed and was rolled back whole$line: $(reason)"
      ;;
    *) fail "$step: $(reason)" ;;
  esac
fi
sed -n "s/^psql:.*: WARNING:  /$job: /p" "$work/errors"
say "up to date at $latest"
