"""`python -m api openapi`: print the OpenAPI document, for generators of clients."""

import argparse
import json
import sys

from api.commands.command import Command
from api.settings import Settings


def print_document(settings: Settings, options: argparse.Namespace) -> int:
    """As `GET /openapi.json` answers it; no database is asked."""
    from api.main import create_app  # which makes an app when it is imported

    json.dump(create_app(settings).openapi(), sys.stdout, indent=2, ensure_ascii=False)
    print()
    return 0


command = Command("openapi", "print the OpenAPI document, for generators of clients", print_document)
