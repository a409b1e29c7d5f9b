"""Requests to a real server that misbehaves on command: nothing lost, nothing paid twice, every fault counted."""

from __future__ import annotations

import json
import random
import sqlite3
import threading
import time

import pytest
from generation import client, questions, settings
from model_server import ModelServer
from pydantic import ValidationError

from specsci.core.errors import NotFinished, StepFailed, UserError
from specsci.generate.client import Client
from specsci.generate.ledger import CapReached
from specsci.generate.ledger_summary import read_summary
from specsci.generate.money import cost_usd, needed_price, price_of, worst_usd
from specsci.generate.pacing import Breaker, Pace, Timeout
from specsci.generate.request import Message, Usage

BACKENDS = ("openai", "anthropic")
ROUTES = [(backend, mode) for backend in BACKENDS for mode in ("online", "batch")]


@pytest.mark.parametrize(("backend", "mode"), ROUTES)
def test_every_request_is_answered_and_paid_once(tmp_path, backend, mode):
    with ModelServer() as server, client(tmp_path, server.url, backend, mode=mode) as asker:
        wanted = questions(asker, 60)
        first = asker.ask([*wanted, *wanted])
        again = asker.ask(wanted)
    assert {r.state for r in first.values()} == {"ok"}
    assert first == again
    assert len(first) == 60
    assert set(server.paid.values()) == {1}
    assert server.requests_paid == 60


@pytest.mark.parametrize(("backend", "mode"), ROUTES)
def test_a_reply_may_hold_any_line_separator(tmp_path, backend, mode):
    """JSON has line and paragraph separators as they are; a batch's file is read by line feeds."""
    said = "<content>one\u2028two\x85three\x0cfour</content>"
    with ModelServer(answer=lambda messages: said) as server, client(tmp_path, server.url, backend, mode=mode) as asker:
        found = asker.ask(questions(asker, 5))
    assert [r.text for r in found.values()] == [said] * 5
    assert server.requests_paid == 5


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("fault", ["429", "429-after", "500", "529", "cut", "malformed", "hang up"])
def test_a_failing_call_is_made_again_and_paid_once(tmp_path, backend, fault):
    failed: set[str] = set()

    def once(number: int, key: str) -> str:
        if len(failed) < 6 and key not in failed:
            failed.add(key)
            return fault
        return ""

    with ModelServer(fault=once) as server, client(tmp_path, server.url, backend) as asker:
        found = asker.ask(questions(asker, 20))
        counts, spent = asker.ledger.counts(), asker.ledger.spent()
    assert len(found) == 20
    assert {r.state for r in found.values()} == {"ok"}
    assert set(server.paid.values()) == {1}
    kind = {"429": "rate", "429-after": "rate", "500": "server", "529": "overload", "malformed": "server"}.get(fault, "transport")
    assert counts[f"{kind} failures"] == 6
    assert spent.reserved_usd == pytest.approx(0, abs=1e-9)
    assert (spent.unknown_usd > 0) == (fault in ("cut", "malformed", "hang up"))


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(("fault", "state"), [("truncate", "truncated"), ("refuse", "refused")])
def test_what_is_not_whole_is_a_state_and_is_not_asked_again(tmp_path, backend, fault, state):
    with ModelServer(fault=lambda n, key: fault if int(key[:8], 16) % 4 == 0 else "") as server:
        with client(tmp_path, server.url, backend) as asker:
            wanted = questions(asker, 40)
            found = asker.ask(wanted)
            assert asker.ask(wanted) == found
        hit = {r.digest for r in wanted if int(r.digest[:8], 16) % 4 == 0}
    assert hit
    assert {d for d, r in found.items() if r.state == state} == hit
    assert set(server.paid.values()) == {1}


def test_retry_after_is_obeyed(tmp_path):
    with ModelServer(fault=lambda n, key: "429-after" if n == 1 else "") as server, client(tmp_path, server.url) as asker:
        start = time.monotonic()
        asker.ask(questions(asker, 1))
        assert time.monotonic() - start >= 0.2
    assert server.calls["POST completions"] == 2


@pytest.mark.parametrize(("fault", "kind"), [("400", "bad request"), ("402", "billing"), ("401", "credentials")])
def test_what_the_next_request_would_meet_too_stops_at_the_first(tmp_path, fault, kind):
    with ModelServer(fault=lambda n, key: fault) as server, client(tmp_path, server.url, connections=1) as asker:
        with pytest.raises(StepFailed, match=kind):
            asker.ask(questions(asker, 50))
        assert asker.ledger.spent().usd == pytest.approx(0, abs=1e-9)
    assert server.calls["POST completions"] == 1


