# data-seeding: customers, accounts and bookings to try Flowlet with. Every row has a fixed key and a row that is
# there is left as it is, so a second run changes nothing.
#
# Refuses every environment that it does not know, not only production: a new one, or a misspelt one, may be real.

. "${0%/*}/lib.sh"

need FLOWLET_ENVIRONMENT
case $FLOWLET_ENVIRONMENT in
  development | staging) ;;
  *) fail "demo data is for development and staging, not for \"$FLOWLET_ENVIRONMENT\": nothing was written" ;;
esac
connect

sql --single-transaction -f "${0%/*}/demo-data.sql" >"$work/counts" 2>"$work/errors" ||
  fail "nothing was written: $(reason)"
while read -r table count; do
  say "$table: $count demo rows"
done <"$work/counts"
