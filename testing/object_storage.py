"""A real S3 server on this machine, SeaweedFS, with one bucket."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from testing.local_server import free_ports
from testing.patience import until

BUCKET = "bucket"
_KEYS = {"accessKey": "key", "secretKey": "secret"}
_SERVICES = ("master", "volume", "filer", "s3")


def weed() -> str | None:
    """The path of the server's program, None if it is missing."""
    return shutil.which("weed") or shutil.which("weed", path=str(Path(sys.executable).parent))


@contextmanager
def s3_server(folder: Path) -> Iterator[dict[str, str]]:
    """The variables with which programs find the server, whose files are in a folder."""
    program = weed()
    assert program is not None
    users = folder / "users.json"
    identity = {"name": "tests", "credentials": [_KEYS], "actions": ["Admin", "Read", "Write", "List"]}
    users.write_text(json.dumps({"identities": [identity]}), encoding="utf-8")
    ports = iter(free_ports(2 * len(_SERVICES)))
    named = {f"{service}.port{kind}": next(ports) for service in _SERVICES for kind in ("", ".grpc")}
    command = [program, "server", f"-dir={folder}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-filer", "-s3"]
    command += [f"-{name}={port}" for name, port in named.items()]
    command += [f"-s3.config={users}", "-s3.iam=false", "-s3.port.iceberg=0", "-s3.port.lance=0"]
    command += ["-volume.max=4", "-master.volumeSizeLimitMB=64", "-master.telemetry=false"]
    with (folder / "log").open("wb") as log, subprocess.Popen(command, stdout=log, stderr=log) as process:
        try:
            address = f"http://127.0.0.1:{named['s3.port']}"
            _make_bucket(address, process)
            yield {"AWS_ENDPOINT_URL": address, "AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret"}
        finally:
            process.kill()
            # It makes them whatever its folder is, and leaves them there.
            for port in named.values():
                for left in Path("/tmp").glob(f"seaweedfs-*-{port}.sock"):
                    left.unlink(missing_ok=True)


def _make_bucket(address: str, process: subprocess.Popen[bytes]) -> None:
    import s3fs
    from botocore.exceptions import BotoCoreError

    storage = s3fs.S3FileSystem(
        key="key", secret="secret", endpoint_url=address, config_kwargs={"retries": {"max_attempts": 1}}
    )

    def takes_writes() -> bool:
        assert process.poll() is None
        try:
            if not storage.exists(BUCKET):
                storage.mkdir(BUCKET)
            # It takes writes a moment later.
            storage.pipe_file(f"{BUCKET}/first", b"")
        except (OSError, BotoCoreError):
            time.sleep(0.2)
            return False
        return True

    until(takes_writes)
    storage.rm_file(f"{BUCKET}/first")
