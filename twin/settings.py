"""Where the twin listens and where it keeps its files."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path

LOOPBACK = "127.0.0.1"
CONTAINERS_NAME = "host.docker.internal"
"""How a container names the machine it runs on."""
DEFAULT_PORT = 4566
REGION = "us-east-1"
ACCOUNT = "000000000000"
PROFILE = "twin"


@dataclass(frozen=True)
class Settings:
    """One twin of one project folder."""

    project_root: Path
    host: str = LOOPBACK
    """The address to bind besides the loopback. Another one than that lets a container reach the twin."""
    port: int = DEFAULT_PORT
    plain_port: int = 0
    """Where plain HTTP is answered too, on the loopback alone, so that its refusal can be seen."""
    persist: bool = False
    """Keep buckets, tables and stacks over a restart, in ``.twin/state``."""
    log_level: str = "WARNING"
    state_folder: Path = Path(".twin")
    """The folder of everything the twin writes, below the project unless absolute."""

    @property
    def state_dir(self) -> Path:
        """The absolute path of ``state_folder``."""
        return self.project_root / self.state_folder

    @property
    def endpoint(self) -> str:
        """The address clients on this machine use."""
        return f"https://{LOOPBACK}:{self.port}"

    @property
    def plain_bind(self) -> str:
        """Where to listen without TLS."""
        return f"{LOOPBACK}:{self.plain_port}"

    @property
    def binds(self) -> list[str]:
        """What to listen on: the loopback always, since this machine's clients use it."""
        addresses = [self.host] if ip_address(self.host).is_unspecified else sorted({LOOPBACK, self.host})
        return [f"[{a}]:{self.port}" if ":" in a else f"{a}:{self.port}" for a in addresses]

    def build_dir(self, stack: str) -> Path:
        """Where the SAM CLI builds what is deployed as a stack."""
        return self.state_dir / "build" / stack

    @property
    def endpoint_file(self) -> Path:
        """What a client needs to know, written once the twin answers."""
        return self.state_dir / "endpoint.json"

    @property
    def ca_bundle(self) -> Path:
        """The certificate to trust, in PEM."""
        return self.state_dir / "ca.pem"

    @property
    def aws_dir(self) -> Path:
        """The folder of the AWS profile files."""
        return self.state_dir / "aws"

    @property
    def project_python(self) -> Path:
        """The interpreter that runs Lambda functions."""
        return self.project_root / ".venv" / "bin" / "python"
