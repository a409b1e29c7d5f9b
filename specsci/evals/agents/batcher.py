"""Many asynchronous callers, one thread that answers what has come together: what batches a model, and what holds a ledger's connection."""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Any, Generic, TypeVar

Ask = TypeVar("Ask")
Answer = TypeVar("Answer")
WAIT_S = 0.03
MOST = 32


class Batcher(Generic[Ask, Answer]):
    """Answers requests in a thread of its own, as many at once as have come within WAIT_S.

    Args:
        answer: the answers of a batch, in its order; an exception in place of an answer is raised to whoever asked.
        close: runs in the thread when it ends.
    """

    def __init__(
        self, answer: Callable[[Sequence[Ask]], Sequence[Answer | BaseException]], *, most: int = MOST, close: Callable[[], None] = lambda: None
    ) -> None:
        self._answer, self._most, self._close = answer, most, close
        self._waiting: queue.Queue[tuple[Ask, Future[Any]] | None] = queue.Queue()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    async def ask(self, request: Ask) -> Answer:
        """The answer to one request."""
        if not self._thread.is_alive():
            raise RuntimeError("nobody answers any more")
        future: Future[Answer] = Future()
        self._waiting.put((request, future))
        return await asyncio.wrap_future(future)

    def stop(self) -> None:
        """Answer what is waiting, and end."""
        self._waiting.put(None)
        self._thread.join()

    def _run(self) -> None:
        ended = False
        while not ended:
            first = self._waiting.get()
            batch = [first] if first is not None else []
            ended = first is None
            while batch and len(batch) < self._most:
                try:
                    more = self._waiting.get(timeout=WAIT_S)
                except queue.Empty:
                    break
                if more is None:
                    ended = True
                    break
                batch.append(more)
            self._answered([one for one in batch if one is not None])
        self._close()

    def _answered(self, batch: list[tuple[Ask, Future[Any]]]) -> None:
        if not batch:
            return
        try:
            answers: Sequence[Any] = self._answer([request for request, _ in batch])
        except BaseException as error:  # noqa: BLE001 - raised to everybody who asked
            answers = [error] * len(batch)
        for (_, future), answer in zip(batch, answers, strict=True):
            if isinstance(answer, BaseException):
                future.set_exception(answer)
            else:
                future.set_result(answer)
