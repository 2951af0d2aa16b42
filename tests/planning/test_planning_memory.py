"""Memory of a point: activations against what autograd saves, state against torch's tensors."""

import pytest

from scaling import count
from scaling.codes import CODES
from scaling.count.accelerators import get
from scaling.planning.costing.memory import SAVED, fits, largest_size, memory, too_large

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402
from torch.nn import functional as F  # noqa: E402

from scaling.runs.manifest import resolve  # noqa: E402
from scaling.training.tasks.decoder import Decoder  # noqa: E402
from scaling.training.trainer import Trainer  # noqa: E402

DECODERS = [
    {"vocabulary": 256, "context": 32, "layers": 1, "width": 48, "heads": 3, "ffn": 200},
    {"vocabulary": 256, "context": 32, "layers": 2, "width": 8, "heads": 1, "ffn": 32},
    {"vocabulary": 64, "context": 16, "layers": 3, "width": 32, "heads": 2, "ffn": 128},
    {"vocabulary": 1000, "context": 64, "layers": 4, "width": 64, "heads": 4, "ffn": 256},
]


@pytest.fixture
def point():
    """A point of the trainer, by hand: depth, width and sequences a step."""
    options = {"symbols": 64, "tokens": 50_000, "validation_tokens": 40_000}
    data = resolve("markov", options).as_dict()
    yield lambda layers, width, sequences: {
        "task": "text", "family": "decoder",
        "shape": (shape := {"vocabulary": 64, "context": 64, "layers": layers, "width": width,
                            "heads": max(1, width // 16), "ffn": 4 * width}),
        "N": count.DECODER.counts(shape).N, "N_embedding": 64 * width, "data": data, "seed": 0,
        "sequences": sequences, "steps": 10, "evaluation": {"sequences": 512},
        "init": {"embedding_sd": 0.5},
        "optimizer": {"name": "adamw", "lr": 1e-3, "beta1": 0.9, "beta2": 0.99, "clip": 1.0,
                      "weight_decay": 0.1, "warmup_steps": 1, "decay_steps": 1},
    }  # fmt: skip
    torch.set_flush_denormal(False)


def saved_bytes(model, run):
    """Bytes of the distinct storages that autograd keeps, parameters and buffers left out."""
    own = {t.untyped_storage().data_ptr() for t in (*model.parameters(), *model.buffers())}
    kept = {}

    def pack(tensor):
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            kept[storage.data_ptr()] = tensor, storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        loss = run()
    assert torch.isfinite(loss)
    return sum(size for _, size in kept.values())


@pytest.mark.parametrize("shape", DECODERS)
@pytest.mark.parametrize("sequences", [2, 8])
def test_activations_of_the_decoder_are_exact(shape, sequences):
    torch.manual_seed(0)
    model = Decoder(shape, 0.5)
    tokens = torch.randint(0, shape["vocabulary"], (sequences, shape["context"] + 1))

    def run():
        logits = model(tokens[:, :-1])
        return F.cross_entropy(logits.flatten(0, 1), tokens[:, 1:].flatten())

    found = memory("decoder", shape, 1, sequences).activations
    # but for the mean's weight, one number
    assert saved_bytes(model, run) == pytest.approx(found, abs=8)


class Encoder(nn.Module):
    """A pre-norm encoder of torch's own layers, with a transform before its head."""

    def __init__(self, s):
        super().__init__()
        d = s["width"]
        self.table = nn.Embedding(s["vocabulary"], d)
        self.places = nn.Parameter(torch.zeros(s["context"], d))
        self.blocks = nn.ModuleList(
            nn.TransformerEncoderLayer(
                d, s["heads"], s["ffn"], 0.0, "gelu", batch_first=True, norm_first=True
            )
            for _ in range(s["layers"])
        )
        self.norm, self.square, self.last = nn.LayerNorm(d), nn.Linear(d, d), nn.LayerNorm(d)
        self.head = nn.Linear(d, s["vocabulary"])

    def forward(self, tokens):
        x = self.table(tokens) + self.places
        for block in self.blocks:
            x = block(x)
        return self.head(self.last(F.gelu(self.square(self.norm(x)))))


@pytest.mark.parametrize(("layers", "width", "heads"), [(2, 64, 2), (4, 128, 4)])
def test_activations_of_an_encoder(layers, width, heads):
    options = {"vocabulary": 300, "context": 48, "layers": layers}
    shape = {**count.ENCODER.shape(width, options), "heads": heads}
    model = Encoder(shape)
    tokens = torch.randint(0, 300, (4, 48))

    def run():
        return F.cross_entropy(model(tokens).flatten(0, 1), tokens.flatten())

    found = memory("encoder", shape, 1, 4).activations
    assert saved_bytes(model, run) == pytest.approx(found, rel=0.1)


class Patches(nn.Module):
    """A vision transformer of torch's own layers."""

    def __init__(self, s):
        super().__init__()
        d, side = s["width"], s["patch"]
        self.patch = nn.Conv2d(s["channels"], d, side, side)
        length = (s["image"] // side) ** 2 + 1
        self.token, self.places = (nn.Parameter(torch.zeros(n, d)) for n in (1, length))
        self.blocks = nn.ModuleList(
            nn.TransformerEncoderLayer(
                d, s["heads"], s["ffn"], 0.0, "gelu", batch_first=True, norm_first=True
            )
            for _ in range(s["layers"])
        )
        self.norm, self.head = nn.LayerNorm(d), nn.Linear(d, s["classes"])

    def forward(self, images):
        x = self.patch(images).flatten(2).transpose(1, 2)
        x = torch.cat([self.token.expand(len(x), 1, -1), x], dim=1) + self.places
        for block in self.blocks:
            x = block(x)
        return self.head(self.norm(x)[:, 0])


@pytest.mark.parametrize(("layers", "width"), [(2, 64), (4, 96)])
def test_activations_of_a_vision_transformer(layers, width):
    options = {"image": 48, "patch": 8, "classes": 10, "layers": layers}
    shape = count.VIT.shape(width, options)
    model = Patches(shape)
    images, targets = torch.randn(4, 3, 48, 48), torch.zeros(4, dtype=torch.int64)
    found = memory("vit", shape, 1, 4).activations
    measured = saved_bytes(model, lambda: F.cross_entropy(model(images), targets))
    assert measured == pytest.approx(found, rel=0.1)


class Residual(nn.Module):
    """A residual network, built from the convolutions that its shape lists."""

    def __init__(self, s):
        super().__init__()
        shape = count.ResNetShape(**s)
        self.pool, self.basic = not s["cifar_stem"], shape.expansion == 1
        layers = list(shape.convolutions())
        self.convolutions, self.norms = nn.ModuleList(), nn.ModuleList()
        before = s["image"]
        self.shortcut = []
        for i, (inputs, outputs, kernel, side) in enumerate(layers):
            shortcut = i > 0 and kernel == 1 and outputs == layers[i - 1][1]
            before = block_side if shortcut else before  # noqa: F821
            stride = -(-before // side)
            self.convolutions.append(
                nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False)
            )
            self.norms.append(nn.BatchNorm2d(outputs))
            self.shortcut.append(shortcut)
            before = side // 2 if i == 0 and self.pool else side
            if self._ends(layers, i):
                block_side = before  # noqa: F841
        self.head = nn.Linear(layers[-1][1], s["classes"])

    def _ends(self, layers, i):
        per = 2 if self.basic else 3
        plain = [j for j in range(1, i + 1) if not self.shortcut[j]]
        following = i + 1 < len(layers)
        next_is_shortcut = (
            following and layers[i + 1][2] == 1 and (layers[i + 1][1] == layers[i][1])
        )
        return i == 0 or (len(plain) % per == 0 and not next_is_shortcut)

    def forward(self, x):
        run = [lambda y, c=c, n=n: n(c(y)) for c, n in zip(self.convolutions, self.norms,
                                                          strict=True)]  # fmt: skip
        x = F.relu(run[0](x), inplace=True)
        x = F.max_pool2d(x, 3, 2, 1) if self.pool else x
        i, per = 1, 2 if self.basic else 3
        while i < len(run):
            y = x
            for k in range(per):
                y = run[i + k](y)
                y = F.relu(y, inplace=True) if k < per - 1 else y
            i += per
            if i < len(run) and self.shortcut[i]:
                x = run[i](x)
                i += 1
            x = F.relu(y + x, inplace=True)
        return self.head(x.mean((2, 3)))


@pytest.mark.parametrize(
    ("depth", "stem", "image"), [("18", "cifar", 16), ("18", "imagenet", 64), ("50", "cifar", 16)]
)
def test_activations_of_a_residual_network(depth, stem, image):
    options = {"depth": depth, "stem": stem, "image": image, "classes": 10}
    shape = count.RESNET.shape(8, options)
    model = Residual(shape)
    counted = count.RESNET.counts(shape)
    assert sum(p.numel() for p in model.parameters()) == counted.total
    images, targets = torch.randn(2, 3, image, image), torch.zeros(2, dtype=torch.int64)
    found = memory("resnet", shape, 1, 2).activations
    measured = saved_bytes(model, lambda: F.cross_entropy(model(images), targets))
    assert measured == pytest.approx(found, rel=0.1)


@pytest.mark.parametrize("family", sorted(SAVED))
def test_state_is_what_adamw_holds(family):
    options = {"decoder": {"vocabulary": 64, "context": 8}, "encoder": {"vocabulary": 64,
               "context": 8}}.get(family, {})  # fmt: skip
    dials = count.get(family).dial(options)
    shape = count.get(family).shape(dials[0], options)
    layer = nn.Linear(30, 40, bias=False)
    optimizer = torch.optim.AdamW(layer.parameters())
    layer(torch.ones(1, 30)).sum().backward()
    optimizer.step()
    moments = [v for v in optimizer.state[layer.weight].values() if v.numel() > 1]
    held = [layer.weight, layer.weight.grad, *moments]
    size = sum(t.numel() * t.element_size() for t in held)
    found = memory(family, shape, layer.weight.numel(), 1)
    assert found.state == size
    assert found.total == found.state + found.activations + found.working


def test_activations_grow_with_the_sequences_and_shrink_in_sixteen_bits():
    shape = DECODERS[3]
    one, eight = (memory("decoder", shape, 1000, n) for n in (1, 8))
    assert eight.activations == 8 * one.activations
    mixed = memory("decoder", shape, 1000, 8, precision="bf16-mixed")
    assert mixed.state == 18_000
    assert eight.activations / 2 < mixed.activations < eight.activations


def highest(run):
    """Most bytes that torch held at once on the CPU, beyond what it held before."""
    activities = [torch.profiler.ProfilerActivity.CPU]
    with torch.profiler.profile(activities=activities, profile_memory=True) as profile:
        run()
    events = [e for e in profile.profiler.kineto_results.events() if e.name() == "[memory]"]
    now, most = 0, 0
    for event in sorted(events, key=lambda e: e.start_ns()):
        now += event.nbytes()
        most = max(most, now)
    return most


@pytest.mark.parametrize(("layers", "width", "sequences"), [(2, 20, 8), (2, 96, 8), (4, 32, 16)])
def test_the_highest_of_a_step_and_of_an_evaluation(point, layers, width, sequences):
    """All that torch holds, within a tenth; what it held before are the weights and their kin."""
    found = point(layers, width, sequences)
    trainer = Trainer(found, torch.device("cpu"))
    for _ in range(2):
        trainer.train_step()
    parameters = sum(p.numel() for p in trainer.model.parameters())
    size = memory("decoder", found["shape"], parameters, sequences)
    step, evaluation = (
        highest(run) for run in (trainer.train_step, lambda: trainer.task.evaluate(trainer.model))
    )
    assert max(step, evaluation) == pytest.approx(size.activations + size.working, rel=0.1)
    # so many sequences a step that training takes more than the evaluation
    many = memory("decoder", found["shape"], parameters, 1000)
    assert many.activations + many.working == pytest.approx(step * 1000 / sequences, rel=0.1)


def test_a_family_that_is_not_known_counts_its_parameters_only():
    found = memory("mine", {"size": 3}, 10, 4, data=100.0)
    assert found.activations is None
    assert found.total == 160 + 100


def test_the_largest_size_that_fits():
    options = {"vocabulary": 256, "context": 64, "layers": 4}
    family, limit = count.DECODER, 2e9
    largest = largest_size(family, options, limit)
    needs = []
    for dial in family.dial(options):
        shape = family.shape(dial, options)
        counts = family.counts(shape)
        size = memory("decoder", shape, counts.N + counts.embedding, 1).total
        needs.append((counts.N, size <= limit))
    assert largest == max(n for n, fit in needs if fit)
    assert any(not fit for _, fit in needs)
    assert largest_size(family, options, 1e3) is None


def test_points_that_do_not_fit_are_told_with_the_nearest_that_does():
    device = get("t4")
    sizes = [1e9, 1e10]
    assert fits(sizes, device).tolist() == [True, True]
    assert not fits(16e9, device)  # the rated memory is never all there to be filled
    assert too_large([1, 2], sizes, device.usable, 5, device.title) is None
    found = too_large([1e6, 2e9], [1e9, 3e10], device.usable, 123456789, device.title)
    assert found.code == "SC224"
    assert found.code in CODES
    assert "1 of 2 points" in found.text
    assert "1.235e+08" in found.mend
    assert "2e+09" in found.text
