"""What may run next, given what is done and what has failed. Pure: no processes, no store, no clock."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from specsci.core.step import Step


class Scheduler:
    """A plan's steps in dependency order.

    A step is waiting until it is complete or blocked; it is ready once all that it needs is done, and no longer once it is
    taken. Steps that become ready are offered in the order in which they did.

    Args:
        steps: all steps by digest.
        done: digests of those that need not run.
    """

    def __init__(self, steps: Mapping[str, Step], done: Iterable[str] = ()) -> None:
        self.steps = steps
        self.done = set(done)
        self.waiting = {d: s for d, s in steps.items() if d not in self.done}
        self.failed: set[str] = set()
        self.blocked: set[str] = set()
        self._missing = {d: self._needed(s) for d, s in self.waiting.items()}
        self._dependents: dict[str, list[str]] = {}
        for digest, step in self.waiting.items():
            for need in step.needs:
                self._dependents.setdefault(need, []).append(digest)
        self._ready: dict[str, None] = {d: None for d, needs in self._missing.items() if not needs}

    @property
    def ready(self) -> bool:
        """Whether any step may be taken now."""
        return bool(self._ready)

    def offers(self, recent: tuple[str, ...] = ()) -> Iterator[Step]:
        """Steps that may be taken now, those first that use what was just in hand.

        Args:
            recent: the digest of the step that the taker ran last, then those of its inputs: steps that need the first come
                first, then steps that use the same model, then all others.
        """
        ready = list(self._ready)
        near = [d for d in ready if recent and recent[0] in self.steps[d].needs]
        siblings = [d for d in ready if recent and self.steps[d].inputs.get("model") in recent]
        for digest in dict.fromkeys([*near, *siblings, *ready]):
            if digest in self._ready:
                yield self.steps[digest]

    def take(self, digest: str) -> None:
        """A step is being run: it is offered no more."""
        del self._ready[digest]

    def give_back(self, digest: str) -> None:
        """A step that was taken may be taken again."""
        self._ready[digest] = None

    def complete(self, digest: str) -> None:
        """A step's artefact is there; its dependents may become ready."""
        self.done.add(digest)
        self.waiting.pop(digest, None)
        self._ready.pop(digest, None)
        for dependent in self._dependents.get(digest, []):
            self._missing[dependent].discard(digest)
            if not self._missing[dependent] and dependent in self.waiting and dependent not in self._ready:
                self._ready[dependent] = None

    def fail(self, digest: str) -> list[str]:
        """A step failed; returns the waiting steps that need it, directly or not, which are now blocked."""
        self.failed.add(digest)
        self.waiting.pop(digest, None)
        self._ready.pop(digest, None)
        blocked: list[str] = []
        stack = [digest]
        while stack:
            for dependent in self._dependents.get(stack.pop(), []):
                if dependent in self.waiting:
                    self.waiting.pop(dependent)
                    self._ready.pop(dependent, None)
                    blocked.append(dependent)
                    stack.append(dependent)
        self.blocked.update(blocked)
        return blocked

    def make_anew(self, digest: str, for_step: str) -> bool:
        """An input turned out to be corrupt: it runs again before the step that was taken and found it does.

        Other steps that need it, and were not taken, wait for it too.

        Returns:
            Whether it had counted as done; where not, it is being made anew already.
        """
        was_done = digest in self.done
        if was_done:
            self.done.discard(digest)
            self.waiting[digest] = self.steps[digest]
            self._missing[digest] = self._needed(self.steps[digest])
            for dependent in self._dependents.get(digest, []):
                if dependent in self.waiting:
                    self._missing[dependent].add(digest)
                    self._ready.pop(dependent, None)
            if not self._missing[digest]:
                self._ready[digest] = None
        self._missing[for_step].add(digest)
        return was_done

    def _needed(self, step: Step) -> set[str]:
        return {need for need in step.needs if need not in self.done}
