# cleanup: deletes what has served its time, in small batches, each its own transaction, so that no lock is held
# for long. Its role can delete from these three tables and read nothing else. What is kept for ever (ledger,
# audit log, users) is out of its reach.

. "${0%/*}/lib.sh"

need PGHOST PGPORT PGDATABASE PGUSER PGPASSWORD
for name in CLEANUP_SESSION_DAYS CLEANUP_TOKEN_DAYS CLEANUP_NOTIFICATION_DAYS; do
  integer "$name" 1 3650
done
integer CLEANUP_BATCH_SIZE 1 100000
connect

sql -f "${0%/*}/cleanup.sql" >"$work/counts" 2>"$work/errors" ||
  fail "stopped before its end, what was deleted stays deleted: $(reason)"
while read -r table count; do
  say "$table: $count deleted"
done <"$work/counts"
