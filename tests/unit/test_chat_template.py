import pytest

from rbee_shared.errors import InvalidArgumentError
from rbee_worker import chat_template
from rbee_worker.chat_template import ChatTemplate, ChatTemplateError

MESSAGES = [{"role": "user", "content": "hi"}]
CHATML = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def render(source: str | None) -> str:
    return ChatTemplate(source).render(MESSAGES, bos_token="<s>", eos_token="</s>")


def test_a_conversation_ends_where_the_model_speaks() -> None:
    assert render(CHATML) == "<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n"


def test_a_model_without_a_template_says_so() -> None:
    with pytest.raises(ChatTemplateError, match="has no chat template") as info:
        render(None)
    assert "--raw" in info.value.hint


def test_a_template_may_refuse() -> None:
    with pytest.raises(InvalidArgumentError, match="no system please"):
        render("{{ raise_exception('no system please') }}")


@pytest.mark.parametrize(
    "hostile",
    [
        "{{ ''.__class__.__mro__[1].__subclasses__() }}",
        "{{ messages.append(1) }}",
        "{{ cycler.__init__.__globals__ }}",
        "{% for i in range(10000000) %}x{% endfor %}",
        "{{ 1 / 0 }}",
        "{{ messages[7].content }}",
        "{{ unknown() }}",
    ],
)
def test_a_hostile_template_is_refused_and_nothing_else_happens(hostile: str) -> None:
    with pytest.raises(ChatTemplateError):
        render(hostile)


def test_a_malformed_or_huge_template_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ChatTemplateError, match="malformed"):
        ChatTemplate("{% for %}")
    with pytest.raises(ChatTemplateError, match="characters"):
        ChatTemplate("x" * (chat_template.TEMPLATE_CHARS_MAX + 1))
    monkeypatch.setattr(chat_template, "RENDERED_CHARS_MAX", 100)
    with pytest.raises(ChatTemplateError, match="over 100"):
        render("{% for i in range(1000) %}{{ messages }}{% endfor %}")
