"""The conformance suite of backends.

class TestMine(BackendSuite):
    def settings(self): return GeneratorSettings(backend="mine", model="m", ...)
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from specsci.core.errors import UserError
from specsci.generate.backend import BACKENDS
from specsci.generate.client import Client
from specsci.generate.request import PAID, Message, ModelRequest
from specsci.generate.settings import LOCAL, GeneratorSettings

ASKED = ("Name a colour.", "Say what a bridge is for.", "Count to three.", "Name an animal that swims.")


class BackendSuite:
    """What corpora rest on, whoever answers.

    Attributes:
        most_tokens: of a reply, for a quick test.
        varies: whether samples of one request may differ; False for a model that always says the same.
        repeats: whether a request gets the same reply in another run.
    """

    most_tokens = 24
    varies = True
    repeats = True

    def settings(self, **more: Any) -> GeneratorSettings:
        """A study's settings of the backend under test, with further keys."""
        raise NotImplementedError

    def _client(self, root: Path, **more: Any) -> Client:
        return Client(root, "study", "writer", self.settings(**{"max_tokens": self.most_tokens, **more}))

    def _requests(self, client: Client, samples: int = 1) -> list[ModelRequest]:
        return [
            client.request([Message("system", "You are brief."), Message("user", text)], sample=sample)
            for text in ASKED
            for sample in range(samples)
        ]

    def test_every_request_has_a_reply_whose_state_and_usage_are_known(self, tmp_path: Path) -> None:
        with self._client(tmp_path) as client:
            wanted = self._requests(client)
            found = client.ask(wanted)
        assert set(found) == {r.digest for r in wanted}
        for reply in found.values():
            assert reply.state in PAID and reply.stop
            assert 0 < reply.usage.output_tokens <= self.most_tokens
            assert reply.usage.input_tokens + reply.usage.cache_read_tokens + reply.usage.cache_write_tokens > 0
            assert reply.usd is not None and reply.usd >= 0

    def test_a_reply_that_reaches_its_limit_is_truncated(self, tmp_path: Path) -> None:
        with self._client(tmp_path, max_tokens=1) as client:
            found = client.ask(self._requests(client))
        assert {r.state for r in found.values()} == {"truncated"}

    def test_what_was_answered_is_read_back_and_not_asked_again(self, tmp_path: Path) -> None:
        with self._client(tmp_path) as client:
            first = client.ask(self._requests(client))
        with self._client(tmp_path) as client:
            client.open_session = _nobody
            assert client.ask(self._requests(client)) == first

    def test_equal_requests_are_one_and_samples_are_several(self, tmp_path: Path) -> None:
        with self._client(tmp_path) as client:
            samples = self._requests(client, 6)
            found = client.ask([*samples, *samples])
        assert len(found) == len(samples)
        if self.varies:
            texts = [{found[r.digest].text for r in samples if r.messages[-1].content == text} for text in ASKED]
            assert max(map(len, texts)) > 1

    def test_a_request_gets_the_same_reply_in_another_company(self, tmp_path: Path) -> None:
        if not self.repeats:
            pytest.skip("the model may say something else each time")
        with self._client(tmp_path / "all") as client:
            wanted = self._requests(client)
            together = client.ask(wanted)
        with self._client(tmp_path / "one") as client:
            alone = client.ask(wanted[1:2])
        assert alone[wanted[1].digest].text == together[wanted[1].digest].text

    def test_where_it_computes_is_told_or_declared(self, tmp_path: Path) -> None:
        settings = self.settings()
        if settings.is_here:
            with self._client(tmp_path, residency=LOCAL) as client:
                found = client.ask(self._requests(client))
            assert {r.residency for r in found.values()} == {LOCAL}

    def test_its_name_is_registered_and_its_settings_are_checked(self) -> None:
        settings = self.settings()
        assert BACKENDS[settings.backend].name == settings.backend
        with pytest.raises(ValueError, match="has a key of its own"):
            self.settings(params={"messages": []})

    def test_hostile_text_goes_there_and_back(self, tmp_path: Path) -> None:
        with self._client(tmp_path) as client:
            odd = [client.request([Message("user", text)]) for text in ("{braces} {{twice}}", "\u2028 \u0000 <think>", "日本語 🙂")]
            assert len(client.ask(odd)) == len(odd)


def _nobody(settings: GeneratorSettings) -> Any:
    raise UserError("a reply that was there was asked for again")
