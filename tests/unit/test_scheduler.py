"""The scheduler: what may run next, without processes."""

from __future__ import annotations

import random

import pytest

from specsci.core.step import Step
from specsci.execute.scheduler import Scheduler


def steps(**needs: str) -> dict[str, Step]:
    """Steps by name: `c="a b"` needs the artefacts of a and b; `d="a >b"` takes a as its model and b as a gate."""
    made: dict[str, Step] = {}
    for name, given in needs.items():
        roles = [n for n in given.split() if not n.startswith(">")]
        inputs = {("model" if n == 0 else f"in{n}"): made[r].digest for n, r in enumerate(roles)}
        after = tuple(made[n[1:]].digest for n in given.split() if n.startswith(">"))
        made[name] = Step("spec", {"name": name}, inputs, name, after=after)
    return made


def plan(made: dict[str, Step], done: str = "") -> Scheduler:
    return Scheduler({s.digest: s for s in made.values()}, [made[n].digest for n in done.split()])


def offered(scheduler: Scheduler, *recent: Step) -> list[str]:
    return [s.label for s in scheduler.offers(tuple(s.digest for s in recent))]


def test_a_step_is_offered_once_all_that_it_needs_is_done() -> None:
    made = steps(a="", b="", c="a b", d="c >b")
    s = plan(made)
    assert offered(s) == ["a", "b"]
    s.take(made["a"].digest)
    assert offered(s) == ["b"]
    s.complete(made["a"].digest)
    assert offered(s) == ["b"]
    s.take(made["b"].digest)
    s.complete(made["b"].digest)
    assert offered(s) == ["c"]
    s.complete(made["c"].digest)
    assert offered(s) == ["d"]
    s.complete(made["d"].digest)
    assert not s.ready and not s.waiting


def test_what_is_done_at_the_start_is_never_offered() -> None:
    made = steps(a="", b="a", c="b")
    s = plan(made, "a b")
    assert offered(s) == ["c"] and set(s.waiting) == {made["c"].digest}
    assert not plan(made, "a b c").waiting


def test_a_taken_step_that_is_given_back_is_offered_again() -> None:
    made = steps(a="", b="")
    s = plan(made)
    s.take(made["a"].digest)
    s.give_back(made["a"].digest)
    assert offered(s) == ["b", "a"]


def test_steps_that_use_what_was_just_in_hand_come_first() -> None:
    made = steps(base="", m1="base", m2="base", s1="m1", s2="m2", s3="m1")
    s = plan(made, "base m1 m2")
    assert offered(s) == ["s1", "s2", "s3"]
    assert offered(s, made["m2"], made["base"]) == ["s2", "s1", "s3"], "its own scores first"
    assert offered(s, made["s1"], made["m1"]) == ["s1", "s3", "s2"], "then what reads the same model"


def test_a_failure_blocks_what_needs_it_and_nothing_else() -> None:
    made = steps(a="", b="a", c="b", d="", e="c d", f="d")
    s = plan(made)
    s.take(made["a"].digest)
    assert {made[n].digest for n in "bce"} == set(s.fail(made["a"].digest)) == s.blocked
    assert offered(s) == ["d"]
    s.complete(made["d"].digest)
    assert offered(s) == ["f"]
    s.complete(made["f"].digest)
    assert not s.waiting and s.failed == {made["a"].digest}


def test_a_gate_that_fails_blocks_what_stands_behind_it() -> None:
    made = steps(a="", gate="a", train="a >gate")
    s = plan(made, "a")
    assert s.fail(made["gate"].digest) == [made["train"].digest]


def test_a_corrupt_input_is_made_anew_before_the_step_that_found_it() -> None:
    made = steps(a="", b="a", c="b")
    s = plan(made, "a b")
    s.take(made["c"].digest)
    assert s.make_anew(made["b"].digest, made["c"].digest), "it had counted as done"
    assert offered(s) == ["b"]
    s.complete(made["b"].digest)
    assert offered(s) == ["c"]


def test_two_steps_that_find_one_corrupt_input_both_wait_for_it() -> None:
    made = steps(a="", b="a", c="a")
    s = plan(made, "a")
    for name in "bc":
        s.take(made[name].digest)
    assert s.make_anew(made["a"].digest, made["b"].digest)
    assert not s.make_anew(made["a"].digest, made["c"].digest)
    assert offered(s) == ["a"]
    s.complete(made["a"].digest)
    assert offered(s) == ["b", "c"]


def test_steps_that_were_not_taken_yet_wait_for_a_corrupt_input_too() -> None:
    made = steps(a="", b="a", c="a", d="")
    s = plan(made, "a")
    s.take(made["b"].digest)
    assert s.make_anew(made["a"].digest, made["b"].digest)
    assert offered(s) == ["d", "a"], "c would find the same"
    s.complete(made["a"].digest)
    assert offered(s) == ["d", "b", "c"]


def test_a_corrupt_artefact_that_was_made_in_this_run_is_made_again() -> None:
    made = steps(a="", b="a")
    s = plan(made)
    s.take(made["a"].digest)
    s.complete(made["a"].digest)
    s.take(made["b"].digest)
    assert s.make_anew(made["a"].digest, made["b"].digest)
    assert offered(s) == ["a"]


@pytest.mark.parametrize("seed", range(40))
def test_every_order_of_outcomes_ends_with_each_step_done_failed_or_blocked(seed: int) -> None:
    """Random graphs, random failures: nothing is lost, nothing runs twice, nothing runs before its inputs."""
    rng = random.Random(seed)
    given: dict[str, str] = {}
    for n in range(rng.randint(1, 30)):
        given[f"s{n}"] = " ".join(rng.sample(sorted(given), rng.randint(0, min(3, len(given)))))
    made = steps(**given)
    by_digest = {s.digest: s for s in made.values()}
    s = plan(made)
    running: list[str] = []
    ran: list[str] = []
    while s.ready or running:
        options = list(s.offers(tuple(ran[-1:])))
        if options and (not running or rng.random() < 0.5):
            digest = rng.choice(options).digest
            assert by_digest[digest].needs <= s.done
            s.take(digest)
            running.append(digest)
            continue
        digest = running.pop(rng.randrange(len(running)))
        ran.append(digest)
        if rng.random() < 0.15:
            s.fail(digest)
        else:
            s.complete(digest)
    assert not s.waiting and len(set(ran)) == len(ran)
    assert s.done | s.failed | s.blocked == set(by_digest) and not s.done & (s.failed | s.blocked)
    assert all(by_digest[d].needs & (s.failed | s.blocked) for d in s.blocked)
