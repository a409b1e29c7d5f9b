"""Sampling by a request's own noise: its frequencies are those of the truncated softmax written out, in any batch."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")
from specsci.generate.backends.hf import sampling  # noqa: E402
from specsci.generate.backends.hf.sampling import SeededSampling  # noqa: E402

SCORES = [2.0, 1.0, 0.0, -1.0, -2.0]
DRAWS = 20_000


def drawn(temperature: float, top_p: float) -> torch.Tensor:
    """Shares of the tokens over many requests, shape (tokens,)."""
    sampler = SeededSampling([f"{n:015x}" for n in range(DRAWS)], [{"temperature": temperature, "top_p": top_p}] * DRAWS)
    chosen = sampler(None, torch.tensor(SCORES).expand(DRAWS, len(SCORES))).argmax(-1)
    return torch.bincount(chosen, minlength=len(SCORES)) / DRAWS


@pytest.mark.parametrize("candidates", [2, 512])
@pytest.mark.parametrize(("temperature", "top_p"), [(1.0, 1.0), (0.5, 1.0), (1.0, 0.9), (2.0, 0.6), (1.0, 0.5)])
def test_frequencies_are_those_of_the_truncated_softmax(monkeypatch, temperature: float, top_p: float, candidates: int) -> None:
    monkeypatch.setattr(sampling, "CANDIDATES", candidates)
    shares = torch.softmax(torch.tensor(SCORES) / temperature, -1)
    before = torch.tensor([float(shares[:n].sum()) for n in range(len(SCORES))])
    expected = torch.where(before < top_p, shares, 0.0)
    expected /= expected.sum()
    sd = (expected * (1 - expected) / DRAWS).sqrt()
    assert ((drawn(temperature, top_p) - expected).abs() <= 4.5 * sd + 1e-9).all()


def test_a_request_draws_the_same_in_any_batch_and_greedy_rows_are_left_alone() -> None:
    torch.manual_seed(1)
    scores = torch.randn(3, 3000) * 4
    digests = ["a" * 64, "b" * 64, "c" * 64]
    params = [{"temperature": 0.9, "top_p": 0.95}, {"temperature": 0}, {}]
    together = SeededSampling(digests, params)(None, scores).argmax(-1)
    alone = [SeededSampling([d], [p])(None, scores[n : n + 1]).argmax(-1) for n, (d, p) in enumerate(zip(digests, params, strict=True))]
    assert together.tolist() == [int(a) for a in alone]
    assert int(together[1]) == int(scores[1].argmax())
    again = SeededSampling(digests, params)
    assert again(None, scores).argmax(-1).tolist() == together.tolist()
    assert again(None, scores).argmax(-1).tolist() != together.tolist(), "the next token has its own noise"
