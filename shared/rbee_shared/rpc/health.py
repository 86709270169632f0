"""grpc.health.v1 and reflection, which every server answers; their packages have no types."""

from collections.abc import Sequence
from typing import Any

import grpc
import grpc_health.v1.health as health_module
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

_health: Any = health_module
_health_grpc: Any = health_pb2_grpc
_reflection: Any = reflection

HEALTH_SERVICE = "grpc.health.v1.Health"


class Health:
    """The health of one server and of each of its services."""

    def __init__(self, server: grpc.aio.Server, names: Sequence[str]) -> None:
        self._names = ("", *names)
        self._servicer: Any = _health.aio.HealthServicer()
        _health_grpc.add_HealthServicer_to_server(self._servicer, server)
        _reflection.enable_server_reflection(
            (*names, HEALTH_SERVICE, _reflection.SERVICE_NAME), server
        )

    async def serving(self) -> None:
        """Say that all services take calls."""
        for name in self._names:
            await self._servicer.set(name, health_pb2.HealthCheckResponse.SERVING)

    async def stopping(self) -> None:
        """Say that no service takes calls any more."""
        await self._servicer.enter_graceful_shutdown()