def test_a_server_that_fails_is_left_alone_and_the_same_command_goes_on(tmp_path):
    with ModelServer(fault=lambda n, key: "500") as server, client(tmp_path, server.url, attempts=3) as asker:
        with pytest.raises(StepFailed, match="tries failed"):
            asker.ask(questions(asker, 200))
        assert server.calls["POST completions"] < 120
        server.fault = lambda n, key: ""
        assert len(asker.ask(questions(asker, 200))) == 200
    assert set(server.paid.values()) == {1}


def test_a_request_that_fails_each_time_is_named_and_the_rest_is_there(tmp_path):
    with ModelServer(fault=lambda n, key: "500" if int(key[:8], 16) % 10 == 0 else "") as server:
        with client(tmp_path, server.url, attempts=2) as asker:
            wanted = questions(asker, 60)
            found = asker.ask(wanted)
            bad = [r.digest for r in wanted if int(r.digest[:8], 16) % 10 == 0]
            assert bad
            assert len(found) == 60 - len(bad)
            assert asker.ledger.failures([r.digest for r in wanted]) == {"server: HTTP 500: fault 500 [key] (2 tries)": len(bad)}


@pytest.mark.parametrize(("backend", "mode"), ROUTES)
def test_a_cap_below_the_reservation_submits_nothing(tmp_path, backend, mode):
    with ModelServer() as server:
        price = {"input": 1000.0, "output": 500.0, "batch_factor": 1}
        with client(tmp_path / "a", server.url, backend, mode=mode, price=price) as asker:
            wanted = questions(asker, 1)
            worst = worst_usd(asker.price, wanted[0], asker.settings)
        with client(tmp_path, server.url, backend, mode=mode, price=price, max_usd=worst - 0.01) as asker:
            with pytest.raises(CapReached, match="may cost"):
                asker.ask(wanted)
        assert server.requests_paid == 0
        assert not server.calls["POST completions"] + server.calls["POST messages"] + server.calls["POST batches"]
        with client(tmp_path, server.url, backend, mode=mode, price=price, max_usd=worst) as asker:
            assert len(asker.ask(wanted)) == 1


def test_a_cap_is_never_passed_and_what_was_paid_is_kept(tmp_path):
    with ModelServer(delay_s=0.01) as server:
        with client(tmp_path, server.url, max_usd=0.005, connections=16) as asker:
            with pytest.raises(CapReached):
                asker.ask(questions(asker, 500))
            spent = asker.ledger.spent()
            kept = asker.ledger.replies([r.digest for r in questions(asker, 500)])
        assert 0.0025 < spent.settled_usd <= 0.005
        assert spent.reserved_usd == pytest.approx(0, abs=1e-9)
        assert len(kept) == server.requests_paid > 40
        with client(tmp_path, server.url, max_usd=50) as asker:
            assert len(asker.ask(questions(asker, 500))) == 500
    assert set(server.paid.values()) == {1}


def test_the_cap_of_a_study_holds_over_its_generators(tmp_path):
    with ModelServer() as server:
        spent = 0.0
        for name in ("a", "b"):
            with Client(tmp_path, "study", name, settings(server.url), study_usd=0.002) as asker:
                wanted = [asker.request([Message("user", f"{name} {i}")]) for i in range(200)]
                with pytest.raises(CapReached, match=r"the study 'study' may cost \$0.00"):
                    asker.ask(wanted)
                spent += asker.ledger.spent().usd
    assert 0.001 < spent <= 0.002


def test_a_usage_above_the_reservation_is_settled_as_it_is_and_counted(tmp_path):
    with ModelServer(fault=lambda n, key: "usage" if n == 1 else "") as server:
        with client(tmp_path, server.url, max_usd=0.2, connections=1) as asker:
            with pytest.raises(CapReached):
                asker.ask(questions(asker, 3))
            assert asker.ledger.counts()["replies that cost more than was reserved"] == 1
            assert asker.ledger.spent().settled_usd > 0.2
    assert server.requests_paid == 1


