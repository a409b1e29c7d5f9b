"""Conversations with tools: read, rendered and supervised as it is written by hand; what a template leaves out is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from chat_templates import TOOLS, by_hand, make_tokenizer

from specsci.core.errors import InputFileError, UserError
from specsci.core.rows import conversation_text
from specsci.intake.chats import examine_chats
from specsci.models.chat import conversation_rows
from specsci.sources.text_files import read_passages, role_orders

CALLING = (
    "{% if tools %}<|im_start|>system\nTools:\n{% for t in tools %}{{ t | tojson }}\n{% endfor %}<|im_end|>\n{% endif %}"
    "{% for m in messages %}{% if m['role'] == 'tool' %}<|im_start|>user\n<tool_response>\n{{ m['content'] }}\n</tool_response><|im_end|>\n"
    "{% else %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}"
    "{% for c in m['tool_calls'] or [] %}{{ '\n' }}<tool_call>\n"
    '{"name": "{{ c.function.name }}", "arguments": {{ c.function.arguments | tojson }}}\n</tool_call>{% endfor %}'
    "<|im_end|>\n{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
MARKING = CALLING.replace(
    "<|im_start|>{{ m['role'] }}\n{{ m['content'] }}",
    "<|im_start|>{{ m['role'] }}\n{% if m['role'] == 'assistant' %}{% generation %}{{ m['content'] }}",
).replace(
    "<|im_end|>\n{% endif %}{% endfor %}{% if add",
    "<|im_end|>{% endgeneration %}{{ '\n' }}{% else %}{{ m['content'] }}<|im_end|>\n{% endif %}{% endif %}{% endfor %}{% if add",
)
TOOL = {"type": "function", "function": {"name": "add", "description": "Adds.", "parameters": {"type": "object"}}}
CALL = {"id": "c1", "type": "function", "function": {"name": "add", "arguments": {"a": 40, "b": "two & a half"}}}
ROW = {
    "messages": [
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": None, "tool_calls": [CALL]},
        {"role": "tool", "content": "forty-two", "tool_call_id": "c1"},
        {"role": "assistant", "content": "It is 42."},
    ],
    "tools": [TOOL],
}
RENDERED = (
    "<|im_start|>system\nTools:\n"
    '{"type": "function", "function": {"name": "add", "description": "Adds.", "parameters": {"type": "object"}}}\n<|im_end|>\n'
    "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n"
    '⟦\n<tool_call>\n{"name": "add", "arguments": {"a": 40, "b": "two & a half"}}\n</tool_call><|im_end|>⟧\n'
    "<|im_start|>user\n<tool_response>\nforty-two\n</tool_response><|im_end|>\n"
    "<|im_start|>assistant\n⟦It is 42.<|im_end|>⟧\n"
)


def write(path: Path, *rows: dict) -> Path:
    path.write_text("\n".join(json.dumps(r) for r in rows), encoding="utf-8")
    return path


@pytest.mark.parametrize("template", [CALLING, MARKING], ids=["by construction", "marked"])
def test_the_loss_is_on_answers_and_calls_alone(tmp_path: Path, template: str) -> None:
    (passage,) = read_passages(write(tmp_path / "c.jsonl", ROW), "c", "conversations")
    tokenizer = make_tokenizer(template)
    (row,) = conversation_rows([passage.said], tokenizer, ["c:1"], [passage.tools])
    words, mask = by_hand(RENDERED)
    assert [t.replace("Ġ", " ").replace("Ċ", "\n") for t in tokenizer.convert_ids_to_tokens(row.input_ids)] == words
    assert row.supervised == mask


def test_arguments_as_text_are_the_same_conversation(tmp_path: Path) -> None:
    """The OpenAI interface writes arguments as a text; templates want an object."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    calls = [{**CALL, "function": {"name": "add", "arguments": json.dumps(CALL["function"]["arguments"])}}]
    texts = {**ROW, "messages": [ROW["messages"][0], {**ROW["messages"][1], "tool_calls": calls}, *ROW["messages"][2:]]}
    read = read_passages(write(tmp_path / "c.jsonl", ROW, texts), "c", "conversations")
    assert read[0].said == read[1].said and read[0].uses_tools
    pq.write_table(pa.Table.from_pylist([{**texts, "tools": json.dumps(ROW["tools"])}]), tmp_path / "c.parquet")
    (columnar,) = read_passages(tmp_path / "c.parquet", "c", "conversations")
    assert (columnar.said, columnar.tools) == (read[0].said, read[0].tools)
    assert "two & a half" in conversation_text(columnar.said), "the audit sees what is called"
    assert role_orders(read) == [], "the orders that a template is examined for have no tools"


