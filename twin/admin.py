"""Who may use the twin: one administrator, and the files by which clients find endpoint and keys."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from twin.context import Context, Credentials
from twin.settings import PROFILE, Settings

ADMIN_USER = "twin-admin"
ROOT_KEYS: Credentials = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}
"""The emulator's root keys. They bypass IAM, so they are used here once and never handed out."""
ADMINISTRATOR_ACCESS = "arn:aws:iam::aws:policy/AdministratorAccess"


def create_administrator(context: Context) -> Credentials:
    """Make the administrator where it is missing, and a new access key; returns the key."""
    iam = context.client("iam", ROOT_KEYS)
    if ADMIN_USER not in {user["UserName"] for user in iam.list_users()["Users"]}:
        iam.create_user(UserName=ADMIN_USER)
        iam.attach_user_policy(UserName=ADMIN_USER, PolicyArn=ADMINISTRATOR_ACCESS)
    for key in iam.list_access_keys(UserName=ADMIN_USER)["AccessKeyMetadata"]:
        iam.delete_access_key(UserName=ADMIN_USER, AccessKeyId=key["AccessKeyId"])
    key = iam.create_access_key(UserName=ADMIN_USER)["AccessKey"]
    return {"AWS_ACCESS_KEY_ID": key["AccessKeyId"], "AWS_SECRET_ACCESS_KEY": key["SecretAccessKey"]}


def write_client_files(settings: Settings, context: Context) -> None:
    """Write the AWS profile ``twin`` and, last, ``endpoint.json``: its presence says the twin is ready."""
    keys = context.admin_credentials
    settings.aws_dir.mkdir(parents=True, exist_ok=True)
    _write_private(
        settings.aws_dir / "credentials",
        f"[{PROFILE}]\naws_access_key_id = {keys['AWS_ACCESS_KEY_ID']}\n"
        f"aws_secret_access_key = {keys['AWS_SECRET_ACCESS_KEY']}\n",
    )
    _write_private(
        settings.aws_dir / "config",
        f"[profile {PROFILE}]\nregion = {context.region}\noutput = json\n"
        f"endpoint_url = {context.endpoint}\nca_bundle = {context.ca_bundle}\n",
    )
    endpoint: dict[str, Any] = {
        "endpoint": context.endpoint,
        "plain_endpoint": f"http://{settings.plain_bind}",
        "ca_bundle": str(context.ca_bundle),
        "region": context.region,
        "account": context.account,
        "access_key": keys["AWS_ACCESS_KEY_ID"],
        "secret_key": keys["AWS_SECRET_ACCESS_KEY"],
        "profile": PROFILE,
        "config_file": str(settings.aws_dir / "config"),
        "credentials_file": str(settings.aws_dir / "credentials"),
        "pid": os.getpid(),
    }
    _write_private(settings.endpoint_file, json.dumps(endpoint, indent=2) + "\n")


def _write_private(path: Path, text: str) -> None:
    """Write a file only its owner can read, whole or not at all."""
    part = path.with_suffix(".part")
    with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as out:
        out.write(text)
    part.replace(path)
