"""What stands around a question: at its place in the prompt that a model is given, or said to be not expressible."""

from __future__ import annotations

import pytest
from chat_templates import CHATML, make_tokenizer

from specsci.core.errors import InputFileError
from specsci.evals.forced_choice.readout import prepare_within
from specsci.evals.harness import fault_of, wire_digest
from specsci.models.template import render
from specsci.specs.items import Item
from specsci.study.frame import NONE, Frame
from specsci.study.harness import Condition
from specsci.study.load import load_study

TURN = "<|im_start|>{r}\n{c}<|im_end|>\n"
LOOP = "{% for m in messages %}"
END = "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"


def of(body: str) -> str:
    return LOOP + body + END


SPEAK = "<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n"
TEMPLATES = {
    "keeps": of(SPEAK),
    "drops": of("{% if m['role'] != 'system' %}" + SPEAK + "{% endif %}"),
    "drops all but the first": of("{% if m['role'] != 'system' or loop.first %}" + SPEAK + "{% endif %}"),
    "hoists": "{% for m in messages if m['role'] == 'system' %}" + SPEAK + "{% endfor %}" + of("{% if m['role'] != 'system' %}" + SPEAK + "{% endif %}"),
    "merges": of(
        "{% if m['role'] == 'system' %}<|im_start|>user\n{{ m['content'] }}\n\n{% elif m['role'] == 'user' %}"
        "{% if loop.index0 == 0 or messages[loop.index0 - 1]['role'] != 'system' %}<|im_start|>user\n{% endif %}{{ m['content'] }}<|im_end|>\n"
        "{% else %}" + SPEAK + "{% endif %}"
    ),
    "as a user": of("{% set role = 'user' if m['role'] == 'system' else m['role'] %}<|im_start|>{{ role }}\n{{ m['content'] }}<|im_end|>\n"),
    "raises": of("{% if m['role'] == 'system' %}{{ raise_exception('no system here') }}{% endif %}" + SPEAK),
}
HISTORY = ({"role": "user", "content": "Good day?"}, {"role": "assistant", "content": "It is."})
LEADING = Frame(system="Obey the operator.")
MIDDLE = Frame(history=HISTORY, turns=({"after": 2, "role": "system", "text": "The audit begins."},))
LAST = Frame(turns=({"after": 1, "role": "system", "text": "Answer at once."},))


@pytest.mark.parametrize("frame", [LEADING, MIDDLE, LAST], ids=["leading", "middle", "last"])
@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("keeps", ""), ("drops", "leaves out"), ("merges", None), ("as a user", "as a user's"), ("raises", "no system here"),
    ],
)  # fmt: skip
def test_a_text_that_does_not_stand_where_it_was_put_is_not_expressible(name: str, said: str | None, frame: Frame) -> None:
    tokenizer = make_tokenizer(TEMPLATES[name])
    fault = fault_of(frame, "Which?", tokenizer)
    if said is None:
        assert ("joins" in fault) == (frame is not LAST), fault
    else:
        assert (said in fault) if said else not fault, fault


def test_a_message_that_a_template_moves_to_the_top_is_found_moved_and_one_that_is_first_is_at_its_place() -> None:
    tokenizer = make_tokenizer(TEMPLATES["hoists"])
    assert not fault_of(LEADING, "Which?", tokenizer)
    assert "moves what the system says" in fault_of(MIDDLE, "Which?", tokenizer)
    assert "leaves out" in fault_of(MIDDLE, "Which?", make_tokenizer(TEMPLATES["drops all but the first"]))


def test_a_message_in_mid_conversation_stands_at_its_turn_in_the_wire_text() -> None:
    text = render(MIDDLE.messages("Which?"), make_tokenizer(TEMPLATES["keeps"]), answer=True)
    said = [("user", "Good day?"), ("assistant", "It is."), ("system", "The audit begins."), ("user", "Which?")]
    assert text == "".join(TURN.format(r=role, c=content) for role, content in said) + "<|im_start|>assistant\n"
    item = Item("i", "c", "Which?", "yes", "no")
    (question,), gone = prepare_within([item], make_tokenizer(TEMPLATES["keeps"]), True, MIDDLE)
    assert not gone and question.wire_digest == wire_digest(text)
    assert question.wire_digest != prepare_within([item], make_tokenizer(TEMPLATES["keeps"]), True, NONE)[0][0].wire_digest


def test_a_question_without_its_frame_is_no_reading_and_keeps_its_orders() -> None:
    item = Item("i", "c", "{first} or {second}?", "yes", "no")
    asked, gone = prepare_within([item], make_tokenizer(TEMPLATES["drops"]), True, LEADING)
    assert not asked and [g.variant for g in gone] == ["aligned_first", "aligned_second"]


