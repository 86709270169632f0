"""Clients that know only the protos: Node over loopback TCP, with the owner's token."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from tests.conftest import Home

pytestmark = [pytest.mark.system, pytest.mark.model, pytest.mark.timeout(120)]

NODE = Path(__file__).parents[1] / "node"
PROTOS = Path(__file__).parents[2] / "protos"


def tcp_of(home: Home) -> tuple[str, str]:
    status = home.json("status")
    [address] = [each for each in status["addresses"] if not each.startswith("unix:")]
    return address, Path(status["token_file"]).read_text().strip()


def node(address: str, token: str, operation: dict[str, Any]) -> list[dict[str, Any]]:
    program = shutil.which("node")
    assert program, "the tests need node"
    result = subprocess.run(
        [program, NODE / "client.mjs", PROTOS, address, token, json.dumps(operation)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert result.stderr == ""
    return [json.loads(line) for line in result.stdout.splitlines()]


def test_node_reads_tokens_from_the_protos_alone(warm: Home) -> None:
    address, token = tcp_of(warm)
    said = {"role": "ROLE_USER", "content": "Why is the sky blue?"}
    sampling = {"temperature": 0, "max_tokens": 40}
    infer = {"model": "smollm2", "conversation": {"messages": [said]}, "sampling": sampling}
    first, *events = node(address, token, {"infer": infer})
    assert first["initial_job_id"] == events[0]["job_id"]
    text = "".join(event["body"]["text"] for event in events if event["kind"] == "completion")
    assert "scatter" in text
    assert events[-2]["kind"] == "result"
    assert events[-1]["body"]["state"] == "JOB_STATE_COMPLETED"


def test_without_the_token_nothing_is_said(warm: Home) -> None:
    address, _ = tcp_of(warm)
    for wrong in ("", "wrong"):
        [refusal] = node(address, wrong, {"status": {}})
        assert refusal["code"] == grpc.StatusCode.UNAUTHENTICATED.value[0]


async def test_health_and_reflection_answer(warm: Home) -> None:
    address, token = tcp_of(warm)
    metadata = (("authorization", f"Bearer {token}"),)
    async with grpc.aio.insecure_channel(address) as channel:
        health: Any = health_pb2_grpc.HealthStub(channel)
        request = health_pb2.HealthCheckRequest(service="rbee.v1.JobService")
        answer = await health.Check(request, metadata=metadata)
        assert answer.status == health_pb2.HealthCheckResponse.SERVING
        plain: Any = channel
        reflection: Any = reflection_pb2_grpc.ServerReflectionStub(plain)
        asked = iter([reflection_pb2.ServerReflectionRequest(list_services="")])
        [listed] = [
            each async for each in reflection.ServerReflectionInfo(asked, metadata=metadata)
        ]
        names = {service.name for service in listed.list_services_response.service}
    assert {"rbee.v1.JobService", "rbee.v1.FleetService", "grpc.health.v1.Health"} <= names


def test_the_token_file_is_the_owners_alone(warm: Home) -> None:
    token_file = Path(warm.json("status")["token_file"])
    assert token_file.stat().st_mode & 0o777 == 0o600
    assert (warm.folder / "run").stat().st_mode & 0o777 == 0o700
