# init-system: what must be there before the first migration: roles, schema, privileges. Idempotent.
#
# Passwords. `CREATE ROLE … PASSWORD 'secret'` would put the password into the server's log (log_statement,
# or any error in that statement), into pg_stat_activity and pg_stat_statements. psql's \password instead
# computes the SCRAM verifier here and sends only that. It asks for the password on /dev/tty, and where there
# is none, as in a Job, on standard input: printf is built into the shell, so no process has it as argument.
# What remains: the environment of this container (its own user and root on the node can read it), and the
# verifier in a log of DDL statements, from which a weak password could be guessed; so use long random ones.

. "${0%/*}/lib.sh"

roles='flowlet_app flowlet_backup flowlet_cleanup'

need PGHOST PGPORT PGDATABASE PGUSER PGPASSWORD APP_PASSWORD BACKUP_PASSWORD CLEANUP_PASSWORD
for name in APP_PASSWORD BACKUP_PASSWORD CLEANUP_PASSWORD; do
  eval "value=\$$name"
  case $value in
    *[[:cntrl:]]*) fail "$name holds a line end or another control character, which no client could send" ;;
  esac
done
connect

sql -f "${0%/*}/init-system.sql" >"$work/existing" 2>"$work/errors" || fail "$(reason)"

# Whether the role can log in with the password. PGREQUIREAUTH: a server that lets it in without asking
# (pg_hba's "trust") proves nothing.
works() {
  (
    PGUSER=$1 PGPASSWORD=$2 PGREQUIREAUTH=scram-sha-256
    export PGUSER PGPASSWORD PGREQUIREAUTH
    sql -c 'SELECT 1' >/dev/null 2>&1
  )
}

# set_password ROLE PASSWORD: only if it is another one, since each verifier has a new salt and a second run
# is to change nothing. A new role is not tried: its refusal would be a failed login in the server's log.
set_password() {
  if grep -qx "$1" "$work/existing" && works "$1" "$2"; then
    say "$1: password unchanged"
    return
  fi
  if ! printf '%s\n%s\n' "$2" "$2" | sql -c "\\password $1" >/dev/null 2>"$work/prompts"; then
    # two runs that set it at once: the server refuses one of them, and the other has done it
    if ! works "$1" "$2"; then
      sed 's/^.*: *\(ERROR:\)/\1/' "$work/prompts" >"$work/errors" # the prompts end without a line end
      fail "cannot set the password of $1: $(reason)"
    fi
  fi
  say "$1: password set"
}

set_password flowlet_app "$APP_PASSWORD"
set_password flowlet_backup "$BACKUP_PASSWORD"
set_password flowlet_cleanup "$CLEANUP_PASSWORD"
say "ready: schema flowlet in $PGDATABASE, roles $roles"
