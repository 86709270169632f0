"""rbee for programs: run operations and hear their jobs' stories, from asyncio code.

async with connect() as client:
    async for event in client.run(operation):
        print(event.narration.human or event.completion.text)
"""

from rbee_client.client import Client as Client
from rbee_client.connect import connect as connect
