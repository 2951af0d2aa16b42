"""Models of images that `scaling.count` counts, made of torchvision's parts.

Each takes images (B, C, H, W) of floats and gives logits (B, classes). Where a shape is that of a
published network, names of parameters are torchvision's, so that its weights can be loaded. They
start as torchvision starts them.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import chain
from typing import Any

import torch
from torch import Tensor, nn

from scaling.count import ResNetShape, VGGShape, ViTShape
from scaling.count.resnet import STAGES
from scaling.count.vgg import POOLED_SIDE
from scaling.training.vision import torchvision

PUBLISHED = 64  # width of the published ResNets and VGGs
VGG_LETTERS = {11: "A", 13: "B", 16: "D", 19: "E"}


def resnet(shape: Mapping[str, int]) -> nn.Module:
    """Return the residual network of a shape: torchvision's, its layers made at that width.

    Parameters
    ----------
    shape : mapping
        As `scaling.count.ResNetShape`.
    """
    s, parts = ResNetShape(**shape), torchvision().models.resnet
    block = parts.BasicBlock if s.expansion == 1 else parts.Bottleneck
    with torch.device("meta"):  # its own layers are all replaced
        model: Any = parts.ResNet(block, [1, 1, 1, 1])
    kernel, stride = (3, 1) if s.cifar_stem else (7, 2)
    model.conv1 = nn.Conv2d(s.channels, s.width, kernel, stride, kernel // 2, bias=False)
    model.bn1 = nn.BatchNorm2d(s.width)
    if s.cifar_stem:
        model.maxpool = nn.Identity()
    model.inplanes = s.width
    for stage, blocks in enumerate(STAGES[s.depth]):
        layer = model._make_layer(block, s.width << stage, blocks, stride=2 if stage else 1)
        setattr(model, f"layer{stage + 1}", layer)
    model.fc = nn.Linear(model.inplanes, s.classes)
    _start_convolutions(model)
    return _module(model)


def vgg(shape: Mapping[str, int], *, dropout: float = 0.5) -> nn.Module:
    """Return the VGG network of a shape.

    Parameters
    ----------
    shape : mapping
        As `scaling.count.VGGShape`.
    dropout : float
        Share of hidden units of the full classifier that is dropped.
    """
    s, parts = VGGShape(**shape), torchvision().models.vgg
    published = parts.cfgs[VGG_LETTERS[s.depth]]
    channels = [c if c == "M" else c * s.width // PUBLISHED for c in published]
    with torch.device("meta"):  # the classifier is replaced
        model: Any = parts.VGG(nn.Sequential(), init_weights=False)
    model.features = parts.make_layers(channels, batch_norm=True)
    model.features[0] = nn.Conv2d(s.channels, s.width, 3, padding=1)
    side = POOLED_SIDE if s.full else 1
    model.avgpool = nn.AdaptiveAvgPool2d((side, side))
    *hidden, head = (nn.Linear(inputs, outputs) for inputs, outputs in s.classifier())
    between = ([layer, nn.ReLU(inplace=True), nn.Dropout(dropout)] for layer in hidden)
    model.classifier = nn.Sequential(*chain.from_iterable(between), head)
    _start_convolutions(model)
    _start_linear(model)
    return _module(model)


def mobilenet(shape: Mapping[str, int], *, dropout: float = 0.2) -> nn.Module:
    """Return the MobileNetV2 of a shape: torchvision's, with its first layer replaced.

    Parameters
    ----------
    shape : mapping
        As `scaling.count.MobileNetShape`.
    dropout : float
        Share of the features that is dropped before the head.
    """
    model: Any = torchvision().models.MobileNetV2(
        num_classes=shape["classes"], width_mult=shape["width"] / 100, dropout=dropout
    )
    if shape["cifar_stem"] or shape["channels"] != 3:
        outputs, stride = model.features[0][0].out_channels, 1 if shape["cifar_stem"] else 2
        first = nn.Conv2d(shape["channels"], outputs, 3, stride, 1, bias=False)
        nn.init.kaiming_normal_(first.weight, mode="fan_out")
        model.features[0][0] = first
    return _module(model)


def vit(shape: Mapping[str, int], *, dropout: float = 0.0) -> nn.Module:
    """Return the vision transformer of a shape.

    It is torchvision's where there is a class token, and of its parts where the head reads the
    mean. The head starts at zero.

    Parameters
    ----------
    shape : mapping
        As `scaling.count.ViTShape`.
    dropout : float
        Share of what each half of a block adds that is dropped.
    """
    s, models = ViTShape(**shape), torchvision().models
    model: Any = models.VisionTransformer(
        s.image, s.patch, s.layers, s.heads, s.width, s.ffn, dropout, num_classes=s.classes
    )
    if s.channels != 3:
        model.conv_proj = nn.Conv2d(s.channels, s.width, s.patch, s.patch)
        nn.init.trunc_normal_(model.conv_proj.weight, std=(s.channels * s.patch**2) ** -0.5)
        nn.init.zeros_(model.conv_proj.bias)
    if not s.biases:
        _without_biases(model)
    return _module(model) if s.class_token else Averaged(_module(model))


class Averaged(nn.Module):
    """torchvision's vision transformer without the class token: the head reads the mean.

    Parameters
    ----------
    model : nn.Module
        A ``torchvision.models.VisionTransformer``, whose parts are taken over.
    """

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.conv_proj, self.encoder, self.heads = model.conv_proj, model.encoder, model.heads
        self.encoder.pos_embedding = nn.Parameter(model.encoder.pos_embedding.detach()[:, 1:])

    def forward(self, images: Tensor) -> Tensor:
        """Map images (B, C, H, W) to logits (B, classes)."""
        x = self.conv_proj(images).flatten(2).transpose(1, 2)
        logits: Tensor = self.heads(self.encoder(x).mean(dim=1))
        return logits


def _module(model: Any) -> nn.Module:
    assert isinstance(model, nn.Module)
    return model


def _without_biases(model: nn.Module) -> None:
    """Take the biases off all layers but the norms."""
    for module in model.modules():
        if isinstance(module, nn.MultiheadAttention):
            module.register_parameter("in_proj_bias", None)
        if isinstance(module, nn.Linear | nn.Conv2d):
            module.register_parameter("bias", None)


def _start_convolutions(model: nn.Module) -> None:
    """Start convolutions and batch norms as torchvision does (He et al. 2015)."""
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)


def _start_linear(model: nn.Module) -> None:
    """Start linear layers as torchvision's VGG does."""
    for module in model.modules():
        if isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, std=0.01)
            nn.init.zeros_(module.bias)
