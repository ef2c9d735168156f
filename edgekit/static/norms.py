"""Batch norms as part of the convolutions before them."""

from __future__ import annotations

import copy
from itertools import pairwise
from typing import TypeVar

from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_weights
from torchvision.ops import FrozenBatchNorm2d

Module = TypeVar("Module", bound=nn.Module)


def folded(module: Module) -> Module:
    """A copy of a torchvision model whose convolutions have the scale and shift of the batch norms behind them.

    In torchvision's models a norm is registered right behind the convolution whose output it takes. It becomes an
    identity and the convolution gets a bias; all other names stay. The exporter would trace eleven nodes for each
    norm and leave two of them in the graph.
    """
    module = copy.deepcopy(module)
    for block in list(module.modules()):
        for (_, layer), (name, norm) in pairwise(list(block.named_children())):
            if isinstance(layer, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d | FrozenBatchNorm2d):
                assert norm.running_mean is not None
                assert norm.running_var is not None
                layer.weight, layer.bias = fuse_conv_bn_weights(
                    layer.weight, layer.bias, norm.running_mean, norm.running_var, norm.eps, norm.weight, norm.bias
                )
                setattr(block, name, nn.Identity())
    return module
