"""Chat templates: equal to transformers, and kept within bounds."""

import pytest

from causeway.ports.models import chat_template
from causeway.ports.models.chat_template import ChatTemplate, read_chat_template
from causeway.ports.models.model_files import files_of

SPECIAL = {"bos_token": "<s>", "eos_token": "</s>"}
CONVERSATIONS = (
    [{"role": "user", "content": "Name a colour."}],
    [
        {"role": "system", "content": "Be brief. "},
        {"role": "user", "content": " Name a colour.\n"},
        {"role": "assistant", "content": "Blue & 'green'."},
        {"role": "user", "content": "<b>Another?</b> \u4f60\u597d"},
    ],
)
TEMPLATES = {
    "chatml": """{% for message in messages %}
        {{- '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>\\n' }}
    {%- endfor %}
    {% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}""",
    "of two rules": """{{ bos_token }}{% set ns = namespace(turns=0) %}
{% for message in messages %}
    {%- if message.role == 'system' %}{% continue %}{% endif %}
    {%- set ns.turns = ns.turns + 1 %}
[{{ ns.turns }}/{{ loop.index0 }}] {{ message.content | trim }}{{ eos_token if loop.last else '' }}
{% endfor %}""",
    "of JSON": "{% for m in messages %}{{ m | tojson }}{{ m.tool_calls is defined }}{% endfor %}",
    "of what an assistant wrote": """{% for m in messages %}{% if m.role == 'assistant' %}
{% generation %}{{ m.content }}{{ eos_token }}{% endgeneration %}
{% else %}{{ m.content }}{% endif %}{% endfor %}""",
}


@pytest.mark.parametrize("messages", CONVERSATIONS)
@pytest.mark.parametrize("name", TEMPLATES)
@pytest.mark.parametrize("prompt", [True, False])
def test_texts_equal_those_of_transformers(name, messages, prompt):
    from transformers.utils.chat_template_utils import render_jinja_template

    expected, _ = render_jinja_template(
        conversations=[messages], chat_template=TEMPLATES[name], add_generation_prompt=prompt, **SPECIAL
    )
    assert ChatTemplate(TEMPLATES[name], "a template", SPECIAL)(messages, prompt) == expected[0]


@pytest.mark.parametrize("messages", CONVERSATIONS)
def test_the_template_in_a_gguf_file(messages, data_dir):
    from transformers.utils.chat_template_utils import render_jinja_template

    template = read_chat_template(files_of(data_dir / "models" / "smollm2-135m-instruct"))
    expected, _ = render_jinja_template(
        conversations=[messages], chat_template=template.source, add_generation_prompt=True,
        bos_token="<|im_start|>", eos_token="<|im_end|>",
    )  # fmt: skip
    assert template(messages) == expected[0]
    assert expected[0].endswith("<|im_start|>assistant\n")


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("{{ raise_exception('roles must alternate') }}", "the chat template failed .*roles must alternate"),
        ("{{ messages.__class__.__mro__ }}", "'__class__' of 'list' object is unsafe"),
        ("{{ ''.__class__.mro()[1].__subclasses__() }}", "is unsafe"),
        ("{{ messages.append(1) }}", "'append' of 'list' object is unsafe"),
        ("{{ 'a' * 10000000000 }}", r"\* makes something too large"),
        ("{{ 9 ** 100000000 }}", r"\*\* makes something too large"),
        ("{% for i in range(1000000000) %}{% endfor %}", "Range too big"),
        ("{{ messages[0].x.y }}", "has no attribute 'x'"),
    ],
)
def test_templates_that_fail_or_reach_out_are_refused(source, message):
    with pytest.raises(ValueError, match=f"config.json: .*{message}"):
        ChatTemplate(source, "config.json", {})(CONVERSATIONS[0])


def test_a_template_that_does_not_end_is_stopped(monkeypatch):
    monkeypatch.setattr(chat_template, "SECONDS", 0.2)
    loops = "{% set l = range(90000)|list %}{% for a in l %}{% for b in l %}{% endfor %}{% endfor %}"
    with pytest.raises(ValueError, match=r"ran for more than 0.2 seconds"):
        ChatTemplate(loops, "config.json", {})(CONVERSATIONS[0])


def test_what_is_no_template_is_refused():
    with pytest.raises(ValueError, match=r"config.json: not a chat template .*TemplateSyntaxError"):
        ChatTemplate("{% if %}", "config.json", {})


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("{}", None),
        ('{"chat_template": "{{ bos_token }}!", "bos_token": {"content": "<s>"}}', "<s>!"),
        ('{"chat_template": [{"name": "tool", "template": "t"}, {"name": "default", "template": "d"}]}', "d"),
    ],
)
def test_where_templates_stand(content, expected, tmp_path):
    (tmp_path / "tokenizer_config.json").write_text(content)
    template = read_chat_template(files_of(tmp_path))
    assert (template if template is None else template([])) == expected
    (tmp_path / "chat_template.jinja").write_text("from a file")
    assert read_chat_template(files_of(tmp_path))([]) == "from a file"
