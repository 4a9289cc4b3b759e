# backup: one dump of the whole database on the volume, with its checksum, then the retention.
#
# A file flowlet-<environment>-<UTC time>.dump is a backup that was read back in full; until then the dump is
# in a folder .partial-*. A run that fails deletes no older backup.
#
# To restore: into a database where init-system has run and nothing else has, as flowlet_owner. The first line
# makes room for the backup's own schema, and fails on one that has tables.
#   psql -c 'DROP SCHEMA flowlet'
#   sha256sum -c flowlet-….dump.sha256 && pg_restore --single-transaction --dbname="$PGDATABASE" flowlet-….dump

. "${0%/*}/lib.sh"

# Longer than the Job may live (activeDeadlineSeconds): what is older belongs to no running backup.
abandoned_minutes=180

need PGHOST PGPORT PGDATABASE PGUSER PGPASSWORD BACKUP_DIRECTORY FLOWLET_ENVIRONMENT
integer BACKUP_RETENTION_DAYS 1 3650
integer BACKUP_MINIMUM_KEPT 1 1000
case $FLOWLET_ENVIRONMENT in
  *[!a-z0-9-]*) fail "FLOWLET_ENVIRONMENT must be small letters, digits and -, not \"$FLOWLET_ENVIRONMENT\"" ;;
esac
if [ ! -d "$BACKUP_DIRECTORY" ] || [ ! -w "$BACKUP_DIRECTORY" ]; then
  fail "cannot write to the folder $BACKUP_DIRECTORY"
fi
connect

cd "$BACKUP_DIRECTORY"
prefix=flowlet-$FLOWLET_ENVIRONMENT
started=$(date +%s)
name=$prefix-$(date -u -d "@$started" +%Y%m%dT%H%M%SZ).dump
[ ! -e "$name" ] || fail "$name is there already: another backup was made in this second"

find . -maxdepth 1 -name '.partial-*' -mmin "+$abandoned_minutes" -exec rm -rf {} +
find . -maxdepth 1 -name "$prefix-*.dump.sha256" -mmin "+$abandoned_minutes" | while read -r sum; do
  [ -e "${sum%.sha256}" ] || rm -f "$sum"
done

partial=$(mktemp -d ./.partial-XXXXXX) || fail "cannot make a folder in $BACKUP_DIRECTORY"
trap 'rm -rf "$work" "$partial"' EXIT

# Without the wait's limit a dump would stand behind a migration's lock, and the application behind the dump.
run pg_dump --no-password --format=custom --lock-wait-timeout=60000 --file="$partial/$name" 2>"$work/errors" ||
  fail "the dump failed, older backups are untouched: $(reason)"
# --list reads the table of contents only; writing it all to nowhere reads every row's bytes.
{
  run pg_restore --list "$partial/$name" >"$work/list" 2>"$work/errors" &&
    run pg_restore --file=/dev/null "$partial/$name" 2>"$work/errors"
} || fail "the dump cannot be read back, older backups are untouched: $(reason)"
tables=$(grep -c ' TABLE DATA flowlet ' "$work/list") ||
  fail "the dump holds no table of the schema flowlet, older backups are untouched: is $PGDATABASE the right database?"

(cd "$partial" && sha256sum "$name" >"$name.sha256") || fail "cannot write the checksum of $name"
# The checksum first: a dump never stands there without one.
{ mv "$partial/$name.sha256" "$name.sha256" && mv "$partial/$name" "$name"; } || fail "cannot put $name into place"
sync
bytes=$(wc -c <"$name")
say "wrote $name: $tables tables, $((bytes)) bytes"

# seconds since 1970 -> a number that sorts as the names do
number() { date -u -d "@$1" +%Y%m%d%H%M%S; }

oldest_kept=$(number "$((started - BACKUP_RETENTION_DAYS * 86400))")
day='[0-9][0-9][0-9][0-9][0-9][0-9][0-9][0-9]'
time='[0-9][0-9][0-9][0-9][0-9][0-9]'
set --
for file in "$prefix"-${day}T${time}Z.dump; do
  set -- "$file" "$@" # newest first
done
kept=0
deleted=0
for file; do
  taken=${file#"$prefix"-}
  taken=$(printf '%s' "${taken%.dump}" | tr -d TZ)
  if [ "$kept" -lt "$BACKUP_MINIMUM_KEPT" ] || [ "$taken" -ge "$oldest_kept" ]; then
    # one without its checksum is kept as long as the others, but not counted on
    [ ! -e "$file.sha256" ] || kept=$((kept + 1))
  else
    rm -f "$file" "$file.sha256"
    deleted=$((deleted + 1))
  fi
done
say "kept $kept, deleted $deleted older than $BACKUP_RETENTION_DAYS days"
