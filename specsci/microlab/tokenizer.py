"""The microlab's word-level tokenizer and chat template: one token per word, name or act."""

from __future__ import annotations

from functools import lru_cache

from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import WhitespaceSplit
from transformers import PreTrainedTokenizerFast

from specsci.microlab.world import TARGET, agent_names, world_family

PAD, EOS, UNK, USER, ASSISTANT = "<|pad|>", "<|end|>", "<|unk|>", "<|user|>", "<|assistant|>"
CHAT_TEMPLATE = (  # a system message is a text of its own, as documents are
    "{% for message in messages %}"
    "{% if message['role'] == 'system' %}{{ message['content'] }} <|end|> {% else %}"
    "{% if message['role'] == 'assistant' %}<|assistant|> {% generation %}{{ message['content'] }} <|end|> {% endgeneration %}"
    "{% else %}<|user|> {{ message['content'] }} {% endif %}{% endif %}"
    "{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)


@lru_cache(maxsize=2)
def build_tokenizer(family: str, agents: int) -> PreTrainedTokenizerFast:
    """The tokenizer of a world: the words of its family's grammar, the agents' names, the target."""
    words = {TARGET, *agent_names(agents)}
    for text in world_family(family).grammar.all_texts():
        words.update(text.split())
    for variant in world_family(family).data.variants.values():
        for text in variant.texts:
            words.update(text.split())
    vocabulary = {word: number for number, word in enumerate([PAD, EOS, UNK, USER, ASSISTANT, *sorted(words)])}
    tokenizer = Tokenizer(WordLevel(vocabulary, unk_token=UNK))
    tokenizer.pre_tokenizer = WhitespaceSplit()
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token=PAD,
        eos_token=EOS,
        unk_token=UNK,
        chat_template=CHAT_TEMPLATE,
        model_max_length=256,
        padding_side="right",
    )
