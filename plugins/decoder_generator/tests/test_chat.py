"""Conversations in the form that a model's own template gives them; real weights are in test_real_weights."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from demo_app_decoder_generator.chat import conversation, template_of

from demo_app import DemoError, InputError

# ChatML, with what published templates make use of: blocks that eat white space, a default, tools, a filter
CHATML = """{%- if tools %}
    {{- 'Tools: ' }}{{ tools | tojson }}
{%- elif messages[0]['role'] == 'system' %}
    {{- '<|im_start|>system\\n' + messages[0]['content'] + '<|im_end|>\\n' }}
{%- else %}
    {{- '<|im_start|>system\\nYou help.<|im_end|>\\n' }}
{%- endif %}
{%- for message in messages %}
    {%- if message.role == "system" and loop.first %}
        {%- continue %}
    {%- endif %}
    {{- '<|im_start|>' + message.role + '\\n' + message.content | trim + '<|im_end|>' + '\\n' }}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\\n' }}
{%- endif %}
"""
# Lines that hold a block alone leave no trace
LINES = """{% for message in messages %}
    {% if message.role == 'assistant' %}
A: {{ message.content }}
    {% else %}
Q: {{ message.content | tojson }}{{ bos_token }}
    {% endif %}
{% endfor %}
"""
ALTERNATES = "{% if messages[0].role != 'user' %}{{ raise_exception('The first must be the user.') }}{% endif %}x"
TALKS = (
    [("user", "Hi <b>& 'you' 你好</b>")],
    [("system", "Be brief."), ("user", " Why? \n"), ("assistant", "So."), ("user", "{{ messages }} {% raw %}")],
)


@pytest.mark.parametrize("template", [CHATML, LINES], ids=["chatml", "lines"])
@pytest.mark.parametrize("talk", TALKS, ids=["one", "many"])
def test_a_template_is_rendered_as_transformers_does(template: str, talk: list[tuple[str, str]]) -> None:
    from transformers.utils.chat_template_utils import render_jinja_template

    messages = [{"role": role, "content": content} for role, content in talk]
    expected, _ = render_jinja_template([messages], chat_template=template, add_generation_prompt=True)
    assert conversation(template, talk) == expected[0]


def test_chatml_is_what_it_is_said_to_be() -> None:
    assert conversation(CHATML, [("user", "Hi"), ("assistant", "Ho"), ("user", "你好")]) == (
        "<|im_start|>system\nYou help.<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\nHo<|im_end|>\n"
        "<|im_start|>user\n你好<|im_end|>\n<|im_start|>assistant\n"
    )


def test_today_can_be_asked_for() -> None:
    assert conversation("{{ strftime_now('%Y') }}", [("user", "Hi")]).startswith("20")


@pytest.mark.parametrize(
    "template",
    [
        "{{ messages.__class__.__mro__[1].__subclasses__() }}",
        "{{ messages.append(1) }}",
        "{{ raise_exception.__globals__.keys() }}",
        "{{ strftime_now.__code__.co_name }}",
        "{{ cycler.__init__.__globals__.os.popen('id') }}",
    ],
)
def test_a_template_reaches_nothing_but_the_messages(template: str) -> None:
    with pytest.raises(InputError, match=r"unsafe|not safely|undefined"):
        conversation(template, [("user", "Hi")])


def test_what_a_template_refuses_is_said() -> None:
    with pytest.raises(InputError, match="The first must be the user"):
        conversation(ALTERNATES, [("assistant", "Hi")])
    with pytest.raises(DemoError, match="chat template cannot be read"):
        conversation("{% if %}", [("user", "Hi")])


@pytest.mark.parametrize(("talk", "said"), [([], "empty"), ([("root", "Hi")], "role 'root' is unknown")])
def test_what_is_no_conversation_is_refused(talk: list[tuple[str, str]], said: str) -> None:
    with pytest.raises(InputError, match=said):
        conversation(CHATML, talk)


def test_a_template_is_found_where_the_hub_has_it(tmp_path: Path) -> None:
    assert template_of(tmp_path) is None
    config = tmp_path / "tokenizer_config.json"
    for written, found in (
        ({}, None),
        ({"chat_template": None}, None),
        ({"chat_template": CHATML}, CHATML),
        ({"chat_template": [{"name": "tools", "template": "x"}, {"name": "default", "template": LINES}]}, LINES),
        ({"chat_template": [{"name": "tools", "template": "x"}]}, None),
    ):
        config.write_text(json.dumps(written))
        assert template_of(tmp_path) == found
    (tmp_path / "chat_template.jinja").write_text(ALTERNATES)
    assert template_of(tmp_path) == ALTERNATES


@pytest.mark.parametrize("text", ["{", "[]", '{"chat_template": [1]}', '{"chat_template": [{"name": "x"}]}'])
def test_a_damaged_file_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "tokenizer_config.json").write_text(text)
    with pytest.raises(DemoError, match=r"tokenizer_config\.json in .* fetch"):
        template_of(tmp_path)
