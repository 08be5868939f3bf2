"""NotedRoute: a route that tells log and measures its path's template, and nothing of what stood in its place."""

from __future__ import annotations

from starlette.routing import Route
from starlette.types import Receive, Scope, Send


class NotedRoute(Route):
    """Starlette's route; the gate finds its path in `scope["state"]["passing"]`."""

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, once the gate knows who does."""
        if passing := scope.get("state", {}).get("passing"):
            passing.route = self.path_format
        await super().handle(scope, receive, send)
