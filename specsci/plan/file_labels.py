"""Who may see the files of texts that a study reads."""

from __future__ import annotations

from specsci.sources.identity import is_text_file
from specsci.sources.origin import access_of
from specsci.study.load import LoadedStudy
from specsci.study.schema import BASE_PRETRAINING, Study
from specsci.study.texts import WrittenCorpus, is_conversation_file


def text_files(study: Study) -> list[str]:
    """The files of texts that a study names, each once, in the order of its keys."""
    found = [f for corpus in study.corpus_files.values() for f in corpus.files]
    found += [f for chats in study.conversation_files.values() for f in chats.files]
    found += [f for mix in study.mixes.values() for f in mix.files]
    found += [s for arm in study.arms.values() for s in arm.sets if is_conversation_file(s)]
    found += [texts.annotate for texts in study.corpora.values() if isinstance(texts, WrittenCorpus) and texts.annotate]
    pools = [study.midtrain.replay if study.midtrain else "", study.align.it_mix if study.align else "", study.probe.control]
    found += [name for name in pools if name and name != BASE_PRETRAINING and name not in study.mixes and is_text_file(name)]
    return list(dict.fromkeys(found))


def file_labels(loaded: LoadedStudy) -> dict[str, str]:
    """The label of every file of texts, as what lies beside it tells.

    Raises:
        InputFileError: what lies beside a file cannot be read.
    """
    folder = loaded.file.resolve().parent
    return {name: access_of(folder / name, name) for name in text_files(loaded.study)}
