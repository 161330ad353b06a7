"""The types that the providers of this package know. Whoever provides one keeps the same promise."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pipegraft.appspec.ports.resources import Output, ResourceType

__all__ = ["BUCKET", "MYSQL", "POSTGRES", "REDIS", "SQLITE"]

_HOST = Output("Name or address of the machine it listens on.")
_PORT = Output("Port it listens on.", type="integer")
_PASSWORD = Output("Password of the user.", secret=True)
_QUANTITY = r"^\d+([KMGT]i)?$"


_VERSION: Mapping[str, Any] = {
    "type": "string",
    "description": "Version, at least its major number; the provider's choice if absent.",
    "pattern": r"^\d+(\.\d+)*$",
}


def _database(name: str, product: str) -> ResourceType:
    storage = {
        "type": "string",
        "description": "Size of its disk, as Kubernetes writes it.",
        "pattern": _QUANTITY,
        "default": "10Gi",
    }
    database = {
        "type": "string",
        "description": "Name of the database.",
        "pattern": "^[a-z][a-z0-9_]{0,62}$",
        "default": "app",
    }
    return ResourceType(
        name,
        f"A database of a {product} server.",
        {"version": _VERSION, "storage": storage, "database": database},
        {
            "host": _HOST,
            "port": _PORT,
            "database": Output("Name of the database."),
            "username": Output("User who owns it."),
            "password": _PASSWORD,
        },
    )


POSTGRES = _database("postgres", "PostgreSQL")
MYSQL = _database("mysql", "MySQL")
REDIS = ResourceType(
    "redis",
    "A Redis server, or one that speaks its protocol.",
    {
        "version": _VERSION,
        "memory": {
            "type": "string",
            "description": "What it may keep in memory, as Kubernetes writes it.",
            "pattern": _QUANTITY,
            "default": "64Mi",
        },
        "persistent": {
            "type": "boolean",
            "description": "Whether what it holds survives a restart.",
            "default": False,
        },
    },
    {"host": _HOST, "port": _PORT, "password": _PASSWORD},
)
BUCKET = ResourceType(
    "bucket",
    "A bucket for objects, by the S3 protocol.",
    {"name": {"type": "string", "description": "Name of the bucket.", "default": "app"}},
    {
        "endpoint": Output("URL of the server."),
        "region": Output("Its region."),
        "bucket": Output("Name of the bucket."),
        "access-key": Output("Whose keys: the public part.", secret=True),
        "secret-key": Output("Whose keys: the secret part.", secret=True),
    },
)
SQLITE = ResourceType(
    "sqlite",
    "An SQLite database: a file of the machine, for one machine.",
    {
        "journal": {
            "enum": ["wal", "delete"],
            "description": "Its journal mode; `wal` lets one write while others read.",
            "default": "wal",
        }
    },
    {"path": Output("Where the file is.")},
)
