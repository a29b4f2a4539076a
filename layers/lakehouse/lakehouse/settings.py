"""What a function is told by its environment, read and checked once."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from .errors import SettingsError
from .words import REFRESH_WRITER


class Settings(BaseModel):
    """The environment of every function. Each field is read from the variable of its name in capitals."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    lake_name: str = Field(pattern=r"^[a-z][a-z0-9]{1,15}$")
    environment: str = Field(pattern=r"^(dev|prod)$")
    bronze_bucket: str = Field(min_length=3)
    silver_bucket: str = Field(min_length=3)
    gold_bucket: str = Field(min_length=3)
    operations_bucket: str = Field(min_length=3)
    ledger_table: str = Field(min_length=3)
    lineage_table: str = Field(min_length=3)
    promote_state_machine_arn: str = Field(pattern=r"^arn:[^:]+:states:")
    refresh_state_machine_arn: str = Field(pattern=r"^arn:[^:]+:states:")
    maintain_state_machine_arn: str = Field(pattern=r"^arn:[^:]+:states:")
    failure_topic_arn: str = Field(pattern=r"^arn:[^:]+:sns:")
    bronze_database: str = Field(min_length=1)
    silver_database: str = Field(min_length=1)
    gold_database: str = Field(min_length=1)
    silver_job_name: str = Field(min_length=1)
    gold_job_name: str = Field(min_length=1)
    maintain_job_name: str = Field(min_length=1)
    crawler_name: str = Field(min_length=1)
    governed_roles: str = Field(default="off", pattern=r"^(off|arn:[a-z-]+:iam::[0-9]{12}:role/.+-)$")
    """What the ARNs of the lake's roles begin with; off where IAM alone decides who reads."""
    assets_prefix: str = Field(pattern=r"^assets/[^/]+/$")
    max_batch_files: int = Field(default=1000, ge=1, le=10_000)
    max_batch_bytes: int = Field(default=64 * 1024**3, ge=1)
    backoff_seconds: int = Field(default=60, ge=1)
    """How long a writer waits after its environment failed; the next wait is four times as long."""
    maintenance_commits: int = Field(default=20, ge=1)
    """After how many commits that brought files a table is maintained."""
    snapshot_retention_days: int = Field(default=7, ge=1)
    """A table can be read as it was at any moment of so many days."""
    min_snapshots: int = Field(default=10, ge=1)
    """So many of a table's newest snapshots are kept in any case."""

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Settings:
        """Read the settings from ``environment``, which is ``os.environ`` in a function.

        Raises ``SettingsError`` that names every variable that is missing or wrong, without its value.
        """
        fields = {name: environment[name.upper()] for name in cls.model_fields if name.upper() in environment}
        try:
            return cls.model_validate(fields)
        except ValidationError as error:
            wrong = sorted({str(item["loc"][0]).upper() for item in error.errors()})
            raise SettingsError(f"missing or wrong in the environment: {', '.join(wrong)}") from error

    def state_machine_arn(self, writer: str, *, maintaining: bool = False) -> str:
        """The state machine that runs a writer's runs, or the maintenance of its tables."""
        if maintaining:
            return self.maintain_state_machine_arn
        return self.refresh_state_machine_arn if writer == REFRESH_WRITER else self.promote_state_machine_arn

    def job_name(self, writer: str, *, maintaining: bool = False) -> str:
        """The Glue job that a writer's runs start, or the maintenance of its tables."""
        if maintaining:
            return self.maintain_job_name
        return self.gold_job_name if writer == REFRESH_WRITER else self.silver_job_name
