"""Who may see the texts of a study."""

from __future__ import annotations

from specsci.generate.generator import may_see
from specsci.plan.gates.finding import Finding
from specsci.plan.plan import Plan


def access(plan: Plan) -> list[Finding]:
    """A backend that sends texts out may not see a confidential family without leave."""
    study, data = plan.loaded.study, plan.loaded.family.data
    found = []
    secret = [n for n, base in plan.bases.items() if base.access == plan.access != data.access]
    found += [Finding("note", "access", f"the base '{n}' is {plan.access}: so is all that comes from it") for n in secret]
    sections = (("corpora", study.corpus_files), ("conversations", study.conversation_files), ("mixes", study.mixes))
    for section, brought in sections:
        labelled = [(name, texts.access) for name, texts in brought.items() if texts.access == plan.access != data.access]
        found += [
            Finding("note", "access", f"the files of {section}.{name} are {label}: so is all that comes from them")
            for name, label in labelled
        ]
    found += [
        Finding("note", "access", f"the file '{name}' is {label}: so is all that comes from it")
        for name, label in plan.file_labels.items()
        if label == plan.access != data.access
    ]
    if data.access != "public":
        found.append(Finding("note", "access", f"'{data.family}' is {data.access}: so is all that comes from it"))
    if study.midtrain and not may_see(study.midtrain.backend, data.access, data.allowed_backends):
        text = f"'{data.family}' is confidential, and the backend '{study.midtrain.backend}' sends its texts out"
        hint = f"use another backend, or name it in the family's allowed_backends: [{study.midtrain.backend}]"
        found.append(Finding("refuse", "access", text, hint))
    return found
