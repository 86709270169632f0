"""FleetService: how the fleet is, for dashboards."""

import asyncio
import time
from collections.abc import AsyncGenerator
from typing import Any

import grpc

from rbee.v1 import fleet_service_pb2 as pb, fleet_service_pb2_grpc as rpc
from rbee_queen.queen import Queen
from rbee_shared.contracts import wire
from rbee_shared.limits import SNAPSHOT_INTERVAL_S

Context = grpc.aio.ServicerContext[Any, Any]

SPACING_S = 0.1  # between two messages of one watcher, however much changes


class FleetService(rpc.FleetServiceServicer):
    """Serves one queen's view of its hives."""

    def __init__(self, queen: Queen) -> None:
        self._queen = queen

    async def WatchFleet(
        self, request: pb.WatchFleetRequest, context: Context
    ) -> AsyncGenerator[pb.WatchFleetResponse]:
        while True:
            seen = self._queen.watch.change_count
            yield pb.WatchFleetResponse(
                hives=self._queen.watch.hives(),
                running_job_count=len(self._queen.jobs.running()),
                create_time=wire.timestamp(time.time()),
            )
            await asyncio.sleep(SPACING_S)
            await self._queen.watch.change(seen, SNAPSHOT_INTERVAL_S)
