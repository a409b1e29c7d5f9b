"""The process that runs vLLM: requests as JSON Lines in, replies as JSON Lines out, in groups that share a prefix.

It imports nothing of specsci, so that it may run in an environment of its own (`engine: {python: ...}`): vLLM pins its own torch.
"""

import json
import os
import sys

GROUP = 256


def main() -> None:
    """Load the model that the first line names, then answer the lines that follow until the input ends."""
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # vLLM prints its progress, and so do the processes that it starts
    first = json.loads(sys.stdin.readline())
    from vllm import LLM, SamplingParams

    llm = LLM(model=first["model"], enable_prefix_caching=True, **first["engine"])
    out.write(json.dumps({"ready": True}) + "\n")
    out.flush()
    group = []
    for line in sys.stdin:
        if line.strip():
            group.append(json.loads(line))
        if len(group) >= GROUP or (group and not line.strip()):
            _answer(llm, SamplingParams, group, out)
            group = []
    if group:
        _answer(llm, SamplingParams, group, out)


def _answer(llm, sampling, group, out) -> None:  # type: ignore[no-untyped-def]  # vLLM may be of another environment
    params = [sampling(max_tokens=r["max_tokens"], seed=int(r["digest"][:8], 16), **r["params"]) for r in group]
    for request, found in zip(group, llm.chat([r["messages"] for r in group], params, use_tqdm=False), strict=True):
        made = found.outputs[0]
        cached = found.num_cached_tokens or 0
        reply = {
            "digest": request["digest"],
            "text": made.text,
            "stop": made.finish_reason,
            "input_tokens": len(found.prompt_token_ids) - cached,
            "cache_read_tokens": cached,
            "output_tokens": len(made.token_ids),
        }
        out.write(json.dumps(reply) + "\n")
    out.flush()


if __name__ == "__main__":
    main()
