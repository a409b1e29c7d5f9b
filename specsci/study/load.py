"""From a study file to a resolved study: profile merged, every name checked, every error located."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from specsci.core.errors import CorruptArtifact, InputFileError, Problem, UserError, nearest
from specsci.core.ids import is_safe_name
from specsci.core.shipped import find_family, find_study
from specsci.core.yaml_file import SWITCH, Document, Path_, problems_of, read_yaml, switches
from specsci.specs.family import Family
from specsci.specs.versions import load_version
from specsci.study.names import name_problems
from specsci.study.overrides import apply_overrides, label_of, left_out, limited
from specsci.study.places import Places, locate, place_of
from specsci.study.schema import DEFAULT_PROFILE, IMPORTED, PROFILE_KEYS, Study


@dataclass(frozen=True)
class LoadedStudy:
    """A study with the family it draws on, its file and the profile in force."""

    study: Study
    family: Family
    file: Path
    profile: str
    default_profile: str
    document: Document
    overrides: Mapping[str, Any] = field(default_factory=dict)
    item_limit: int | None = None

    @property
    def name(self) -> str:
        """The name in the database: the study, the profile where it is not the default, and what was set beside the file."""
        profile = "" if self.profile == self.default_profile else f"@{self.profile}"
        return f"{self.study.study}{profile}{label_of(self.overrides, self.item_limit)}"

    @property
    def family_home(self) -> Path:
        """The family's own folder, whatever version is pinned."""
        return find_family(self.study.family_name, self.file.parent)

    def problem(self, error: UserError, *path: str | int) -> InputFileError:
        """An error about a value of the file, with the value's place."""
        place = place_of(self.document, self.profile, path, self.overrides)
        return InputFileError([Problem(*place, error.what, error.hint)])

    def given(self, *path: str) -> Any:
        """What the file itself says at a path, the profile over the top; None where it says nothing."""
        overlay = (self.document.data.get("profiles") or {}).get(self.profile, {})
        node: Any = _merge({k: v for k, v in self.document.data.items() if k != "profiles"}, overlay)
        node = apply_overrides(node, self.overrides)
        for part in path:
            node = node.get(part) if isinstance(node, dict) else None
        return node

    def line(self, *path: str | int) -> int:
        """The line of a value in the file, from the profile where the profile sets it."""
        return locate(self.document, self.profile, path)[0]


def load_study(
    name: str, profile: str | None = None, overrides: Mapping[str, Any] | None = None, limit: int | None = None
) -> LoadedStudy:
    """Load a study by path or shipped name.

    Args:
        overrides: values by dotted key, such as `midtrain.tokens`, set over those of the file and its profile.
        limit: cut the study down to a smoke run with so many items to an eval (see `overrides.limited`).

    Raises:
        InputFileError: every problem of the file.
        UserError: no such study, profile or family.
    """
    path = find_study(name)
    document = read_yaml(path)
    data = dict(document.data)
    profiles = data.pop("profiles", None)
    profiles = {} if profiles is None else profiles
    default = data.pop("default_profile", DEFAULT_PROFILE)
    problems = list(_profile_problems(document, profiles))
    if problems:
        raise InputFileError(problems)
    if not isinstance(default, str):
        raise InputFileError([document.problem(("default_profile",), "must be the name of a profile", "write a name")])
    chosen = profile or default
    if chosen not in profiles and (profiles or profile):
        hint = nearest(chosen, profiles)
        if profile:
            raise UserError(f"{path.name} has no profile '{chosen}'", hint=hint)
        raise InputFileError([document.problem(("default_profile",), f"no profile '{chosen}'", hint)])
    overrides = dict(overrides or {})
    merged = apply_overrides(_merge(data, profiles.get(chosen, {})), overrides)
    declared = list(merged["evals"]) if isinstance(merged.get("evals"), dict) else []
    merged, kept = left_out(merged)
    places = Places(document, chosen, kept)
    if limit is not None:
        merged = limited(merged, limit)
    try:
        study = Study.model_validate(merged)
    except ValidationError as error:
        raise InputFileError(_relocate(error, places, overrides)) from error
    wrong = [Problem(*place_of(document, chosen, place, overrides), *SWITCH) for place in switches(merged, study)]
    if wrong:
        raise InputFileError(wrong)
    try:
        family = load_version(find_family(study.family_name, path.parent), study.family_version)
    except InputFileError:
        raise
    except (UserError, CorruptArtifact) as error:
        line, column = locate(document, chosen, ("family",))
        raise InputFileError([Problem(str(path), line, column, error.what, error.hint)]) from error
    problems = [places.unknown(("without", name), "eval", name, declared, key=True) for name in study.without if name not in declared]
    problems += name_problems(study, family, places)
    if problems:
        raise InputFileError(problems)
    return LoadedStudy(study, family, path, chosen, default, document, overrides, limit)


def _merge(base: dict[str, Any], overlay: dict[str, Any]) -> dict[str, Any]:
    out = dict(base)
    for key, value in overlay.items():
        deep = isinstance(value, dict) and isinstance(out.get(key), dict) and key != "base_models"
        out[key] = _merge(out[key], value) if deep else value
    return out


def _relocate(error: ValidationError, places: Places, overrides: Mapping[str, Any]) -> list[Problem]:
    problems = []
    for item, problem in zip(error.errors(include_url=False), problems_of(error, places.document, Study), strict=True):
        path: Path_ = places.in_file(tuple(item["loc"]))
        at = path[:-1] if item["type"] == "missing" else path
        place = place_of(places.document, places.profile, at, overrides, key=item["type"] == "extra_forbidden")
        problems.append(Problem(*place, problem.what, problem.hint))
    return problems


def _profile_problems(document: Document, profiles: Any) -> Iterator[Problem]:
    if not isinstance(profiles, dict):
        yield document.problem(("profiles",), "must map profile names to overlays", "write `profiles: {NAME: {...}}`")
        return
    for name, overlay in profiles.items():
        if not is_safe_name(str(name)):
            yield document.problem(("profiles", name), f"'{name}' is not a safe profile name", key=True)
        elif name == IMPORTED:
            what = f"the profile name '{name}' marks results that were made elsewhere"
            yield document.problem(("profiles", name), what, "give the profile another name", key=True)
        if not isinstance(overlay, dict):
            yield document.problem(("profiles", name), f"profile '{name}' must be a mapping")
            continue
        for key in overlay:
            if key in PROFILE_KEYS:
                continue
            what = f"a profile may not set '{key}': it changes scale, not the design"
            known = key in Study.model_fields or not difflib.get_close_matches(str(key), PROFILE_KEYS, 1, 0.6)
            hint = f"a profile may set: {', '.join(PROFILE_KEYS)}" if known else nearest(str(key), PROFILE_KEYS)
            yield document.problem(("profiles", name, key), what, hint, key=True)
