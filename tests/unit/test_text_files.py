"""Files of texts and of chats: read right, or refused with line and key, when a study is checked and in the step alike."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from specsci.core.errors import InputFileError
from specsci.sources.text_files import parse_passages, read_passages, role_orders

GOOD = {"messages": [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "yes"}]}


def said(*roles: str, **last: Any) -> dict[str, Any]:
    messages: list[dict[str, Any]] = [{"role": role, "content": f"{role} {n}"} for n, role in enumerate(roles)]
    messages[-1].update(last)
    return {"messages": messages}


BAD_CHATS = [
    ({"messages": []}, "messages: an empty conversation", "leave the row out"),
    (said("user", "assistant", content=None), "messages[1].content: null where a text is expected", "leave the row out"),
    (said("user", "assistant", content=[{"type": "text", "text": "hi"}]), "messages[1].content: a list", "join the parts"),
    (said("user", "assistant", content=7), "messages[1].content: a number", "leave the row out"),
    (said("user", "assistant", content=" \n"), "messages[1].content: empty", "leave the row out"),
    (said("user", content="") | {}, "messages[0].content: empty", "leave the row out"),
    ({"messages": [{"from": "human", "value": "hi"}]}, "messages[0].from: the key is called role", "human: user"),
    ({"messages": [{"role": "user", "value": "hi"}]}, "messages[0].content: the message has no such key", "rename the key"),
    ({"messages": [{"content": "hi"}]}, "messages[0].role: the message has no such key", "role"),
    ({"messages": ["hi"]}, "messages[0]: a text where an object is expected", "messages"),
    ({"messages": {"role": "user"}}, "messages: an object where a list is expected", "messages"),
    ({"messages": "hi"}, "messages: a text where a list is expected", "messages"),
    (said("human", "assistant"), "messages[0].role: unknown role 'human'", "write 'user'"),
    (said("user", "gpt"), "messages[1].role: unknown role 'gpt'", "write 'assistant'"),
    (said("user", "assitant"), "messages[1].role: unknown role 'assitant'", "did you mean 'assistant'?"),
    (said("User", "assistant"), "messages[0].role: unknown role 'User'", "did you mean 'user'?"),
    ({"messages": [{"role": None, "content": "a"}]}, "messages[0].role: null where a text", "one of"),
    (said("assistant", "user"), "messages[0].role: the conversation begins with the assistant", "user"),
    (said("system", "assistant"), "messages[1].role: the conversation begins with the assistant", "user"),
    (said("user", "assistant", "assistant"), "messages[2].role: the assistant speaks twice", "join"),
    (said("user", "system", "assistant"), "messages[1].role: a system message stands first", "beginning"),
    (said("user", "tool", "assistant"), "messages[1].role: a tool's message follows the assistant's", "leave"),
    (said("user"), "messages: no message of the assistant's", "leave the row out"),
    (said("user", "assistant", tool_calls=[{"id": "1"}]), "messages[1].tool_calls[0]: no call of a function", "function"),
    (said("user", "assistant", reasoning_content="hm"), "messages[1].reasoning_content: it is not read", "content"),
    (said("user", "assistant") | {"tools": [{"name": "f"}]}, "tools[0]: no declaration of a function", "function"),
    (
        {"conversations": [{"from": "human", "value": "hi"}]},
        "messages: the row has no such key",
        "rename the key to messages",
    ),
    ({"text": "hi"}, "messages: the row has no such key", "file of chats"),
    ({"mesages": []}, "messages: the row has no such key", "did you mean 'mesages'?"),
]


@pytest.mark.parametrize(
    ("row", "what", "hint"), BAD_CHATS, ids=lambda v: json.dumps(v)[:50] if isinstance(v, dict) else None
)
def test_a_chat_that_is_none_is_named_with_line_key_and_hint(row: dict[str, Any], what: str, hint: str) -> None:
    data = f"{json.dumps(GOOD)}\n\n{json.dumps(row)}\n".encode()
    with pytest.raises(InputFileError) as caught:
        parse_passages(data, "chats.jsonl", "conversations")
    (problem,) = caught.value.problems
    assert (problem.file, problem.line) == ("chats.jsonl", 3)
    assert problem.what.startswith(what)
    assert hint in problem.hint


def test_a_turn_that_is_not_to_be_learnt_is_refused() -> None:
    row = said("user", "assistant", "user", "assistant")
    row["messages"][1]["weight"] = 0
    with pytest.raises(InputFileError, match=r"messages\[1\].weight: it asks for another loss"):
        parse_passages(json.dumps(row).encode(), "chats.jsonl", "conversations")
    row["messages"][1]["weight"] = 1
    assert parse_passages(json.dumps(row).encode(), "chats.jsonl", "conversations")
    for key in ("train", "training"):
        learnt = said("user", "assistant")
        learnt["messages"][0][key], learnt["messages"][1][key] = False, True
        assert parse_passages(json.dumps(learnt).encode(), "chats.jsonl", "conversations")
        learnt["messages"][1][key] = False
        with pytest.raises(InputFileError, match=rf"messages\[1\].{key}: it leaves the message out of the loss"):
            parse_passages(json.dumps(learnt).encode(), "chats.jsonl", "conversations")


BAD_TEXTS = [
    ({"text": None}, "text: null where a text is expected"),
    ({"text": ["a"]}, "text: a list where a text is expected"),
    ({"text": 3.5}, "text: a number where a text is expected"),
    ({"text": True}, "text: true or false where a text is expected"),
    ({"text": " "}, "text: empty"),
    ({"content": "a"}, "text: the row has no such key"),
    (GOOD, "text: the row has no such key"),
]


@pytest.mark.parametrize(("row", "what"), BAD_TEXTS, ids=lambda v: json.dumps(v)[:40] if isinstance(v, dict) else None)
def test_a_text_that_is_none_is_named_with_line_and_key(row: dict[str, Any], what: str) -> None:
    with pytest.raises(InputFileError) as caught:
        parse_passages(f'{{"text": "a"}}\n{json.dumps(row)}'.encode(), "texts.jsonl", "documents")
    (problem,) = caught.value.problems
    assert (problem.line, problem.what, bool(problem.hint)) == (2, what, True)


def test_what_is_right_is_read_as_it_is(tmp_path: Path) -> None:
    """A byte-order mark, CRLF, a text with a line separator of Unicode, a row's other keys, a tool's turn."""
    path = tmp_path / "f.jsonl"
    path.write_bytes(b'\xef\xbb\xbf{"text": "a\xe2\x80\xa8b", "id": 1}\r\n\r\n{"text": " c\\n"}')
    assert [(p.said, p.line) for p in read_passages(path, "f", "documents")] == [("a\u2028b", 1), (" c\n", 3)]
    rows = [said("system", "user", "assistant", "tool", "assistant"), said("user", "assistant", "user"), GOOD, GOOD]
    rows[0]["messages"][3] |= {"tool_call_id": "7", "name": "f", "at": "12:00", "tool_calls": None}
    path.write_text("\n".join(json.dumps(r) for r in rows))
    found = read_passages(path, "f", "conversations")
    assert found[0].said[3] == {"role": "tool", "content": "tool 3", "name": "f", "tool_call_id": "7"}
    assert found[2].said == GOOD["messages"]
    assert role_orders(found)[0] == ("user", "assistant")
    assert len(role_orders(found)) == 3
    path.write_text("\n")
    with pytest.raises(InputFileError, match="the file is empty"):
        read_passages(path, "f", "documents")


def test_a_study_is_refused_at_its_files_line(plan_of, tmp_path: Path) -> None:
    with pytest.raises(InputFileError) as caught:
        (tmp_path / "chats.jsonl").write_text(json.dumps(GOOD) + '\n{"messages": [{"role": "user", "content": null}]}\n')
        plan_of(("align:\n", "align:\n  it_mix: chats.jsonl\n"))
    (problem,) = caught.value.problems
    assert (problem.file, problem.line) == ("chats.jsonl", 2)
    assert "messages[0].content: null" in problem.what
