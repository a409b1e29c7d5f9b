"""Chat templates in the styles of the field, written anew, with what is right of each.

`python tests/chat_templates.py` prints what the examination says of every one.
Of an accepted template the rendered conversation is written out by hand, what the loss is on between `⟦` and `⟧`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

SPECIAL = (
    "<|pad|> </s> <s> <|im_start|> <|im_end|> <|eot|> <|sh|> <|eh|> <start_of_turn> <end_of_turn> <|user|> <|assistant|> "
    "<|system|> <|end|> <|User|> <|Assistant|> <|start|> <|channel|> <|message|> <|return|>"
).split()
ONE = ("user", "assistant")
TWO = ("user", "assistant", "user", "assistant")
SYSTEM = ("system", "user", "assistant")
TOOL = ("user", "assistant", "tool", "assistant")
WORDS = {"system": "Be kind.", "user": "Hi", "assistant": "Yes.", "tool": "42"}
SECOND = {"user": "And?", "assistant": "No."}


def make_tokenizer(template: str | None, *, bos: bool = False) -> PreTrainedTokenizerFast:
    """One token a byte, and the control tokens; `bos`: it begins every text with `<s>`."""
    vocabulary = {word: n for n, word in enumerate([*SPECIAL, *sorted(pre_tokenizers.ByteLevel.alphabet())])}
    inner = Tokenizer(models.BPE(vocabulary, []))
    inner.pre_tokenizer, inner.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    inner.add_special_tokens(SPECIAL)
    if bos:
        inner.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", vocabulary["<s>"])])
    return PreTrainedTokenizerFast(
        tokenizer_object=inner, pad_token="<|pad|>", eos_token="</s>", bos_token="<s>", chat_template=template
    )


def conversation(order: tuple[str, ...]) -> list[dict[str, str]]:
    """A conversation of an order of roles; the second of a role says something else."""
    seen: set[str] = set()
    out = []
    for role in order:
        out.append({"role": role, "content": (SECOND if role in seen else WORDS)[role]})
        seen.add(role)
    return out


def by_hand(rendered: str) -> tuple[list[str], list[bool]]:
    """The tokens of a rendered text, one a character or control token, and whether each is between `⟦` and `⟧`."""
    words, mask, inside = [], [], False
    for word in re.findall("|".join(map(re.escape, SPECIAL)) + "|.", rendered, flags=re.DOTALL):
        if word in "⟦⟧":
            inside = word == "⟦"
        else:
            words.append(word)
            mask.append(inside)
    return words, mask


@dataclass(frozen=True)
class Case:
    """A template, the orders of roles it is used for, and what is right.

    `right`: the rendered conversation of the last order, written out. `prompt`: what stands before an option of "Hi".
    `refused`: words of the refusal. `warned`: checks that warn.
    """

    name: str
    template: str
    orders: tuple[tuple[str, ...], ...] = (ONE,)
    right: str = ""
    prompt: str = ""
    refused: str = ""
    warned: tuple[str, ...] = ()
    variables: dict[str, Any] = field(default_factory=dict)
    bos: bool = False


CHATML = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
CHATML_RIGHT = (
    "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n⟦Yes.<|im_end|>⟧\n"
    "<|im_start|>user\nAnd?<|im_end|>\n<|im_start|>assistant\n⟦No.<|im_end|>⟧\n"
)
CHATML_PROMPT = "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n"
ONE_RIGHT = "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n⟦Yes.<|im_end|>⟧\n"
LLAMA2 = (
    "{% if messages[0]['role'] == 'system' %}{% set system = '<<SYS>>\n' + messages[0]['content'] + '\n<</SYS>>\n\n' %}"
    "{% set rest = messages[1:] %}{% else %}{% set system = '' %}{% set rest = messages %}{% endif %}"
    "{% for m in rest %}{% if (m['role'] == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('roles must alternate') }}"
    "{% endif %}{% if m['role'] == 'user' %}{{ bos_token + '[INST] ' + (system if loop.first else '') + m['content'].strip() + ' [/INST]' }}"
    "{% else %}{{ ' ' + m['content'].strip() + ' ' + eos_token }}{% endif %}{% endfor %}"
)
LLAMA3 = (
    "{{ bos_token }}{% for m in messages %}<|sh|>{{ m['role'] }}<|eh|>\n\n{{ m['content'] | trim }}<|eot|>{% endfor %}"
    "{% if add_generation_prompt %}<|sh|>assistant<|eh|>\n\n{% endif %}"
)
DATED = (
    "{% if not date_string is defined %}{% set date_string = strftime_now('%d %b %Y') %}{% endif %}"
    "{{ bos_token }}<|sh|>system<|eh|>\n\nToday Date: {{ date_string }}<|eot|>"
    "{% for m in messages %}<|sh|>{{ m['role'] }}<|eh|>\n\n{{ m['content'] | trim }}<|eot|>{% endfor %}"
    "{% if add_generation_prompt %}<|sh|>assistant<|eh|>\n\n{% endif %}"
)
GEMMA = (
    "{{ bos_token }}{% if messages[0]['role'] == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}"
    "{% for m in messages %}<start_of_turn>{{ 'model' if m['role'] == 'assistant' else m['role'] }}\n{{ m['content'] | trim }}"
    "<end_of_turn>\n{% endfor %}{% if add_generation_prompt %}<start_of_turn>model\n{% endif %}"
)
MISTRAL = (
    "{{ bos_token }}{% for m in messages %}{% if (m['role'] == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('Conversation roles must alternate user/assistant') }}{% endif %}"
    "{% if m['role'] == 'user' %}[INST] {{ m['content'] }} [/INST]{% else %}{{ m['content'] | trim }}{{ eos_token }}{% endif %}{% endfor %}"
)
ZEPHYR = (
    "{% for m in messages %}<|{{ m['role'] }}|>\n{{ m['content'] }}{{ eos_token }}\n{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>\n{% endif %}"
)
PHI = (
    "{% for m in messages %}<|{{ m['role'] }}|>\n{{ m['content'] }}<|end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>\n{% else %}{{ eos_token }}{% endif %}"
)
R1 = (
    "{{ bos_token }}{% for m in messages %}{% if m['role'] == 'user' %}<|User|>{{ m['content'] }}{% else %}<|Assistant|>"
    "{{ m['content'].split('</think>')[-1] }}{{ eos_token }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<|Assistant|><think>\n{% endif %}"
)
QWEN3 = (
    "{% set ns = namespace(last=-1) %}{% for m in messages %}{% if m['role'] == 'user' %}{% set ns.last = loop.index0 %}{% endif %}{% endfor %}"
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n"
    "{% if m['role'] == 'assistant' and loop.index0 > ns.last %}<think>\n\n</think>\n\n{% endif %}{{ m['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% if enable_thinking is defined and enable_thinking is false %}<think>\n\n</think>\n\n{% endif %}{% endif %}"
)
HOME = (
    "{% for m in messages %}{% if m['role'] == 'user' %}### User:\n{{ m['content'] }}\n\n{% else %}### Assistant:\n"
    "{{ m['content'] }}{{ eos_token }}\n\n{% endif %}{% endfor %}"
)
VICUNA = (
    "A chat.{% for m in messages %}{% if m['role'] == 'user' %} USER: {{ m['content'] }} ASSISTANT:"
    "{% else %} {{ m['content'] }}{{ eos_token }}{% endif %}{% endfor %}"
)
NO_SYSTEM = CHATML.replace("{% for m in messages %}", "{% for m in messages if m['role'] != 'system' %}")
TOOLS = (
    "{% for m in messages %}{% if m['role'] == 'tool' %}<|im_start|>user\n<tool_response>\n{{ m['content'] }}\n</tool_response><|im_end|>\n"
    "{% else %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
MERGING = (
    "{% for m in messages %}{% if m['role'] == 'system' %}{% elif m['role'] == 'user' %}<|user|>"
    "{% if messages[0]['role'] == 'system' and loop.index0 == 1 %}{{ messages[0]['content'] }}\n\n{% endif %}{{ m['content'] }}</s>"
    "{% else %}<|assistant|>{{ m['content'] }}</s>{% endif %}{% endfor %}{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
MOVING = (
    "{% for m in messages %}{% if m['role'] == 'user' %}<|user|>"
    "{% if messages[0]['role'] == 'system' and loop.index0 >= (messages | length) - 2 %}{{ messages[0]['content'] }}\n\n{% endif %}"
    "{{ m['content'] }}</s>{% elif m['role'] == 'assistant' %}<|assistant|>{{ m['content'] }}</s>{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
BEHIND = CHATML.replace(
    "{% if add", "{% for m in messages if m['role'] == 'system' %}{{ m['content'] }}{% endfor %}{% if add"
).replace("{% for m in messages %}", "{% for m in messages if m['role'] != 'system' %}", 1)
MARKED = (
    "{% for m in messages %}{% if m['role'] == 'assistant' %}<|im_start|>assistant\n{% generation %}{{ m['content'] }}<|im_end|>{% endgeneration %}{{ '\n' }}"
    "{% else %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
NO_END = MARKED.replace("<|im_end|>{% endgeneration %}", "{% endgeneration %}<|im_end|>")
HEADER = MARKED.replace("<|im_start|>assistant\n{% generation %}", "{% generation %}<|im_start|>assistant\n")
ALL = "{% generation %}" + CHATML.replace("{% endfor %}", "{% endfor %}{% endgeneration %}")
IN_MACRO = (
    "{% macro turn(m) %}<|im_start|>assistant\n{% generation %}{{ m['content'] }}<|im_end|>{% endgeneration %}\n{% endmacro %}"
    "{% for m in messages %}{% if m['role'] == 'assistant' %}{{ turn(m) }}{% else %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n"
    "{% endif %}{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
CHANNELS = (
    "{% for m in messages %}<|start|>{{ m['role'] }}{% if m['role'] == 'assistant' %}<|channel|>final{% endif %}<|message|>{{ m['content'] }}"
    "{{ '<|return|>' if m['role'] == 'assistant' else '<|end|>' }}{% endfor %}{% if add_generation_prompt %}<|start|>assistant{% endif %}"
)
LAST_EOS = (
    "{% for m in messages %}<|{{ m['role'] }}|>{{ m['content'] }}{% if loop.last and m['role'] == 'assistant' %}{{ eos_token }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
ENDLESS = "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}" + CHATML

CASES = (
    Case("ChatML", CHATML, (ONE, SYSTEM, TWO), CHATML_RIGHT, CHATML_PROMPT),
    Case(
        "ChatML on a tokenizer with BOS",
        CHATML,
        (TWO,),
        "<s>" + CHATML_RIGHT,
        "<s>" + CHATML_PROMPT,
        warned=("template_opening",),
        bos=True,
    ),
    Case(
        "Llama 2",
        LLAMA2,
        (ONE, SYSTEM, TWO),
        "<s>[INST] Hi [/INST]⟦ Yes. </s>⟧<s>[INST] And? [/INST]⟦ No. </s>⟧",
        "<s>[INST] Hi [/INST] ",
        bos=True,
    ),
    Case("Llama 2, two users in a row", LLAMA2, (("user", "user", "assistant"),), refused="roles must alternate"),
    Case(
        "Llama 3",
        LLAMA3,
        (ONE, TWO, SYSTEM),
        "<s><|sh|>system<|eh|>\n\nBe kind.<|eot|><|sh|>user<|eh|>\n\nHi<|eot|><|sh|>assistant<|eh|>\n\n⟦Yes.<|eot|>⟧",
        "<s><|sh|>user<|eh|>\n\nHi<|eot|><|sh|>assistant<|eh|>\n\n",
        bos=True,
    ),
    Case("Llama 3.1, with today's date", DATED, refused="today's date", bos=True),
    Case(
        "Llama 3.1, its date fixed",
        DATED,
        (ONE,),
        "<s><|sh|>system<|eh|>\n\nToday Date: 26 Jul 2024<|eot|><|sh|>user<|eh|>\n\nHi<|eot|><|sh|>assistant<|eh|>\n\n⟦Yes.<|eot|>⟧",
        "<s><|sh|>system<|eh|>\n\nToday Date: 26 Jul 2024<|eot|><|sh|>user<|eh|>\n\nHi<|eot|><|sh|>assistant<|eh|>\n\n",
        variables={"date_string": "26 Jul 2024"},
        bos=True,
    ),
    Case(
        "Gemma",
        GEMMA,
        (ONE, TWO),
        "<s><start_of_turn>user\nHi<end_of_turn>\n<start_of_turn>model\n⟦Yes.<end_of_turn>⟧\n"
        "<start_of_turn>user\nAnd?<end_of_turn>\n<start_of_turn>model\n⟦No.<end_of_turn>⟧\n",
        "<s><start_of_turn>user\nHi<end_of_turn>\n<start_of_turn>model\n",
        bos=True,
    ),
    Case("Gemma, a system message", GEMMA, (SYSTEM,), refused="System role not supported", bos=True),
    Case(
        "Mistral",
        MISTRAL,
        (ONE, TWO),
        "<s>[INST] Hi [/INST]⟦Yes.</s>⟧[INST] And? [/INST]⟦No.</s>⟧",
        "<s>[INST] Hi [/INST]",
        bos=True,
    ),
    Case("Mistral, a system message", MISTRAL, (SYSTEM,), refused="must alternate"),
    Case(
        "Zephyr",
        ZEPHYR,
        (ONE, SYSTEM),
        "<|system|>\nBe kind.</s>\n<|user|>\nHi</s>\n<|assistant|>\n⟦Yes.</s>⟧\n",
        "<|user|>\nHi</s>\n<|assistant|>\n",
    ),
    Case(
        "Phi 3, one turn",
        PHI,
        (ONE,),
        "<|user|>\nHi<|end|>\n<|assistant|>\n⟦Yes.<|end|>\n</s>⟧",
        "<|user|>\nHi<|end|>\n<|assistant|>\n",
    ),
    Case("Phi 3, two turns", PHI, (TWO,), refused="renders turn 2 otherwise inside the conversation"),
    Case(
        "DeepSeek R1: the prompt opens a think block",
        R1,
        refused="<think>.n', which a rendered turn does not have",
        bos=True,
    ),
    Case("Qwen 3 as it comes", QWEN3, refused="enable_thinking: false"),
    Case(
        "Qwen 3, thinking off",
        QWEN3,
        (ONE,),
        "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n⟦Yes.<|im_end|>⟧\n",
        "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n",
        variables={"enable_thinking": False},
    ),
    Case(
        "Qwen 3, thinking off, two turns",
        QWEN3,
        (TWO,),
        refused="renders turn 2 otherwise",
        variables={"enable_thinking": False},
    ),
    Case(
        "home-made, no generation prompt",
        HOME,
        (ONE, TWO),
        "### User:\nHi\n\n### Assistant:\n⟦Yes.</s>⟧\n\n### User:\nAnd?\n\n### Assistant:\n⟦No.</s>⟧\n\n",
        "### User:\nHi\n\n### Assistant:\n",
        warned=("template_prompt",),
    ),
    Case(
        "Vicuna",
        VICUNA,
        (ONE, TWO),
        "A chat. USER: Hi ASSISTANT:⟦ Yes.</s>⟧ USER: And? ASSISTANT:⟦ No.</s>⟧",
        "A chat. USER: Hi ASSISTANT: ",
    ),
    Case("no system, and none used", NO_SYSTEM, (ONE, TWO), CHATML_RIGHT, CHATML_PROMPT),
    Case("drops a system message", NO_SYSTEM, (SYSTEM,), refused="leaves out what the system says"),
    Case(
        "with a tool's turn",
        TOOLS,
        (ONE, TOOL),
        "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n⟦Yes.<|im_end|>⟧\n"
        "<|im_start|>user\n<tool_response>\n42\n</tool_response><|im_end|>\n<|im_start|>assistant\n⟦No.<|im_end|>⟧\n",
        CHATML_PROMPT,
    ),
    Case(
        "merges the system message into the first question",
        MERGING,
        (ONE, SYSTEM),
        "<|user|>Be kind.\n\nHi</s><|assistant|>⟦Yes.</s>⟧",
        "<|user|>Hi</s><|assistant|>",
    ),
    Case(
        "moves the system message to the last question", MOVING, ((*SYSTEM, "user", "assistant"),), refused="moves what the"
    ),
    Case("writes the system message behind everything", BEHIND, (SYSTEM,), refused="moves what the"),
    Case("generation marks", MARKED, (ONE, SYSTEM, TWO), CHATML_RIGHT, CHATML_PROMPT),
    Case(
        "generation marks without the turn end",
        NO_END,
        (ONE,),
        ONE_RIGHT.replace("<|im_end|>⟧", "⟧<|im_end|>"),
        CHATML_PROMPT,
        warned=("template_marks",),
    ),
    Case("generation marks around everything", ALL, refused="marks hold what users say"),
    Case("generation marks around the header", HEADER, refused="marks hold the header"),
    Case("generation marks inside a macro", IN_MACRO, refused="marks leave out what the assistant says|marks hold"),
    Case("channels (GPT-OSS)", CHANNELS, refused="not prompt \\+ answer \\+ turn end"),
    Case("lower case", CHATML.replace("m['content']", "m['content'] | lower"), refused="alters an answer"),
    Case("cuts long messages", CHATML.replace("m['content']", "m['content'][:200]"), refused="alters an answer"),
    Case("escapes HTML", CHATML.replace("m['content']", "m['content'] | e"), refused="alters an answer"),
    Case("as JSON", CHATML.replace("m['content']", "m['content'] | tojson"), refused="not prompt"),
    Case(
        "ignores its messages", "Hello.{% if add_generation_prompt %}<|assistant|>{% endif %}", refused="leaves out what the"
    ),
    Case(
        "the last message alone",
        "<|user|>{{ messages[-1]['content'] }}</s>",
        (ONE,),
        refused="leaves out what the user says",
    ),
    Case("the end of text behind the last turn alone", LAST_EOS, (TWO,), refused="renders turn 2 otherwise"),
    Case("at random", CHATML + "{{ ['a', 'b'] | random }}", refused="draws at random"),
    Case("BOS twice", "{{ bos_token }}" + LLAMA3, refused="twice at its beginning", bos=True),
    Case(
        "no turn end",
        "{% for m in messages %}{{ m['role'] }}: {{ m['content'] }}{% endfor %}{% if add_generation_prompt %}assistant: {% endif %}",
        (ONE,),
        "user: Hiassistant: ⟦Yes.⟧",
        "user: Hiassistant: ",
        warned=("template_end",),
    ),
    Case(
        "the header of an answer always behind the last turn",
        CHATML.replace("{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}", "<|im_start|>assistant\n"),
        refused="header of a turn that nobody asked for",
    ),
    Case(
        "every message and its end, no roles (DialoGPT)",
        "{% for m in messages %}{{ m['content'] }}{{ eos_token }}{% endfor %}",
        (ONE, TWO),
        "Hi</s>⟦Yes.</s>⟧And?</s>⟦No.</s>⟧",
        "Hi</s>",
    ),
    Case(
        "generation marks in a comment",
        "{# {% generation %} #}" + CHATML,
        (ONE, TWO),
        CHATML_RIGHT,
        CHATML_PROMPT,
    ),
    Case("an unknown variable", CHATML, refused="reads no variable 'enable_thinking'", variables={"enable_thinking": False}),
    Case("a misspelt variable", QWEN3, refused="reads no variable 'enable_thinkng'", variables={"enable_thinkng": False}),
    Case("sets its messages", CHATML, refused="which every template is given", variables={"messages": "x"}),
    Case("raises TypeError", "{{ 'a' + 1 }}" + CHATML, refused="fails: TypeError"),
    Case("raises ZeroDivisionError", "{{ 1 / 0 }}" + CHATML, refused="fails: ZeroDivisionError"),
    Case("raises OverflowError", "{{ 2.0 ** 99999 }}" + CHATML, refused="fails: OverflowError"),
    Case(
        "raises RecursionError", "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}" + CHATML, refused="fails: RecursionError"
    ),
    Case("includes a file", "{% include 'other.jinja' %}" + CHATML, refused="fails: TypeError"),
    Case("a syntax error", "{% for m in messages %}", refused="fails: TemplateSyntaxError"),
    Case("reads an attribute that is not there", "{{ messages[0].a.b.c }}" + CHATML, refused="fails: UndefinedError"),
    Case("does not end", ENDLESS, refused="does not end"),
    Case("does not end inside Python", "{{ 9 ** (9 ** (9 ** 9)) }}" + CHATML, refused="does not end"),
    Case("takes all memory", "{{ ('x' * 99999999999) | length }}" + CHATML, refused="fails: MemoryError|too much memory"),
)


def examined(case: Case) -> list[Any]:
    """What the examination says of a case."""
    from specsci.intake.template import Uses, examine_template
    from specsci.models.chat import with_variables

    tokenizer = make_tokenizer(with_variables(case.template, case.variables), bos=case.bos)
    limit_s = 2 if "does not end" in case.name else 30
    return examine_template(tokenizer, uses=Uses(case.orders), variables=case.variables, limit_s=limit_s)


def table() -> list[str]:
    """One line for every case: what it is, what is said of it."""
    out = []
    for case in CASES:
        found = examined(case)
        said = [f for f in found if f.judgement != "ok"] or found
        worst = (
            "refused"
            if any(f.judgement == "refuse" for f in found)
            else "warned"
            if any(f.judgement == "warn" for f in found)
            else "accepted"
        )
        out.append(f"{case.name} | {worst} | " + "; ".join(dict.fromkeys(f.text for f in said)))
    return out


if __name__ == "__main__":
    import sys

    sys.stdout.write("\n".join(table()) + "\n")
