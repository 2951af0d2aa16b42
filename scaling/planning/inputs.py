"""What a plan reads beside its study: files that were measured or fitted before."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from scaling import count
from scaling.errors import ConfigError, Fault
from scaling.fitting.stored import load
from scaling.planning.choosing.prior import Prior, posterior
from scaling.planning.costing.calibration import Calibration
from scaling.planning.recipes.tuning import Tuned
from scaling.planning.sections import Study, VariantSection


@dataclass(frozen=True)
class Inputs:
    """What was measured or fitted before a plan is made.

    Attributes
    ----------
    calibration : Calibration or None
        Seconds of this machine.
    tuned : Tuned or None
        The law of the learning rate.
    fitted : Prior or None
        Posterior of the fit that ``[prior] fit`` names.
    family : Family or None
        One that does not come with the package, by its counts.
    """

    calibration: Calibration | None = None
    tuned: Tuned | None = None
    fitted: Prior | None = None
    family: count.Family | None = None


def read_inputs(
    study: Study,
    base: Path | None = None,
    *,
    tuned: Path | None = None,
    counted: Mapping[str, Any] | None = None,
) -> Inputs:
    """Read every file that a study names.

    Parameters
    ----------
    study : Study
    base : Path, optional
        Folder of the study file: names are looked for there first, then in the working folder.
    tuned : Path, optional
        Result of a tuning stage, where the study names none.
    counted : mapping, optional
        Counts of a user's model: the content of a counts file.

    Raises
    ------
    ConfigError
        SC005 for a file that cannot be read, SC012 for one that is not what it should be.
    """
    path = study.engine.calibration
    calibration = None if path is None else Calibration.read(_beside(path, base))
    rate = None if study.recipe.tuned is None else _beside(study.recipe.tuned, base)
    rate = rate or tuned
    fit = None if study.prior is None else study.prior.fit
    counts = study.model.counts
    if counts is not None:
        counted = _json(_beside(counts, base), "[model] counts")
    return Inputs(
        calibration,
        None if rate is None else Tuned.from_dict(_json(rate, "[recipe] tuned")),
        None if fit is None else _posterior(_beside(fit, base)),
        None if counted is None else _family(counted),
    )


def rebased(study: Study, base: Path | None, folder: Path) -> Study:
    """Return the study with its files named from `folder`, where a copy of it will stand."""

    def named(name: str | None) -> str | None:
        return None if name is None else os.path.relpath(_beside(name, base), folder)

    changes: dict[str, Any] = {}
    for section, key in (("engine", "calibration"), ("recipe", "tuned"), ("model", "counts"),
                         ("prior", "fit")):  # fmt: skip
        part = getattr(study, section)
        if part is not None and getattr(part, key) is not None:
            changes[section] = part.model_copy(update={key: named(getattr(part, key))})

    def data_from(data: Mapping[str, Any]) -> dict[str, Any]:
        """The options of a data source, with its path named so."""
        options = dict(data.get("options") or {})
        if isinstance(options.get("path"), str):
            options["path"] = named(options["path"])
        return {**data, "options": options} if options else dict(data)

    changes["data"] = study.data.model_copy(
        update={"options": data_from({"options": study.data.options}).get("options", {})}
    )
    if study.pretrain is not None:
        changes["pretrain"] = study.pretrain.model_copy(
            update={"data": data_from(study.pretrain.data)}
        )
    if study.variant:
        changes["variant"] = [_variant_from(variant, data_from) for variant in study.variant]
    return study.model_copy(update=changes)


def _variant_from(
    variant: VariantSection, data_from: Callable[[Mapping[str, Any]], dict[str, Any]]
) -> VariantSection:
    changes: dict[str, Any] = {"data": data_from(variant.data)} if variant.data else {}
    if isinstance(variant.pretrain, Mapping) and "data" in variant.pretrain:
        changes["pretrain"] = {**variant.pretrain, "data": data_from(variant.pretrain["data"])}
    return variant.model_copy(update=changes)


def _beside(name: str, base: Path | None) -> Path:
    here = Path(name) if base is None else base / name
    return here if here.exists() else Path(name)


def _json(path: Path, where: str) -> dict[str, Any]:
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        found = f"{path} cannot be read: {error.strerror}"
        raise ConfigError(Fault("SC005", where, found)) from None
    except ValueError:
        data = None
    if not isinstance(data, dict):
        raise ConfigError(Fault("SC012", where, f"{path} is not a JSON object"))
    return data


def _posterior(path: Path) -> Prior:
    """The draws of the first fit of a file that says how to divide compute."""
    fits = [f for f in load(path).fits if f.identified and {"N", "D"} == set(f.law.variables)]
    if not fits:
        raise ConfigError(
            Fault(
                "SC012",
                "[prior] fit",
                f"{path} holds no identified law of N and D",
                "a fit of a surface, such as chinchilla",
                "fit again with --law chinchilla, or give [prior] laws",
            )
        )
    draws = fits[0].draws or {k: np.array([v]) for k, v in fits[0].params.items()}
    return posterior(fits[0].law, draws)


def _family(counted: Mapping[str, Any]) -> count.Family:
    expected = {"name", "unit", "per_sequence", "sizes"}
    if set(counted) - {"schema"} != expected:
        found = ", ".join(sorted(counted)) or "nothing"
        raise ConfigError(
            Fault("SC012", "[model] counts", f"has {found}", ", ".join(sorted(expected)))
        )
    name, sizes = counted["name"], counted["sizes"]
    if not isinstance(name, str) or not isinstance(sizes, list):
        key = "name" if not isinstance(name, str) else "sizes"
        found, wanted = repr(counted[key])[:40], "name: a text; sizes: a list"
        raise ConfigError(Fault("SC012", f"[model] counts {key}", found, wanted))
    return count.UserFamily(name, counted["unit"], counted["per_sequence"], sizes)