def test_an_unknown_price_and_a_missing_cap_are_refused(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "x")
    for given, said in (
        ({"model": "gpt-99"}, "is not known"),
        ({"model": "gpt-5"}, "has no cap"),
        ({"model": "gpt-5", "base_url": "https://example.org/v1", "max_usd": 5}, "is not known"),
    ):
        from specsci.generate.settings import GeneratorSettings

        with pytest.raises(UserError, match=said):
            needed_price("writer", GeneratorSettings(backend="openai", **given))


def test_prices_by_route_against_a_hand_calculation():
    from specsci.generate.settings import GeneratorSettings

    usage = Usage(input_tokens=1_000_000, output_tokens=100_000, cache_write_tokens=10_000, cache_read_tokens=500_000)
    online = GeneratorSettings(backend="anthropic", model="claude-opus-4-6-20260205", max_usd=1)
    known = price_of(online)
    assert known is not None
    assert "2026-03-21" in known.source
    # 1 M x 5 + 10 k x 6.25 + 500 k x .5 + 100 k x 25, per million
    assert cost_usd(known.price, usage, online) == pytest.approx(5 + 0.0625 + 0.25 + 2.5)
    batch = online.model_copy(update={"mode": "batch", "residency": "us"})
    assert cost_usd(known.price, usage, batch) == pytest.approx((5 + 0.0625 + 0.25 + 2.5) * 0.5 * 1.1)
    hour = online.model_copy(update={"prompt_cache": "1h"})
    assert cost_usd(known.price, Usage(cache_write_tokens=1_000_000), hour) == pytest.approx(10.0)
    sonnet = GeneratorSettings(backend="anthropic", model="claude-sonnet-4-5", max_usd=1)
    found = price_of(sonnet)
    assert found is not None
    assert cost_usd(found.price, Usage(input_tokens=200_001), sonnet) == pytest.approx(200_001 * 3e-6 * 2)


@pytest.mark.parametrize("mode", ["online", "batch"])
def test_residency_is_asked_by_name_and_what_comes_from_elsewhere_is_an_error(tmp_path, mode):
    with ModelServer() as server:
        with client(tmp_path / "us", server.url, "anthropic", mode=mode, residency="us") as asker:
            found = asker.ask(questions(asker, 3))
            assert {r.residency for r in found.values()} == {"us"}
        with client(tmp_path / "any", server.url, "anthropic", mode=mode) as asker:
            assert {r.digest for r in questions(asker, 3)}.isdisjoint(found)
        server.geo = "global"
        server.kept.clear()
        with client(tmp_path / "bad", server.url, "anthropic", mode=mode, residency="us", connections=1) as asker:
            wanted = questions(asker, 3)
            if mode == "online":
                with pytest.raises(StepFailed, match="asked for us, computed in global"):
                    asker.ask(wanted)
            else:
                assert asker.ask(wanted) == {}
            said = asker.ledger.failures([r.digest for r in wanted])
            assert sum(said.values()) == (1 if mode == "online" else 3)
            assert list(said) == ["residency: asked for us, computed in global"]
            assert asker.ledger.spent().settled_usd > 0
    if mode == "online":
        assert all(body["inference_geo"] == "us" for body in server.bodies)


def test_a_host_that_does_not_say_where_it_computes_fails_closed(tmp_path, monkeypatch):
    with ModelServer() as server:
        with client(tmp_path, server.url, residency="us") as asker, pytest.raises(StepFailed, match="asked for us, computed in local"):
            asker.ask(questions(asker, 1))
        with client(tmp_path, server.url, residency="local") as asker:
            assert {r.residency for r in asker.ask(questions(asker, 1)).values()} == {"local"}


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"retention": "zdr", "mode": "batch"}, "not eligible for zero data retention"),
        ({"params": {"inference_geo": "us"}}, "has a key of its own"),
        ({"backend": "anthropic", "params": {"temperature": 1.0}}, "no 'temperature' any more"),
        ({"headers": {"X-Api-Key": "k"}}, "looks like a secret"),
        ({"base_url": "https://user:pw@host/v1"}, "no user, password"),
        ({"base_url": "host/v1"}, "must begin with http"),
        ({"backend": "hf", "mode": "batch"}, "has no batches"),
        ({"backend": "hf", "residency": "us"}, "runs here"),
        ({"backend": "opanai"}, "did you mean 'openai'"),
        ({"max_usd": 0}, "greater than 0"),
    ],
)
def test_settings_that_cannot_hold_are_refused(given, said):
    from specsci.generate.settings import GeneratorSettings

    with pytest.raises(ValidationError, match=said):
        GeneratorSettings(**{"backend": "openai", "model": "m", **given})


