"""Google's official Firestore emulator, of the Google Cloud CLI."""

import functools
import shutil
import subprocess
import urllib.request
from pathlib import Path

from tests.servers.installing import NotInstalledError
from tests.servers.processes import HOST, Server, temporary_folder

REMEDY = "apt-get install google-cloud-cli-firestore-emulator default-jre-headless (from Google's apt repository)"
"""Elsewhere ``gcloud components install cloud-firestore-emulator``."""


def start() -> None:
    """Start the emulator of this test session."""
    server()


@functools.cache
def server() -> Server:
    """Return the emulator of this test session, started."""
    started = emulator(temporary_folder("firestore"))
    started.start()
    return started


def emulator(folder: Path) -> Server:
    """Return the emulator, not started; it keeps its data in memory, each project a database of its own."""
    java, jar = _java(), _jar()
    return Server(
        "firestore-emulator",
        lambda port: [
            java,
            "-Duser.language=en",
            "-XX:-UsePerfData",  # which would lie in /tmp, whatever TMPDIR says
            # A test session is over before code that was optimized at length has paid for it: with the quick compiler
            # alone the emulator takes about half as much processor time.
            *("-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC"),
            f"-Djava.io.tmpdir={folder}",
            "-cp",
            str(jar),
            "com.google.cloud.datastore.emulator.firestore.CloudFirestore",
            "start",
            f"--host={HOST}",
            f"--port={port}",
        ],
        _answers,
        folder,
    )


def _answers(port: int) -> bool:
    with urllib.request.urlopen(f"http://{HOST}:{port}/", timeout=5) as answer:
        return answer.status == 200


def _java() -> str:
    java = shutil.which("java")
    if java is None:
        raise NotInstalledError("Java is needed (11 or newer), such as apt-get install default-jre-headless")
    return java


def _jar() -> Path:
    gcloud = shutil.which("gcloud")
    if gcloud is None:
        raise NotInstalledError(f"the Google Cloud CLI is needed: {REMEDY}")
    jar = _jar_below(Path(gcloud).resolve().parents[1])
    if not jar.is_file():  # the command is not a link into the installation: it is asked, which takes it a second
        command = [gcloud, "info", "--format=value(installation.sdk_root)"]
        root = subprocess.run(command, capture_output=True, text=True, timeout=60).stdout.strip()
        jar = _jar_below(Path(root))
    if not jar.is_file():
        raise NotInstalledError(f"the Firestore emulator is needed: {REMEDY}")
    return jar


def _jar_below(root: Path) -> Path:
    return root / "platform" / "cloud-firestore-emulator" / "cloud-firestore-emulator.jar"
