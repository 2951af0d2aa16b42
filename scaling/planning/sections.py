"""The sections of a study file: what may stand there, and of which kind."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from scaling.planning.sections_base import Count, Positive, Range, Section, Value
from scaling.planning.sections_fit import FitSection, PrintedSection


class StudySection(Section):
    """What the study is about."""

    title: str = "Scaling study"
    question: str = ""
    target_flops: Positive | None = None


class DataSection(Section):
    """Where the runs come from: a source to train on, or a finished table."""

    task: str = "text"
    source: str | None = None
    options: dict[str, Any] = Field(default_factory=dict)
    unique: Positive | None = None
    table: str | None = None
    public: str | None = None
    melt: Annotated[list[str], Field(min_length=2, max_length=2)] | None = None
    map: dict[str, str] = Field(default_factory=dict)
    where: str | None = None
    convention: str | None = None
    final_only: bool = False


class ModelSection(Section):
    """The family of models, the rule by which they grow, and what all its members share."""

    family: str = "decoder"
    rule: str | None = None
    tolerance: Positive | None = None
    context: Count = 32
    layers: Count | None = None
    ffn_ratio: Positive | None = None
    vocabulary: Count | None = None
    options: dict[str, Value] = Field(default_factory=dict)
    counts: str | None = None


class Center(Section):
    """Prior for the optimum: N*(C) = N (C / C0)^exponent, around which sizes are laid."""

    N: Positive
    C: Positive
    exponent: Annotated[float, Field(ge=0, le=1)] = 0.5


class Box(Section):
    """Ranges inside which a design may lay its points."""

    N: Range | None = None
    D: Range | None = None
    C: Range | None = None


Kind = Literal["isoflop", "grid", "ladder", "l-shape", "sobol", "ratio", "points", "optimal"]


class DesignSection(Section):
    """Which points.

    ``budgets``, ``params`` and ``data`` are lists of C, N and D; the other keys belong to the kinds
    that `scaling.planning.designs` describes.
    """

    kind: Kind
    budgets: list[Positive] = Field(default_factory=list)
    params: list[Positive] = Field(default_factory=list)
    data: list[Positive] = Field(default_factory=list)
    sizes: Annotated[int, Field(ge=2, le=1000)] | list[Positive] = 6
    center: Center | None = None
    span: Annotated[float, Field(gt=1)] = 4.0
    multipliers: list[Positive] = Field(default_factory=lambda: [0.25, 0.5, 1.0, 2.0, 4.0])
    ratio: Positive | None = None
    corner: Literal["small", "large"] = "small"
    box: Box | None = None
    count: Annotated[int, Field(ge=1, le=100_000)] = 35
    budget_flops: Positive | None = None
    budget_gpu_hours: Positive | None = None
    decision: Literal["size", "loss", "exponent", "all"] = "all"
    points: list[Annotated[list[Positive], Field(min_length=2, max_length=3)]] = Field(
        default_factory=list
    )
    extra: list[Annotated[list[Positive], Field(min_length=2, max_length=3)]] = Field(
        default_factory=list
    )
    seeds: Count = 1
    seeds_at_smallest: Count | None = None
    vary: Annotated[list[Literal["init", "data", "dropout"]], Field(min_length=1)] | None = None
    max_epochs: Positive | None = None
    epochs: Annotated[float, Field(ge=1)] | None = None
    trunks: bool = False


class TruthSection(Section):
    """One law that may be true: published values by their name, or a law with its parameters."""

    published: str | None = None
    law: str | None = None
    params: dict[str, float] = Field(default_factory=dict)
    weight: Positive = 1.0


class PriorSection(Section):
    """What is believed of the law and of the noise before anything is spent."""

    fit: str | None = None
    laws: list[TruthSection] = Field(default_factory=list)
    noise: Annotated[float, Field(gt=0, le=0.5)] | None = None
    noise_growth: Annotated[float, Field(ge=0, le=1)] = 0.0
    trunk_noise: Annotated[float, Field(ge=0, le=0.5)] = 0.0


class RecipeSection(Section):
    """The rules for learning rate, batch and schedule, and what overrides them."""

    name: str = "bytes-small"
    overrides: dict[str, float | str] = Field(default_factory=dict)
    schedule: Literal["linear", "cosine", "1-sqrt", "average"] | None = None
    optimizer: Literal["adamw", "muon"] | None = None
    tuned: str | None = None


class TuningSection(Section):
    """Learning rates tried at a few small sizes, whose optima give the rate of all others."""

    sizes: Annotated[list[Positive], Field(min_length=2)]
    factors: Annotated[list[Positive], Field(min_length=3)] = Field(
        default=[0.25, 0.5, 1.0, 2.0, 4.0]
    )
    ratio: Positive = 20.0
    seeds: Count = 1
    check: Positive | None = None


class PretrainSection(Section):
    """A stage that comes first: one run of each size, from whose weights the points start.

    What it does not say it has from the study: the data, the recipe, the options of the task.
    """

    D: Positive
    seed: int = 0
    data: dict[str, Any] = Field(default_factory=dict)
    task: dict[str, Any] = Field(default_factory=dict)
    recipe: dict[str, Any] = Field(default_factory=dict)


class MachineSection(Section):
    """How the points of a variant are run, where that is what is compared."""

    compile: Literal["off", "inductor", "graphs"] | None = None
    precision: Literal["float32", "bfloat16"] | None = None


class VariantSection(Section):
    """A group of points: the study with some of its sections changed."""

    name: Annotated[str, Field(min_length=1, max_length=60)]
    data: dict[str, Any] = Field(default_factory=dict)
    task: dict[str, Any] = Field(default_factory=dict)
    model: dict[str, Any] = Field(default_factory=dict)
    design: dict[str, Any] = Field(default_factory=dict)
    recipe: dict[str, Any] = Field(default_factory=dict)
    pretrain: dict[str, Any] | Literal[False] = Field(default_factory=dict)
    machine: MachineSection = MachineSection()


class RaySection(Section):
    """What Ray is asked for: the cluster, and what it sets apart for each job."""

    address: str | None = None
    cpus: Annotated[float, Field(ge=0)] = 1.0
    gpus: Annotated[float, Field(ge=0)] | None = None
    memory_gib: Positive | None = None
    resources: dict[str, Annotated[float, Field(gt=0)]] = Field(default_factory=dict)
    autoscaled: bool = False


class SlurmSection(Section):
    """What Slurm is asked for each job, and how it is asked what has become of it."""

    partition: str | None = None
    minutes: Count | None = None
    cpus: Count = 1
    gres: str | None = None
    memory_gib: Positive | None = None
    constraint: str | None = None
    account: str | None = None
    qos: str | None = None
    exclude: str | None = None
    signal_seconds: Count = 90
    poll_seconds: Positive = 10.0
    setup: list[str] = Field(default_factory=list)
    extra: dict[str, str | int | bool] = Field(default_factory=dict)


class EngineSection(Section):
    """Where the points are trained, and what that costs."""

    name: Literal["local", "debug", "ray", "slurm"] = "local"
    workers: Count | None = None
    device: Literal["auto", "cpu", "cuda"] = "auto"
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    compile: Literal["auto", "off", "inductor", "graphs", "trial"] = "auto"
    stack: Annotated[int, Field(ge=1, le=1024)] | Literal["auto"] = "auto"
    devices: Count = 1
    devices_from: Annotated[float, Field(ge=0)] = 0.0
    sharding: Literal["auto", "ddp", "fsdp"] = "auto"
    checkpoint_seconds: Positive = 60.0
    keep: bool = False
    deadline_seconds: Positive | None = None
    track: list[Literal["tensorboard", "wandb", "mlflow"]] = Field(default_factory=list)
    ray: RaySection = RaySection()
    slurm: SlurmSection = SlurmSection()
    calibration: str | None = None
    accelerator: str | None = None
    mfu: Annotated[float, Field(gt=0, le=1)] | None = None
    price_per_hour: Positive | None = None
    memory_gib: Positive | None = None


class ReportSection(Section):
    """What the report is called."""

    title: str | None = None


class Study(Section):
    """A whole study file."""

    schema_: Literal[1] = Field(alias="schema")
    study: StudySection = StudySection()
    data: DataSection
    task: dict[str, Any] = Field(default_factory=dict)
    model: ModelSection = ModelSection()
    design: DesignSection | None = None
    prior: PriorSection | None = None
    recipe: RecipeSection = RecipeSection()
    tuning: TuningSection | None = None
    pretrain: PretrainSection | None = None
    variant: list[VariantSection] = Field(default_factory=list)
    machine: MachineSection = MachineSection()
    engine: EngineSection = EngineSection()
    fit: list[FitSection] = Field(default_factory=lambda: [FitSection()], min_length=1)
    printed: list[PrintedSection] = Field(default_factory=list)
    report: ReportSection = ReportSection()
    smoke: dict[str, Any] = Field(default_factory=dict)