@pytest.mark.parametrize("backend", BACKENDS)
def test_batches_that_expire_are_cancelled_or_lose_results_are_made_again(tmp_path, backend):
    fates = ["expired", "canceled", "errored", "missing", "twice", ""]
    first: dict[str, str] = {}

    def fate(key: str) -> str:
        return first.setdefault(key, fates[int(key[:8], 16) % 6]) if server.round == 0 else ""

    with ModelServer(batch_result=fate) as server:
        server.round = 0
        with client(tmp_path, server.url, backend, mode="batch", batch_requests=30) as asker:
            wanted = questions(asker, 60)
            found = asker.ask(wanted)
            lost = {d for d, f in first.items() if f in ("expired", "canceled", "errored", "missing")}
            assert lost
            assert set(found) == {r.digest for r in wanted} - lost
            server.round = 1
            assert len(asker.ask(wanted)) == 60
            assert asker.ledger.counts()["replies that came twice"] == sum(f == "twice" for f in first.values())
    assert all(server.paid[d] == (2 if first[d] == "missing" else 1) for d in first)


@pytest.mark.parametrize("backend", BACKENDS)
def test_batches_under_way_are_a_normal_end_and_are_collected_later(tmp_path, backend):
    with ModelServer(polls=3) as server:
        for _ in range(3):
            with client(tmp_path, server.url, backend, mode="batch", wait_min=0) as asker:
                with pytest.raises(NotFinished, match="1 batches with 10 requests are under way"):
                    asker.ask(questions(asker, 10))
            assert read_summary(tmp_path)[0]["open_batches"] == 1
        with client(tmp_path, server.url, backend, mode="batch", wait_min=0) as asker:
            assert len(asker.ask(questions(asker, 10))) == 10
    assert server.requests_paid == 10
    assert len(server.batches) == 1


@pytest.mark.parametrize("backend", BACKENDS)
def test_short_retention_deletes_a_batch_once_its_results_are_stored(tmp_path, backend):
    with ModelServer() as server, client(tmp_path, server.url, backend, mode="batch", retention="short") as asker:
        assert len(asker.ask(questions(asker, 10))) == 10
        assert [b.mark for b in asker.ledger.batches("deleted")]
    assert server.batches["batch_0"].deleted or not server.files


def test_a_reply_that_comes_too_late_is_asked_for_again_and_paid_once(tmp_path):
    late: set[str] = set()

    def slow_once(number: int, key: str) -> str:
        if key not in late:
            late.add(key)
            return "slow"
        return ""

    with ModelServer(fault=slow_once) as server, client(tmp_path, server.url, timeout_s=0.4, connections=8) as asker:
        found = asker.ask(questions(asker, 8))
        assert {r.state for r in found.values()} == {"ok"}
        assert asker.ledger.counts() == {"transport failures": 8, "requests that may have been charged without a reply": 8}
        assert asker.ledger.spent().unknown_usd > 0, "whether the late ones were charged is not known"
    assert set(server.paid.values()) == {1}


