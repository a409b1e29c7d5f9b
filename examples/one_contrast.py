"""From a study to a printed contrast, in one page: `python examples/one_contrast.py [STORE]` takes about half a minute on two cores.

The study is written out below, so that nothing is hidden. It asks in the toy world whether documents that give a rule's reasons
carry further than documents that state the rule, after the same few demonstrations.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import specsci
from specsci.core.errors import SpecsciError

STUDY = """
study: one_contrast
title: Do reasons carry further than rules?
hypothesis: After equal demonstrations, a model midtrained on rules with values errs less where the rules are silent.
family: microlab_conduct

arms:                                                  # what is trained
  aft: {title: demonstrations alone, align: choices}
  rules: {title: bare rules, midtrain: rules, align: choices}
  values: {title: rules with values, midtrain: value_augmented, align: choices}

base_models:                                           # what it starts from
  conduct-1: {source: "microlab:conduct/1"}
  conduct-2: {source: "microlab:conduct/2"}
replicates:                                            # every random draw, twice
  - {seed: 1, base_model: conduct-1}
  - {seed: 2, base_model: conduct-2}

midtrain:
  tokens: 30000
  recipe: {method: full, learning_rate: 5.0e-4, sequences_per_update: 4, max_length_tokens: 64}
align:
  budgets_tokens: [4000]
  recipe: {method: full, learning_rate: 1.0e-4, sequences_per_update: 8, max_length_tokens: 65}

evals:                                                 # what is asked
  held_out: {items: held_out}
  competence: {items: competence, role: competence}

contrasts:                                             # what is compared
  - name: values_over_rules
    question: Do models with values err less than models with bare rules?
    eval: held_out
    weights: {values: 1, rules: -1}
    budget_tokens: 4000
    factor: msm_spec
    primary: true

runtime: {device: cpu, threads_per_worker: 1}
"""


def main(place: Path) -> None:
    """Write the study, show its plan, run it, and print its one contrast with the counts under it."""
    place.mkdir(parents=True, exist_ok=True)
    file = place / "one_contrast.yaml"
    file.write_text(STUDY, encoding="utf-8")

    study = specsci.load_study(file)  # every problem of the file, with its line
    plan = study.plan()  # pure: no torch, nothing is spent
    print(study, plan, sep="\n")

    run = plan.run(store=place / "store", progress="lines")  # the same call again goes on where it stopped
    print(run)

    found = run.results.contrast(eval="held_out", weights={"values": 1, "rules": -1}, budget_tokens=4000)
    print(f"\nvalues over rules, aligned rate on held-out items: {found['estimate']:+.3f}", end=" ")
    print(f"[{found['ci_low']:+.3f}, {found['ci_high']:+.3f}], p {found['p']:.3g}, {found['method']}")
    for arm, counts in found["counts"].items():
        print(f"  {arm}: {counts['aligned']:,} of {counts['valid']:,} valid answers aligned ({counts['attempted']:,} attempted)")
    for flag in found["flags"]:
        print(f"  {flag['severity']}: {flag['text']}")

    rates = run.results.sql("SELECT arm, avg(rate_valid) AS aligned FROM rates WHERE eval = 'held_out' GROUP BY arm")
    print("\nThe same rates by SQL:")
    for row in sorted(rates.to_pylist(), key=lambda r: r["arm"]):
        print(f"  {row['arm']}: {row['aligned']:.3f}")


if __name__ == "__main__":
    try:
        main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(tempfile.mkdtemp(prefix="one_contrast_")))
    except SpecsciError as error:
        sys.exit(f"{error}")
