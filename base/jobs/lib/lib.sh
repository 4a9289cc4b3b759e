# Sourced first by every job's script:  . "${0%/*}/lib.sh"
#
# Only POSIX sh, psql and the usual small programs (busybox has them all), a read-only root and a
# writable /tmp. Credentials stay in the environment, where libpq reads them: never in an argument,
# which every process on the node can list.

set -eu
umask 077
export LC_ALL=C
# client_connection_check_interval: the statement of a pod that was killed ends too, with its locks.
export PGCONNECT_TIMEOUT="${PGCONNECT_TIMEOUT:-10}"
export PGOPTIONS="-c client_min_messages=warning -c client_connection_check_interval=10s"

job=${0##*/}
job=${job%.sh}

# The script's own: a signal may come while a program's messages go to a file.
exec 4>&2

say() { printf '%s: %s\n' "$job" "$*"; }

fail() {
  printf '%s: %s\n' "$job" "$*" >&4
  exit 1
}

work=$(mktemp -d) || fail "cannot write to ${TMPDIR:-/tmp}"
child=''
trap 'rm -rf "$work"' EXIT
trap 'stop' TERM INT

# A shell that is process 1 and waits for a foreground program sees SIGTERM only when that has ended, which
# is when the kubelet has lost patience. Hence the wait. (A background program's input would be /dev/null.)
run() {
  { "$@" <&3 3<&- 4>&- & } 3<&0
  child=$!
  if wait "$child"; then child='' && return 0; else
    status=$?
    child=''
    return "$status"
  fi
}

stop() {
  trap '' TERM INT
  if [ -n "$child" ]; then
    kill -TERM "$child" 2>/dev/null || :
    wait "$child" 2>/dev/null || :
  fi
  fail "stopped by a signal before its end"
}

# terse: an error's DETAIL may quote a row, and rows are customers' data.
sql() {
  run psql --no-psqlrc --no-password --quiet --no-align --tuples-only \
    -v ON_ERROR_STOP=1 -v VERBOSITY=terse "$@"
}

# need VARIABLE...: each is set and not empty.
need() {
  for name; do
    eval "value=\${$name:-}"
    [ -n "$value" ] || fail "the variable $name is not set"
  done
}

# integer VARIABLE LOWEST HIGHEST: digits only, so that the value can stand in an SQL text.
integer() {
  need "$1"
  eval "value=\$$1"
  case $value in
    *[!0-9]* | 0?* | ??????????*) fail "$1 must be a whole number from $2 to $3, not \"$value\"" ;;
  esac
  if [ "$value" -lt "$2" ] || [ "$value" -gt "$3" ]; then
    fail "$1 must be a whole number from $2 to $3, not \"$value\""
  fi
}

# The one line of $work/errors that says why, without the program's and the connection's preamble.
reason() {
  line=$(grep -E 'ERROR:|FATAL:|PANIC:|error:' "$work/errors" | head -n 1) || :
  [ -n "$line" ] || line=$(head -n 1 "$work/errors")
  printf '%s\n' "${line:-no reason given}" | sed \
    -e 's/^psql:[^ ]*:[0-9][0-9]*: //' \
    -e 's/^[a-z_]*: error: //' \
    -e 's/^connection to server .* failed: //' \
    -e 's/^[A-Z]*:  *//'
}

connect() {
  need PGHOST PGPORT PGDATABASE PGUSER PGPASSWORD
  sql -c 'SELECT 1' >/dev/null 2>"$work/errors" ||
    fail "cannot reach the database at $PGHOST:$PGPORT: $(reason)"
}