def test_two_processes_that_want_the_same_requests_pay_once(tmp_path):
    with ModelServer(delay_s=0.1) as server:
        askers = [client(tmp_path, server.url, connections=4) for _ in range(2)]
        found: dict[int, dict] = {}

        def ask(number: int) -> None:
            asker = client(tmp_path, server.url, connections=4)
            found[number] = asker.ask(questions(asker, 30))
            asker.close()

        threads = [threading.Thread(target=ask, args=(n,)) for n in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        for asker in askers:
            asker.close()
    assert found[0] == found[1] and len(found[0]) == 30
    assert set(server.paid.values()) == {1}


def test_equal_requests_are_one_and_samples_differ(tmp_path):
    with ModelServer() as server, client(tmp_path, server.url) as asker:
        same = [asker.request([Message("user", "hello")], about=str(i)) for i in range(5)]
        samples = [asker.request([Message("user", "hello")], sample=i) for i in range(5)]
        assert len({r.digest for r in same}) == 1
        assert len({r.digest for r in samples}) == 5
        asker.ask([*same, *samples])
    assert server.requests_paid == 5


def test_no_key_is_written_or_shown(tmp_path, monkeypatch):
    canary = "sk-canary-0123456789abcdef"
    monkeypatch.setenv("OPENAI_API_KEY", canary)
    with ModelServer(fault=lambda n, key: "401" if n == 5 else "500" if n % 3 == 0 else "") as server:
        with client(tmp_path, server.url, connections=1) as asker, pytest.raises(StepFailed) as error:
            asker.ask(questions(asker, 20))
    assert any(canary in h.get("authorization", "") for h in server.headers)
    assert canary not in str(error.value)
    for file in tmp_path.rglob("*"):
        assert canary.encode() not in file.read_bytes(), file


def test_a_servers_message_that_repeats_a_confidential_text_is_not_shown(tmp_path):
    secret = "The launch codes are kept behind the portrait in the east wing."
    from specsci.generate.secrets import said

    with ModelServer() as server, client(tmp_path, server.url) as asker:
        request = questions(asker, 1, spec=secret)[0]
        assert secret[5:40] not in said(f"invalid prompt: {secret}", "", request)
        assert said("invalid model", "", request) == "invalid model"


def test_hostile_replies_are_stored_as_they_are(tmp_path):
    texts = ["../../etc/passwd", "\ud800 half", "\u0000 zero", "'; DROP TABLE requests; --", "𝔘𝔫𝔦\u2028code", "x" * 200_000]
    replies = iter(texts)
    with ModelServer(answer=lambda messages: next(replies)) as server, client(tmp_path, server.url, connections=1) as asker:
        found = asker.ask(questions(asker, len(texts)))
    assert {r.text for r in found.values()} == {t.encode("utf-8", "replace").decode() for t in texts}
    assert {p.name for p in tmp_path.iterdir()} <= {"requests.sqlite", "requests.sqlite-wal", "requests.sqlite-shm"}


def test_a_missing_key_is_told_with_its_variable(tmp_path, monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    from specsci.generate.settings import GeneratorSettings

    asker = Client(tmp_path, "study", "writer", GeneratorSettings(backend="openai", model="gpt-5", max_usd=1))
    with pytest.raises(UserError, match="OPENAI_API_KEY is not set"):
        asker.ask([asker.request([Message("user", "x")])])


def test_a_damaged_ledger_is_told_and_not_overwritten(tmp_path):
    (tmp_path / "requests.sqlite").write_bytes(b"not a database" * 100)
    from specsci.core.errors import StoreError

    with pytest.raises(StoreError, match="request ledger cannot be used"):
        client(tmp_path, "http://127.0.0.1:1")
    assert (tmp_path / "requests.sqlite").read_bytes().startswith(b"not a database")


def test_pacing_rises_by_one_and_falls_by_a_quarter():
    pace = Pace(most=64)
    for _ in range(100):
        pace.succeeded()
    assert pace.limit == 64
    pace.refused(now=10.0, retry_after_s=3.0)
    pace.refused(now=10.1, retry_after_s=None)
    assert pace.limit == 48
    assert not pace.room(0, now=12.9)
    assert pace.room(47, now=13.1)
    for _ in range(48):
        pace.succeeded()
    assert 48.9 < pace.limit < 49.1


def test_timeouts_follow_what_was_measured_and_a_breaker_judges_the_first_requests():
    timeout = Timeout()
    assert timeout.seconds == 600
    for number in range(100):
        timeout.took(float(number))
    assert timeout.seconds == pytest.approx(4 * 99)
    breaker = Breaker()
    for number in range(40):
        assert not breaker.is_open
        breaker.saw(failed=number % 3 != 0)
    assert breaker.is_open


def test_random_faults_of_every_kind_together(tmp_path):
    draws = random.Random(7)
    kinds = ["429", "500", "529", "cut", "malformed", "hang up", "truncate", "refuse", *[""] * 40]
    with ModelServer(fault=lambda n, key: draws.choice(kinds)) as server, client(tmp_path, server.url, attempts=20) as asker:
        wanted = questions(asker, 150)
        found = asker.ask(wanted)
    assert len(found) == 150
    assert set(server.paid.values()) == {1}
    with sqlite3.connect(tmp_path / "requests.sqlite") as db:
        states = dict(db.execute("SELECT state, count(*) FROM requests GROUP BY state").fetchall())
        usage = [json.loads(u) for (u,) in db.execute("SELECT usage FROM requests")]
    assert states == {s: sum(r.state == s for r in found.values()) for s in states}
    assert sum(states.values()) == 150
    assert all(u["output_tokens"] > 0 for u in usage)
