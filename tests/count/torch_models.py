"""Models in torch, written apart from the counts, and what torch's counter makes of them."""

import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode


class Plain(nn.Module):
    """A layer norm without weights."""

    def forward(self, x):
        return F.layer_norm(x, x.shape[-1:])


def norm_of(kind, width):
    return {0: Plain, 1: lambda: nn.RMSNorm(width), 2: lambda: nn.LayerNorm(width)}[kind]()


class Block(nn.Module):
    """A pre-norm block whose parts are modules, for grouped queries, gates and windows."""

    def __init__(self, shape, mask):
        super().__init__()
        d, f, bias = shape["width"], shape["ffn"], bool(shape.get("biases"))
        self.heads, self.mask = shape["heads"], mask
        self.kv_heads = shape.get("kv_heads", self.heads)
        self.size = d // self.heads
        self.attention = nn.ModuleDict(
            {
                "q": nn.Linear(d, d, bias=bias),
                "k": nn.Linear(d, self.size * self.kv_heads, bias=bias),
                "v": nn.Linear(d, self.size * self.kv_heads, bias=bias),
                "o": nn.Linear(d, d, bias=bias),
            }
        )
        self.mlp = nn.ModuleDict({"up": nn.Linear(d, f, bias=bias)})
        if shape.get("gated"):
            self.mlp["gate"] = nn.Linear(d, f, bias=bias)
        self.mlp["down"] = nn.Linear(f, d, bias=bias)
        self.norms = nn.ModuleList(norm_of(shape.get("norm", 0), d) for _ in range(2))

    def split(self, x, heads):
        return x.unflatten(-1, (heads, self.size)).transpose(1, 2)

    def forward(self, x):
        h = self.norms[0](x)
        q = self.split(self.attention["q"](h), self.heads)
        k, v = (self.split(self.attention[name](h), self.kv_heads) for name in "kv")
        k, v = (y.repeat_interleave(self.heads // self.kv_heads, dim=1) for y in (k, v))
        y = F.scaled_dot_product_attention(q, k, v, attn_mask=self.mask)
        x = x + self.attention["o"](y.transpose(1, 2).flatten(-2))
        h = self.norms[1](x)
        up = self.mlp["up"](h)
        up = up * F.silu(self.mlp["gate"](h)) if "gate" in self.mlp else F.gelu(up)
        return x + self.mlp["down"](up)


def windows(shape):
    """Tokens attended to in each layer."""
    length, layers = shape["context"], shape["layers"]
    found = [shape.get("window", length)] * layers
    every = shape.get("full_every", 0)
    for i in range(layers):
        if every and ((i + 1) % every == 0 or i == layers - 1):
            found[i] = length
    return found


def mask_of(length, window):
    """True where the row's query sees the column's key."""
    back = torch.arange(length)[:, None] - torch.arange(length)[None]
    return (back >= 0) & (back < window)


class Decoder(nn.Module):
    """A decoder with all options."""

    def __init__(self, shape):
        super().__init__()
        v, d, length = shape["vocabulary"], shape["width"], shape["context"]
        self.embedding = nn.Embedding(v, d)
        self.positions = nn.Embedding(length, d) if shape.get("positions") else None
        self.blocks = nn.ModuleList(Block(shape, mask_of(length, w)) for w in windows(shape))
        self.norm = norm_of(shape.get("norm", 0), d)
        self.head = nn.Linear(d, v, bias=False)
        if shape.get("tied"):
            self.head.weight = self.embedding.weight

    def forward(self, tokens):
        x = self.embedding(tokens)
        if self.positions is not None:
            x = x + self.positions.weight
        for block in self.blocks:
            x = block(x)
        return self.head(self.norm(x))


class Encoder(nn.Module):
    """BERT by torch's own encoder layers, post-norm, with a head for masked tokens."""

    def __init__(self, shape):
        super().__init__()
        v, d, bias = shape["vocabulary"], shape["width"], bool(shape["biases"])
        self.embedding = nn.Embedding(v, d)
        self.positions = nn.Embedding(shape["context"], d) if shape["positions"] else None
        self.segments = nn.Embedding(shape["segments"], d) if shape["segments"] else None
        self.norm = norm_of(shape["norm"], d)
        self.blocks = nn.ModuleList()
        for _ in range(shape["layers"]):
            layer = nn.TransformerEncoderLayer(
                d, shape["heads"], shape["ffn"], dropout=0.0, batch_first=True, bias=bias
            )
            layer.norm1, layer.norm2 = (norm_of(shape["norm"], d) for _ in range(2))
            self.blocks.append(layer)
        self.head = nn.ModuleDict({"out": nn.Linear(d, v, bias=bias)})
        if shape["transform"]:
            self.head["dense"] = nn.Linear(d, d, bias=bias)
            self.head["norm"] = norm_of(shape["norm"], d)
        if shape["tied"]:
            self.head["out"].weight = self.embedding.weight

    def forward(self, tokens):
        x = self.embedding(tokens)
        if self.positions is not None:
            x = x + self.positions.weight
        if self.segments is not None:
            x = x + self.segments.weight[0]
        x = self.norm(x)
        for block in self.blocks:
            x = block(x)
        if "dense" in self.head:
            x = self.head["norm"](F.gelu(self.head["dense"](x)))
        return self.head["out"](x)


class ViT(nn.Module):
    """A vision transformer with the options that torchvision's lacks."""

    def __init__(self, shape):
        super().__init__()
        d, p, bias = shape["width"], shape["patch"], bool(shape["biases"])
        patches = (shape["image"] // p) ** 2
        self.patch = nn.Conv2d(shape["channels"], d, p, stride=p, bias=bias)
        self.token = nn.Parameter(torch.zeros(1, 1, d)) if shape["class_token"] else None
        self.positions = nn.Parameter(torch.zeros(1, patches + shape["class_token"], d))
        self.blocks = nn.ModuleList(
            Block({**shape, "norm": 2}, None) for _ in range(shape["layers"])
        )
        self.norm = nn.LayerNorm(d)
        self.head = nn.Linear(d, shape["classes"], bias=bias)

    def forward(self, images):
        x = self.patch(images).flatten(2).transpose(1, 2)
        if self.token is not None:
            x = torch.cat([self.token.expand(len(x), -1, -1), x], dim=1)
        x = x + self.positions
        for block in self.blocks:
            x = block(x)
        x = self.norm(x)
        return self.head(x[:, 0] if self.token is not None else x.mean(dim=1))


def counted(model, inputs):
    """FLOP of the forward pass and of training, as torch's counter sees them."""
    model.train()
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        loss = model(inputs).float().square().mean()
        forward = counter.get_total_flops()
        loss.backward()
    return forward, counter.get_total_flops()


def grouped(model, group_of):
    """Number of parameters by the group that `group_of` gives to a name and a tensor."""
    found = {}
    for name, tensor in model.named_parameters():
        group = group_of(name, tensor)
        found[group] = found.get(group, 0) + tensor.numel()
    return found
