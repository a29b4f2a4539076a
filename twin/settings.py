"""Where the twin listens and where it keeps its files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

DEFAULT_PORT = 4566
REGION = "us-east-1"
ACCOUNT = "000000000000"
PROFILE = "twin"


@dataclass(frozen=True)
class Settings:
    """One twin of one project folder."""

    project_root: Path
    host: str = "127.0.0.1"
    """The address to bind. Another one than the loopback lets a container reach the twin."""
    port: int = DEFAULT_PORT
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
        return f"https://127.0.0.1:{self.port}"

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
