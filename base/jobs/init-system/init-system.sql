-- Run by init-system.sh as the database's owner, which may create roles and is no superuser.
-- Prints the names of those roles that were there before.

BEGIN;
-- two runs at once would both see a role missing
SELECT pg_advisory_xact_lock(hashtext('flowlet init-system')) AS locked \gset

CREATE TEMPORARY TABLE wanted (name name) ON COMMIT DROP;
INSERT INTO wanted VALUES ('flowlet_app'), ('flowlet_backup'), ('flowlet_cleanup');
SELECT name FROM wanted JOIN pg_roles ON rolname = name ORDER BY name;
SELECT format('CREATE ROLE %I LOGIN', name) FROM wanted
  WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = name) \gexec

SELECT current_database() AS database \gset

-- PostgreSQL lets everybody connect, make temporary tables and use "public": nobody but the named ones.
REVOKE ALL ON DATABASE :"database" FROM PUBLIC;
GRANT CONNECT ON DATABASE :"database" TO flowlet_app, flowlet_backup, flowlet_cleanup;
REVOKE ALL ON SCHEMA public FROM PUBLIC;

CREATE SCHEMA IF NOT EXISTS flowlet;
GRANT USAGE ON SCHEMA flowlet TO flowlet_app, flowlet_backup, flowlet_cleanup;

-- What migrations create, they create as this role. flowlet_app: rows only, no TRUNCATE, no DDL; a migration
-- takes away what a table must not allow (the ledger). flowlet_backup: reads all. flowlet_cleanup: nothing
-- here; the migration that makes a table that is cleaned grants it.
ALTER DEFAULT PRIVILEGES IN SCHEMA flowlet GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO flowlet_app;
ALTER DEFAULT PRIVILEGES IN SCHEMA flowlet GRANT USAGE ON SEQUENCES TO flowlet_app;
ALTER DEFAULT PRIVILEGES IN SCHEMA flowlet GRANT SELECT ON TABLES TO flowlet_backup;
ALTER DEFAULT PRIVILEGES IN SCHEMA flowlet GRANT SELECT ON SEQUENCES TO flowlet_backup;
ALTER DEFAULT PRIVILEGES REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC;

-- Limits that hold however the role connects. (pg_dump lifts statement_timeout for itself.)
ALTER ROLE flowlet_app IN DATABASE :"database" SET search_path = flowlet;
ALTER ROLE flowlet_app IN DATABASE :"database" SET statement_timeout = '30s';
ALTER ROLE flowlet_app IN DATABASE :"database" SET idle_in_transaction_session_timeout = '60s';
ALTER ROLE flowlet_backup IN DATABASE :"database" SET default_transaction_read_only = on;
ALTER ROLE flowlet_cleanup IN DATABASE :"database" SET statement_timeout = '10min';
ALTER ROLE flowlet_cleanup IN DATABASE :"database" SET lock_timeout = '15s';
ALTER ROLE flowlet_backup CONNECTION LIMIT 3;
ALTER ROLE flowlet_cleanup CONNECTION LIMIT 3;
COMMIT;