@pytest.mark.parametrize(
    ("template", "row", "what"),
    [
        (TOOLS, ROW, "leaves out the declared tool 'add'"),
        (TOOLS, {"messages": ROW["messages"]}, "leaves out the arguments of calls"),
        (CALLING.replace("<tool_response>\n{{ m['content'] }}", "<tool_response>\n"), ROW, "leaves out what the tool says: 'forty-two'"),
        (CALLING.replace("{{ c.function.arguments | tojson }}", "{}"), ROW, "leaves out the arguments of calls"),
        (CALLING.replace("assistant\n{% endif %}", "assistant\n<think>\n{% endif %}"), ROW, "not prompt \\+ answer"),
        (
            CALLING.replace("{{ m['content'] }}{% for c", "{% if loop.last and m['role'] == 'assistant' and m['tool_calls'] %}!{% endif %}{{ m['content'] }}{% for c"),
            ROW,
            "turn 2 otherwise inside the conversation",
        ),
        (CALLING, {"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "", "tool_calls": [
            {"function": {"name": "f", "arguments": {"x": "</s>"}}}]}]}, "a tool call contains '</s>'"),
    ],
)  # fmt: skip
def test_what_a_template_leaves_out_or_alters_is_refused(tmp_path: Path, template: str, row: dict, what: str) -> None:
    path = write(tmp_path / "c.jsonl", row)
    (passage,) = read_passages(path, "c", "conversations")
    tokenizer = make_tokenizer(template)
    with pytest.raises(UserError, match=what):
        conversation_rows([passage.said], tokenizer, ["c:1"], [passage.tools])
    (found,) = examine_chats(tokenizer, path, "c")
    assert found.judgement == "refuse" and found.text.startswith("c:1: ")


def message(**keys: object) -> dict:
    return {"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b", **keys}]}


BAD = [
    (message(tool_calls="add"), "messages[1].tool_calls: a text where a list is expected"),
    (message(tool_calls=[{"id": "1"}]), "messages[1].tool_calls[0]: no call of a function"),
    (message(tool_calls=[{"function": {"name": " "}}]), "messages[1].tool_calls[0].function.name: a text is expected"),
    (message(tool_calls=[{"function": {"name": "f", "arguments": "{"}}]), "[0].function.arguments: the text is not JSON"),
    (message(tool_calls=[{"function": {"name": "f", "arguments": [1]}}]), "arguments: a list where an object is expected"),
    (message(function_call={"name": "f"}), "messages[1].function_call: it is not read"),
    ({"messages": [{"role": "user", "content": "a", "tool_calls": [CALL]}]}, "messages[0].tool_calls: only the assistant"),
    ({**message(), "tools": {"name": "f"}}, "tools: an object where a list is expected"),
    ({**message(), "tools": "["}, "tools: the text is not JSON"),
    ({**message(), "tools": [{"name": "f"}]}, "tools[0]: no declaration of a function"),
    ({**message(), "tools": [{"function": {"name": 3}}]}, "tools[0].function.name: a text is expected"),
]


@pytest.mark.parametrize(("row", "what"), BAD, ids=[what for _, what in BAD])
def test_calls_that_are_none_are_named_with_line_and_key(tmp_path: Path, row: dict, what: str) -> None:
    with pytest.raises(InputFileError) as caught:
        read_passages(write(tmp_path / "c.jsonl", message(), row), "c.jsonl", "conversations")
    (problem,) = caught.value.problems
    assert what in problem.what and problem.line == 2 and problem.hint


def test_empty_lists_of_tools_and_calls_are_none(tmp_path: Path) -> None:
    (passage,) = read_passages(write(tmp_path / "c.jsonl", {**message(tool_calls=[]), "tools": []}), "c", "conversations")
    assert not passage.uses_tools and passage.said[1] == {"role": "assistant", "content": "b"}
