"""Conversations as prompts, by templates like those that models have."""

import json

import pytest

from rbee_shared.errors import InvalidArgumentError
from rbee_worker.text.chat_template import TEMPLATE_CHARS_MAX, ChatTemplate, ChatTemplateError

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


@pytest.mark.parametrize(
    ("source", "knows"), [(None, False), (CHATML, False), ("{{ tools | tojson }}", True)]
)
def test_whether_it_can_tell_the_model_of_tools(source: str | None, *, knows: bool) -> None:
    assert ChatTemplate(source).knows_tools is knows


def test_a_template_may_refuse() -> None:
    with pytest.raises(InvalidArgumentError, match="no system please"):
        render("{{ raise_exception('no system please') }}")


@pytest.mark.parametrize("source", ["{% for %}", "{{ 1 +", "{% if 1 %}", "{% other %}"])
def test_a_malformed_template_is_refused_before_anybody_uses_it(source: str) -> None:
    template = ChatTemplate(source)
    with pytest.raises(ChatTemplateError, match=r"malformed: .* in line 1"):
        template.check()


def test_a_huge_template_is_refused() -> None:
    with pytest.raises(ChatTemplateError, match="characters"):
        ChatTemplate("x" * (TEMPLATE_CHARS_MAX + 1))


def test_a_template_that_fails_says_where_and_why() -> None:
    with pytest.raises(ChatTemplateError, match="UndefinedError in line 2: 'other' is undefined"):
        render("a\n{{ other() }}")


def test_tools_are_given_to_the_template_and_none_are_none() -> None:
    template = ChatTemplate("{{ 'no' if tools is none else tools | tojson }}")
    tool = {"type": "function", "function": {"name": "look"}}
    assert template.render(MESSAGES, bos_token="", eos_token="") == "no"
    told = template.render(MESSAGES, tools=[tool], bos_token="", eos_token="")
    assert json.loads(told) == [tool]


GEMMA = (  # roles renamed, the first message part of the second, an order that is checked
    "{{ bos_token }}{% if messages[0]['role'] == 'system' %}"
    "{% set first = messages[0]['content'] + '\n\n' %}{% set rest = messages[1:] %}"
    "{% else %}{% set first = '' %}{% set rest = messages %}{% endif %}"
    "{% for m in rest %}"
    "{% if (m['role'] == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('roles must take turns') }}{% endif %}"
    "{% set role = 'model' if m['role'] == 'assistant' else m['role'] %}"
    "{{ '<start_of_turn>' + role + '\n' + (first if loop.first else '') }}"
    "{{ m['content'] | trim if m['content'] is string }}{{ '<end_of_turn>\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<start_of_turn>model\n' }}{% endif %}"
)
LLAMA3 = (  # a date, tools that may be there
    "{%- if strftime_now is defined %}{%- set date = strftime_now('%Y') %}"
    "{%- else %}{%- set date = '2024' %}{%- endif %}"
    "{%- if not tools is defined %}{%- set tools = none %}{%- endif %}"
    "{{- bos_token + date[:2] }}"
    "{%- if tools is not none %}{{- tools | tojson(indent=4) }}{%- endif %}"
    "{%- for message in messages %}"
    "{{- '<|start_header_id|>' + message['role'] + '<|end_header_id|>\n\n' }}"
    "{{- message['content'] | trim + '<|eot_id|>' }}{%- endfor %}"
)
QWEN3 = (  # a namespace that survives the loop, messages backwards, thoughts cut from old answers
    "{%- set ns = namespace(last=messages|length - 1, open=true) %}"
    "{%- for message in messages[::-1] %}{%- set index = (messages|length - 1) - loop.index0 %}"
    "{%- if ns.open and message.role == 'user' and not message.content.startswith('<tool') %}"
    "{%- set ns.open = false %}{%- set ns.last = index %}{%- endif %}{%- endfor %}"
    "{%- for message in messages %}{%- set content = message.content %}"
    "{%- if message.reasoning_content is string %}{{- 'never' }}{%- endif %}"
    "{%- if '</think>' in content and loop.index0 < ns.last %}"
    "{%- set content = content.split('</think>')[-1].lstrip('\n') %}{%- endif %}"
    "{{- '<|im_start|>' + message.role + '\n' + content + '<|im_end|>' + '\n' }}{%- endfor %}"
    "{%- if enable_thinking is defined and enable_thinking is false %}{{- 'never' }}{%- endif %}"
)
TALK = [
    {"role": "user", "content": " hi "},
    {"role": "assistant", "content": "<think>\nhm\n</think>\n\nhello"},
    {"role": "user", "content": "why?"},
]


def talk(source: str, *messages: dict[str, str]) -> str:
    return ChatTemplate(source).render(messages or TALK, bos_token="<s>", eos_token="</s>")


def test_a_template_like_gemma_s_renames_roles_and_takes_the_system_along() -> None:
    system = {"role": "system", "content": "Be brief."}
    assert talk(GEMMA, system, TALK[0]) == (
        "<s><start_of_turn>user\nBe brief.\n\nhi<end_of_turn>\n<start_of_turn>model\n"
    )
    with pytest.raises(InvalidArgumentError, match="roles must take turns"):
        talk(GEMMA, TALK[1], TALK[0])


def test_a_template_like_llama_3_s_knows_the_date_and_no_tools() -> None:
    assert talk(LLAMA3, TALK[0]) == (
        "<s>20<|start_header_id|>user<|end_header_id|>\n\nhi<|eot_id|>"
    )


def test_a_template_like_qwen_s_leaves_old_thoughts_out() -> None:
    assert talk(QWEN3) == (
        "<|im_start|>user\n hi <|im_end|>\n<|im_start|>assistant\nhello<|im_end|>\n"
        "<|im_start|>user\nwhy?<|im_end|>\n"
    )


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("{{ {'a': '<é>'} | tojson }}", '{"a": "<é>"}'),
        ("{{ [1] | tojson(indent=1) }}", "[\n 1\n]"),
        ("{% for m in messages %}{% if loop.index > 1 %}{% break %}{% endif %}x{% endfor %}", "x"),
        ("a{% generation %}{{ messages[0].role }}{% endgeneration %}b", "auserb"),
    ],
)
def test_a_template_may_use_what_transformers_gives_it(source: str, text: str) -> None:
    assert talk(source) == text
