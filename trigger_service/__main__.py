"""`python -m trigger_service`, and the script `wakepoint-trigger`."""

from __future__ import annotations

from trigger_service.app import serve
from trigger_service.settings import Settings
from wakepoint.chassis.server import launch


def main() -> None:
    """Serve until told to stop."""
    launch(Settings, serve)


if __name__ == "__main__":
    main()
