"""Programs of Debian packages, as second versions: where one is not installed, the tests that need it are left out, and
the run says so in its report. In CI, as root, they are installed first.
"""

import os
import shutil
import subprocess
from pathlib import Path

from tests.servers.installing import NotInstalledError

_SECONDS = 300


class Package:
    """A package and the program that the tests need of it.

    Attributes:
        optional: Whether a run in CI may go on without it.
    """

    optional = True

    def __init__(self, name: str, program: str) -> None:
        self.name = name
        self.program = Path(program)
        self.REMEDY = f"apt-get install {name}"

    def start(self) -> None:
        """See that the program is there; each test starts what it needs."""
        if self.program.is_file():
            return
        if os.environ.get("CI") and os.geteuid() == 0 and shutil.which("apt-get"):
            command = [
                "apt-get",
                "-o",
                "DPkg::Lock::Timeout=120",
                "install",
                "-y",
                "--no-install-recommends",
                self.name,
            ]
            try:
                subprocess.run(command, capture_output=True, timeout=_SECONDS, check=True, stdin=subprocess.DEVNULL)
            except (subprocess.SubprocessError, OSError) as error:
                raise NotInstalledError(f"{self.name} could not be installed ({type(error).__name__})") from None
        if not self.program.is_file():
            raise NotInstalledError(f"{self.program} is not there")


PGBOUNCER = Package("pgbouncer", "/usr/sbin/pgbouncer")
POSTGRESQL_15 = Package("postgresql-15", "/usr/lib/postgresql/15/bin/postgres")
REDIS = Package("redis-server", "/usr/bin/redis-server")
