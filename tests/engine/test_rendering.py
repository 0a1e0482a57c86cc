"""Records through a chat template: what they become, what is left as it is, and what is refused."""

import dataclasses

import pytest

import causeway as cw
from causeway.engine.places import Places
from causeway.engine.prompt_lines import parse_record, record_line
from causeway.engine.prompt_record import PromptRecord, pair
from causeway.engine.rendering import Rendering
from causeway.engine.tokenized_prompt import tokenized

USER = {"role": "user", "content": "the key"}


def template(messages, generation_prompt):
    """With words that the bundled model knows."""
    turns = (f"{'choice' if number else 'game'}: {message['content']}. " for number, message in enumerate(messages))
    return "".join(turns) + "choice:" * generation_prompt


@pytest.fixture(scope="module")
def model():
    return dataclasses.replace(cw.load_model("bundled:tiny"), chat_template=template)


def test_messages_are_rendered_and_run_as_the_conversation(model):
    record = Rendering().of(model, PromptRecord("", messages=(USER,), group="a"))
    talk = cw.chat(model, [USER])
    assert (record.text, record.tokens, record.group) == (talk.text, tuple(talk), "a")
    assert tokenized(model, record).tokens == tuple(talk)
    assert Places.of(model, record, tuple(talk)).find("user.last") == (talk.turns[0].last, talk.turns[0].stop)


def test_a_text_is_the_users_only_where_it_is_asked_for(model):
    plain = pair("the key", " is", " are", counterfactual="the keys")
    assert Rendering().of(model, plain) is plain
    record = Rendering(True, "bet").of(model, plain)
    assert record.tokens == tuple(cw.chat(model, [USER], system="bet"))
    assert record.counterfactual == tuple(cw.chat(model, [{**USER, "content": "the keys"}], system="bet"))
    assert [message["role"] for message in record.messages] == ["system", "user"]
    assert Rendering(True, generation_prompt=False).of(model, plain).text == "game: the key. "


def test_what_is_rendered_is_left_as_it_is_and_read_again(model):
    once = Rendering(True).of(model, pair("the key", " is", " are", "b", "train", counterfactual="the keys"))
    again = parse_record(record_line(once))
    assert again == once
    assert Rendering(True).of(model, again) is again


def test_a_counterfactual_of_ids_stays(model):
    record = PromptRecord("", messages=(USER,), counterfactual=(3, 4))
    assert Rendering().of(model, record).counterfactual == (3, 4)


def test_an_answer_that_is_begun_is_gone_on_with(model):
    messages = (USER, {"role": "assistant", "content": "the key is"})
    record = Rendering().of(model, PromptRecord("", messages=messages, counterfactual="the keys"))
    assert record.text == "game: the key. choice: the key is"
    assert model.tokenizer.decode(record.counterfactual) == "game: the keys. choice: the key is"
    with pytest.raises(ValueError, match="the template does not write 'x' as it is"):
        cw.chat(dataclasses.replace(model, chat_template=lambda *_: "choice:"), [{"role": "assistant", "content": "x"}])


@pytest.mark.parametrize(
    ("record", "rendering", "message"),
    [
        (PromptRecord("", tokens=(3, 4)), Rendering(True), "tokens: are run as they are, with no chat template"),
        (PromptRecord("x", tokens=(3,), messages=(USER,)), Rendering(system="s"), "is rendered already"),
        (PromptRecord("x", tokens=(3,), messages=(USER,)), Rendering(generation_prompt=False), "is rendered already"),
        (PromptRecord("", messages=({"role": "system", "content": "bet"},), counterfactual="x"), Rendering(),
         "counterfactual_prompt: stands for the user's last message, and the conversation has none"),
    ],
)  # fmt: skip
def test_what_cannot_be_rendered_is_refused(model, record, rendering, message):
    with pytest.raises(ValueError, match=message):
        rendering.of(model, record)


def test_a_model_without_a_template_is_refused_where_one_is_needed():
    bare, rendered = cw.load_model("bundled:tiny"), PromptRecord("x", tokens=(3,), messages=(USER,))
    Rendering().check(bare, [PromptRecord("x"), rendered])
    with pytest.raises(ValueError, match="model: bundled:tiny has no chat template"):
        Rendering(True).check(bare, [PromptRecord("x")])


def test_groups_of_conversations_know_their_turns(model):
    saes = cw.load_dictionaries("bundled:tiny", for_model=model)
    talks = {name: [cw.chat(model, [{**USER, "content": f"the {noun}{s}"}]) for noun in ("key", "river", "pilot")]
             for name, s in (("one", ""), ("many", "s"))}  # fmt: skip
    cut = {name: [list(t[: t.turns[0].stop]) for t in group] for name, group in talks.items()}
    at_turn = cw.screen(model, talks, saes, position="user.last")
    at_end = cw.screen(model, cut, saes)
    for name in ("mean_one", "mean_many"):
        assert at_turn[name].to_numpy() == pytest.approx(at_end[name].to_numpy(), abs=1e-4)
    table = cw.features(model, talks["one"], saes, places="user")
    turn = talks["one"][0].turns[0]
    assert set(table["position"].to_pylist()) == set(range(turn.start, turn.stop))
    with pytest.raises(ValueError, match=r"position: 'user' is 2 tokens of the prompt; needs one, such as user\.last"):
        cw.screen(model, talks, saes, position="user")
