"""One planned training run: what decides its result, and what follows from that."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

OPTIONAL = ("settings", "machine")  # options of the task; what is asked of the machine


@dataclass(frozen=True)
class Point:
    """One planned training run, with everything that decides its result.

    Attributes
    ----------
    id : str
        16 hex digits: a hash of what decides the result.
    group : str
        Recipe, data set or variant.
    budget : float or None
        Planned compute of an isoFLOP point [FLOP].
    N, N_body, N_embedding, N_head : int
        Parameters [count]; N is body and head.
    D : int
        Tokens or examples seen [count].
    C, C_6nd : float
        Training compute as it is counted, and 6 N D [FLOP].
    flops_per_unit : mapping of str to float
        Compute of one unit of D by each convention [FLOP].
    D_unique : int
        Different units of data among D [count].
    epochs : float
        D over D_unique.
    family : str
        Of the model.
    shape : mapping of str to int
        Depth, width and what else the family has.
    task : str
        What is trained.
    data : mapping
        Source, options and content hash of the data.
    recipe : str
        Name of the recipe.
    optimizer, init, evaluation : mapping
        Settings of the recipe.
    batch : int
        Units of D in a step [count].
    sequences : int
        Examples in a step [count].
    lr : float
        Peak learning rate.
    steps : int
    seed : int
    trunk : str
        Hash of the point without D, steps and cooldown: such points share their beginning.
    seconds : float or None
        Expected time [s]; None without a calibration.
    memory : int or None
        Expected memory [bytes].
    settings : mapping
        Options of the task.
    machine : mapping
        What is asked of the machine, where that is compared.
    """

    id: str
    group: str
    budget: float | None
    N: int
    N_body: int
    N_embedding: int
    N_head: int
    D: int
    C: float
    C_6nd: float
    flops_per_unit: Mapping[str, float]
    D_unique: int
    epochs: float
    family: str
    shape: Mapping[str, int]
    task: str
    data: Mapping[str, Any]
    recipe: str
    optimizer: Mapping[str, Any]
    init: Mapping[str, Any]
    evaluation: Mapping[str, Any]
    batch: int
    sequences: int
    lr: float
    steps: int
    seed: int
    trunk: str
    seconds: float | None
    memory: int | None
    settings: Mapping[str, Any] = field(default_factory=dict)
    machine: Mapping[str, Any] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """Return the JSON form: what few points have is absent from the others."""
        return {k: v for k, v in asdict(self).items() if v or k not in OPTIONAL}
