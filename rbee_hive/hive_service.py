"""HiveService: snapshots out."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

import grpc

from rbee.v1 import hive_service_pb2 as pb, hive_service_pb2_grpc as rpc
from rbee_hive.hive import Hive

Context = grpc.aio.ServicerContext[Any, Any]


class HiveService(rpc.HiveServiceServicer):
    """Serves one hive's snapshots."""

    def __init__(self, hive: Hive) -> None:
        self._hive = hive

    async def WatchHive(
        self, request: pb.WatchHiveRequest, context: Context
    ) -> AsyncGenerator[pb.WatchHiveResponse]:
        async with aclosing(self._hive.snapshots()) as snapshots:
            async for snapshot in snapshots:
                yield pb.WatchHiveResponse(snapshot=snapshot)