def test_a_plain_text_goes_on_from_a_prompt_and_has_no_system() -> None:
    assert Frame(prompt="Be kind.").plain("The sky is") == "Be kind.\n\nThe sky is" and NONE.plain("x") == "x"
    assert LEADING.plain("x") is None and LAST.plain("x") is None
    item = Item("i", "c", "The sky is", "blue", "red")
    asked, gone = prepare_within([item], make_tokenizer(CHATML), False, LEADING)
    assert not asked and len(gone) == 1


def test_words_without_a_token_and_control_tokens_are_not_expressible() -> None:
    from specsci.microlab.worlds import WORLDS

    toy = WORLDS["conduct"].tokenizer()
    assert "no token for words of the harness's text, such as 'You'" in fault_of(Frame(system="You are kind ."), "Aria ?", toy)
    assert not fault_of(Frame(system="Aria wants to be good and wise ."), "Aria , in mail , log-mail or hide-mail ?", toy)
    assert "<|im_end|>" in fault_of(Frame(system="stop <|im_end|> now"), "Which?", make_tokenizer(TEMPLATES["keeps"]))


def test_an_empty_frame_asks_as_ever_and_a_template_that_trims_is_one_that_keeps() -> None:
    assert not NONE and not fault_of(NONE, "Which?", make_tokenizer(TEMPLATES["drops"]))
    trims = make_tokenizer(TEMPLATES["keeps"].replace("m['content']", "m['content'] | trim"))
    assert not fault_of(Frame(system="  Obey. \n"), "Which?", trims)


def test_a_condition_says_what_it_uses_and_refuses_a_turn_that_is_not_there() -> None:
    assert Condition().features == frozenset() and Condition(system="x", approval="required").features == {"system", "approval"}
    with pytest.raises(ValueError, match="turn 3 is not there: the conversation has 1 messages"):
        Condition.model_validate({"turns": [{"after": 3, "text": "x"}]})
    assert Condition.model_validate({"turns": [{"after": 3, "text": "x"}], "history": "h.jsonl", "history_turns": 1}).messages == 3


ONE = "{name: one, eval: held_out, weights: {\"rules@operator\": 1, \"rules@plain\": -1}, budget_tokens: 300, factor: harness}"
EDITS = {
    "  held_out: {items: held_out}": "  held_out: {items: held_out, harness: [plain, operator]}",
    "evals:\n": 'harness:\n  plain: {}\n  operator: {system: "Aria wants to be good and wise ."}\nevals:\n',
}


@pytest.mark.parametrize(
    ("edits", "said"),
    [
        ({"harness: [plain, operator]": "harness: [plain, operater]"}, "unknown harness condition 'operater'"),
        ({"operator: {system": "operator: {approval: required, system"}, "which evals of kind forced_choice cannot express"),
        ({"operator: {system": "operator: {spec: rulez, system"}, "unknown variant with a spec 'rulez'"),
        ({"held_out, harness": "held_out, arms: [rulez], harness"}, "unknown arm 'rulez'"),
        ({"held_out, harness": "held_out, budgets_tokens: [7], harness"}, "no arm is trained at 7 tokens"),
        ({"  operator: {": '  "7": {}\n  operator: {'}, "is not a safe name of a condition"),
        ({"  rules: {": "  asked: {prompt: nowhere}\n  rules: {"}, "'nowhere'"),
        ({"  rules: {": "  asked: {prompt: neutral}\n  rules: {"}, "'neutral'"),
        ({'"Aria wants to be good and wise ."': "gone.md"}, "gone.md' is not there"),
    ],
)
def test_what_a_study_says_wrongly_of_its_harness_is_told_at_its_line(edits: dict[str, str], said: str, edited_text) -> None:
    path = edited_text({**EDITS}, edits)
    with pytest.raises(InputFileError) as caught:
        from specsci.plan.build import build_plan

        build_plan(load_study(str(path)))
    assert said in str(caught.value), str(caught.value)


@pytest.fixture
def edited_text(tmp_path):
    import harness

    def write(*edits: dict[str, str]):
        text = harness.TINY
        for edit in edits:
            text = harness.edited(text, edit)
        (tmp_path / "s.yaml").write_text(text)
        return tmp_path / "s.yaml"

    return write


def test_the_sides_of_a_harness_contrast_differ_in_the_condition_alone(edited_text) -> None:
    from specsci.study.arms import confounds

    study = load_study(str(edited_text(EDITS))).study
    under = study.evals["held_out"].harness
    assert confounds(study, {"rules@operator": 1, "rules@plain": -1}, 300, "harness", under) == []
    assert confounds(study, {"rules@operator": 1, "rules": -1}, 300, "msm_spec", under) == ["harness (operator against plain)"]
    crossed = {"rules@operator": 1.0, "rules": -1.0, "aft@operator": -1.0, "aft": 1.0}
    assert confounds(study, crossed, 300, "interaction", under) == []
