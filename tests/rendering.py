"""Templates in use, with the process that renders them at hand."""

from collections.abc import Generator
from contextlib import contextmanager

import psutil

from rbee_worker.text.chat_template import ChatTemplate


@contextmanager
def rendering(source: str) -> Generator[tuple[ChatTemplate, psutil.Process]]:
    """Take a template for the block, and the process that it began."""
    before = set(psutil.Process().children())
    template = ChatTemplate(source)
    [process] = set(psutil.Process().children()) - before
    try:
        yield template, process
    finally:
        template.close()


def used(template: ChatTemplate, content: str = "hi") -> str:
    """Return the prompt of a conversation of one message."""
    message = {"role": "user", "content": content}
    return template.render([message], bos_token="<s>", eos_token="</s>")
