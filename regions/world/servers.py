"""The datastore servers of an embedded region: what runs, and its configuration file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from app.datastore_binary import datastore_binary
from regions.world.home import Home, write_private
from regions.world.plan import AnswersPing, ProcessSpec

__all__ = ["PRIMARY", "STREAM", "Servers", "replica_of"]

# A replica that waits for others before it syncs comes up in five seconds instead of one, hence
# the delay of 0. A link that carries nothing is given up after ten seconds instead of sixty, and
# the backlog is what a replica may miss meanwhile without copying everything anew.
PRIMARY = """\
repl-diskless-sync-delay 0
repl-ping-replica-period 2
repl-timeout 10
repl-backlog-size 32mb"""
# Bounds what retention by number of runs does not; the shipper trims when it is reached.
STREAM = "maxmemory 256mb"
_LOOPBACK = "127.0.0.1"


def replica_of(port: int) -> str:
    """Settings of a copy of the server on a port of this machine.

    While the link is cut it goes on answering with what it has, whose age its marker tells.
    """
    return f"""\
replicaof {_LOOPBACK} {port}
replica-read-only yes
replica-serve-stale-data yes
repl-timeout 10"""


@dataclass(frozen=True, slots=True)
class Servers:
    """Plans servers; writes their configuration.

    Attributes:
        home: folder of all state.
        binary: the server's program.
        password_file: of all servers.
    """

    home: Home
    binary: Path
    password_file: Path

    @classmethod
    def of(cls, home: Home) -> Servers:
        """Servers of a home, whose password is made where there is none.

        Raises:
            OperatorError: there is no datastore to run.
        """
        return cls(home, datastore_binary(), home.ensure_datastore_password())

    def plan(
        self, region: str, part: str, port: int, settings: str, *, stop_timeout_s: float = 1.5
    ) -> ProcessSpec:
        """One server of a region."""
        folder = self.home.region(region) / part
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        configuration = folder / "valkey.conf"
        password = self.password_file.read_text("utf-8").strip()
        write_private(configuration, _configuration(folder, port, password, settings).encode())
        return ProcessSpec(
            name=f"{region}/{part}",
            region=region,
            command=(str(self.binary), str(configuration)),
            environment={},
            log=str(self.home.log(region, part)),
            ready=AnswersPing(host=_LOOPBACK, port=port, password_file=str(self.password_file)),
            port=port,
            stop_timeout_s=stop_timeout_s,
        )


def _configuration(folder: Path, port: int, password: str, settings: str) -> str:
    """The server's configuration file.

    Neither counters nor events must ever be evicted, hence the policy; the append-only file is
    the persistence, so that there are no snapshots beside it.
    """
    return f"""\
bind {_LOOPBACK}
port {port}
requirepass {password}
masterauth {password}
dir "{folder}"
appendonly yes
appendfsync everysec
save ""
maxmemory-policy noeviction
{settings}
"""
