"""What the sections of a study file are made of."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Finite = Annotated[float, Field(allow_inf_nan=False)]
Count = Annotated[int, Field(ge=1)]
Share = Annotated[float, Field(gt=0, lt=1)]
Range = Annotated[list[Positive], Field(min_length=2, max_length=2)]
Ends = Annotated[list[Finite], Field(min_length=2, max_length=2)]
Value = bool | int | float | str | list[int]


class Section(BaseModel):
    """A part of a study: frozen, strict, and without unknown keys."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)
