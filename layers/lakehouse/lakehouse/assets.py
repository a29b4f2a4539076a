"""Everything a lake runs on, compiled to plain files under one content hash.

Equal sources give equal bytes, whenever and wherever they are compiled: a run pins the hash it claimed with.
"""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from .contracts import compile_contracts
from .errors import DefinitionError
from .governance import compile_governance, read_access, read_grants
from .models import compile_models, read_models
from .words import (
    GOVERNANCE_FILE,
    INDEX_FILE,
    LIBRARY_FILE,
    AssetsIndex,
    DatasetPlan,
    GovernancePlan,
    ModelPlan,
    model_key,
    plan_key,
)

CORE: Final = Path(__file__).parent
CORE_FILES: Final = ("__init__.py", "governing.py", "words.py")
"""The part of the core that a Glue job imports; it needs the standard library only."""

_ZIP_DATE: Final = (1980, 1, 1, 0, 0, 0)
_HASH_DIGITS: Final = 16


@dataclass(frozen=True)
class Definitions:
    """The compiled contracts by dataset, the models in dependency order, and who may read what."""

    plans: dict[str, DatasetPlan]
    models: dict[str, ModelPlan]
    governance: GovernancePlan


@dataclass(frozen=True)
class CompiledAssets:
    """Files by their name under ``prefix``; ``index.json`` is one of them. ``hash`` is of all the others."""

    hash: str
    files: dict[str, bytes]

    @property
    def prefix(self) -> str:
        """Where they belong in the operations bucket."""
        return f"assets/{self.hash}/"


def compile_definitions(sources: Path) -> Definitions:
    """Compile ``contracts/``, ``models/`` and ``governance/`` below a folder; each may be missing.

    Raises ``DefinitionError`` with the problems of all; models and grants are read even if a contract is
    wrong, but resolved only against contracts that are right.
    """
    contracts, models = sources / "contracts", sources / "models"
    try:
        plans = compile_contracts(contracts) if contracts.is_dir() else {}
    except DefinitionError as error:
        raise DefinitionError(
            error.problems + _reading_problems(models) + _grant_problems(sources)
        ) from error
    try:
        compiled = compile_models(models, plans) if models.is_dir() else {}
    except DefinitionError as error:
        raise DefinitionError(error.problems + _grant_problems(sources)) from error
    return Definitions(plans, compiled, compile_governance(sources, plans, compiled))


def _reading_problems(models: Path) -> tuple[str, ...]:
    return tuple(read_models(models)[1]) if models.is_dir() else ()


def _grant_problems(sources: Path) -> tuple[str, ...]:
    return tuple(map(str, [*read_grants(sources)[1].found, *read_access(sources)[1].found]))


def compile_assets(sources: Path, core: Path = CORE) -> CompiledAssets:
    """Compile the lake whose ``contracts/``, ``models/``, ``governance/`` and ``glue/`` lie below
    ``sources``.

    ``core`` is the folder of this package. Raises ``DefinitionError``.
    """
    definitions = compile_definitions(sources)
    files = {plan_key("", name): _json(plan) for name, plan in definitions.plans.items()}
    files |= {model_key("", name): _json(plan) for name, plan in definitions.models.items()}
    files |= {f"jobs/{path.name}": path.read_bytes() for path in sorted((sources / "glue/jobs").glob("*.py"))}
    files[GOVERNANCE_FILE] = _json(definitions.governance)
    files[LIBRARY_FILE] = _library(sources / "glue", core)
    digest = content_digest(files)
    index = AssetsIndex(
        hash=digest,
        datasets=sorted(definitions.plans),
        models=list(definitions.models),
        freshness_seconds=_freshness(definitions.plans),
        scheduled=sorted(name for name, plan in definitions.plans.items() if plan.get("scheduled")),
    )
    return CompiledAssets(digest, {**files, INDEX_FILE: _json(index)})


def _freshness(plans: Mapping[str, DatasetPlan]) -> dict[str, int]:
    return {name: plan["freshness_seconds"] for name, plan in plans.items() if "freshness_seconds" in plan}


def content_digest(files: Mapping[str, bytes]) -> str:
    """The hash of file names and contents, in 16 hex digits."""
    digest = hashlib.sha256()
    for name in sorted(files):
        digest.update(f"{name}\0{len(files[name])}\0".encode())
        digest.update(files[name])
    return digest.hexdigest()[:_HASH_DIGITS]


def _json(content: object) -> bytes:
    return json.dumps(content, indent=1, ensure_ascii=False, sort_keys=True).encode()


def _library(glue: Path, core: Path) -> bytes:
    """The zip that a Glue job finds on its path, the same bytes each time."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_STORED) as archive:
        for name, path in sorted(_library_files(glue, core)):
            entry = zipfile.ZipInfo(name, _ZIP_DATE)
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, path.read_bytes())
    return packed.getvalue()


def _library_files(glue: Path, core: Path) -> Iterator[tuple[str, Path]]:
    for path in (glue / "lakehouse_spark").rglob("*.py"):
        yield path.relative_to(glue).as_posix(), path
    for name in CORE_FILES:
        yield f"lakehouse/{name}", core / name
