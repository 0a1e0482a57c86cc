"""Conversations: the template's own text and tokens, and where each message stands in them."""

import dataclasses

import pytest

import causeway as cw

USER = [{"role": "user", "content": "game: loss $20. balance $150."}]


def template(messages, generation_prompt):
    turns = "".join(f"{m['role']}: {m['content'].strip()} " for m in messages)
    return turns + "choice:" * generation_prompt


@pytest.fixture(scope="module")
def model():
    return dataclasses.replace(cw.load_model("bundled:tiny"), chat_template=template)


@pytest.fixture(scope="module")
def real(request):
    return cw.load_model(request.getfixturevalue("data_dir") / "models" / "smollm2-135m-instruct")


def test_a_real_conversation_is_the_templates_text_and_tokens(real):
    messages = [
        {"role": "system", "content": "Be brief."}, {"role": "user", "content": "Name the capital of France. "},
        {"role": "assistant", "content": "Paris."}, {"role": "user", "content": "And of Caf\u00e9 \U0001f600 land?"},
    ]  # fmt: skip
    talk = cw.chat(real, messages)
    assert talk.text == real.chat_template(messages, True)
    assert list(talk.tokens) == real.tokenizer.encode(talk.text)
    assert talk.text.endswith("<|im_start|>assistant\n")
    assert [turn.role for turn in talk.turns] == ["system", "user", "assistant", "user"]
    texts = [real.tokenizer.decode(talk.tokens[turn.start : turn.stop]) for turn in talk.turns]
    assert [text.strip() for text in texts] == [message["content"].strip() for message in messages]
    assert real.tokenizer.decode(talk.tokens[talk.span(" France")]) == " France"
    assert real.tokenizer.decode([talk.tokens[talk.turns[2].start]]) == "Paris"
    assert real.tokenizer.decode([talk.tokens[talk.turns[2].last]]) == "."


@pytest.mark.slow
def test_a_conversation_is_a_prompt_and_its_places_are_scopes(real):
    talk = cw.chat(real, [{"role": "user", "content": "The colour of grass, Mary, is"}])
    assert talk.place("user") == talk.place("turn0") == slice(talk.turns[0].start, talk.turns[0].stop)
    assert talk.place("user.last") == slice(talk.turns[0].last, talk.turns[0].stop)
    assert real.tokenizer.decode(talk[talk.place('" grass, Mary".first')]) == " grass"
    edit = cw.UnitEdit(29, 0, scope=talk.place("user.last"))
    [changed] = cw.run(real, talk, edits=[edit]).logits
    differs = (changed != cw.run(real, list(talk.tokens)).logits[0]).any(axis=-1).nonzero()[0]
    assert differs.tolist() == [talk.turns[0].last]
    with pytest.raises(ValueError, match="the prompt has no place 'assistant'; it has user, turn0"):
        talk.place("assistant.last")


def test_a_system_message_goes_before_and_an_answer_may_be_left_open(real):
    asked = [{"role": "user", "content": "Name a colour."}]
    talk = cw.chat(real, asked, system="Be brief.", generation_prompt=False)
    assert talk.text == real.chat_template([{"role": "system", "content": "Be brief."}, *asked], False)
    assert talk.turns[0].role == "system"
    assert not talk.text.endswith("assistant\n")


def test_begin_of_sequence_is_the_templates_business(real):
    begins = dataclasses.replace(real, prepend_bos=True)
    assert cw.chat(begins, [{"role": "user", "content": "Hi"}]).tokens.count(real.tokenizer.bos_id) == 3


@pytest.mark.parametrize(
    ("messages", "what"),
    [
        ([], r"messages: got \[\]; needs a list of objects with role and content"),
        ("hi", "messages: got 'hi'; needs a list"),
        ([{"role": "robot", "content": "x"}], "number 0 has the role 'robot'; needs one of system, developer, user"),
        ([*USER, {"role": "user"}], "number 1 is .*needs role and content, a text"),
    ],
)
def test_messages_that_are_none_are_refused(model, messages, what):
    with pytest.raises(ValueError, match=what):
        cw.chat(model, messages)


def test_two_system_messages_are_refused(model):
    with pytest.raises(ValueError, match="system: got 'b'; needs a text, and no system message beside it"):
        cw.chat(model, [{"role": "system", "content": "a"}, *USER], system="b")


def test_a_model_without_a_template_says_so():
    with pytest.raises(ValueError, match="bundled:tiny has no chat template; give its prompts as texts"):
        cw.chat(cw.load_model("bundled:tiny"), USER)


def test_a_text_that_is_not_there_has_no_span(real):
    with pytest.raises(ValueError, match="'Berlin' is not in the prompt"):
        cw.chat(real, [{"role": "user", "content": "Hi"}]).span("Berlin")


@pytest.mark.parametrize("begun", ["Paris is", " The capital is ", "It is\n"])
def test_an_answer_that_is_begun_goes_on_as_transformers_writes_it(real, begun):
    from transformers.utils.chat_template_utils import render_jinja_template

    messages = [{"role": "user", "content": "Name the capital of France."}, {"role": "assistant", "content": begun}]
    [expected], _ = render_jinja_template(
        conversations=[messages], chat_template=real.chat_template.source, continue_final_message=True
    )
    assert cw.chat(real, messages).text == expected
    assert cw.chat(real, messages, generation_prompt=False).text == real.chat_template(messages, False)
