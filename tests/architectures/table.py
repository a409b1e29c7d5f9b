"""The table of architectures: `python tests/architectures/table.py [NAME ...]` writes it as Markdown.

For each: what the examination says, whether a stage packs its rows, how far the first update's loss and the scores lie from
a plain transformers forward, or the sentence that refuses it.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import plain
import zoo
from test_architectures import RECIPE, options, rows

from specsci.evals.forward import log_probabilities
from specsci.execute.logs import quiet_libraries
from specsci.intake.model import examine_model
from specsci.models.hf import load_weights, save_model
from specsci.sources.examination import Examination
from specsci.sources.folder import examine_folder
from specsci.train.stage import train_stage

HEAD = "| architecture | examined | rows | loss, apart from a plain forward (nats) | scores, apart (nats) |\n| --- | --- | --- | --- | --- |"


def line(name: str, scratch: Path) -> str:
    """One architecture's row."""
    folder = zoo.write({**zoo.CAUSAL, **zoo.REFUSED}[name], scratch / "base")
    static = Examination(tuple(examine_folder(folder)))
    found = static if static.refused else examine_model(folder)
    if found.refused:
        return f"| {name} | refused: {found.refusals[0].text} | | | |"
    asked, one = options(), plain.load(folder)
    model = load_weights(folder)
    report = train_stage(model, zoo.tokenizer(), rows(), RECIPE, 7, scratch=str(scratch / "scratch"))
    save_model(model, scratch / "trained")
    trained = plain.load(scratch / "trained")
    apart = abs(report.curve[0]["loss"] - plain.loss(one, rows()))
    scores = log_probabilities(load_weights(scratch / "trained").eval(), asked, 0)
    worst = max(abs(scores[o] - plain.log_probability(trained, o.ids, o.start)) for o in asked)
    how = "packed" if report.packed else "unpacked"
    way = "cache" if found.facts["shares_cache"] else "whole"
    return f"| {name} | {len(found.findings)} points | {how} | {apart:.1e} | {worst:.1e} ({way}) |"


def main(names: list[str]) -> None:
    quiet_libraries()
    print(HEAD)
    for name in names or [*zoo.CAUSAL, *zoo.REFUSED]:
        with tempfile.TemporaryDirectory() as scratch:
            print(line(name, Path(scratch)), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
