"""Flags that several subcommands share, strategy flags made from the strategies' own fields among them."""

from __future__ import annotations

import argparse
import os
from dataclasses import fields
from enum import Enum
from pathlib import Path
from typing import Any

import torch

from ..errors import ReenactError
from ..fusing import Smoothing
from ..fusion import FusionStrategy, strategy_class, strategy_names
from ..fusion_space import FusionSpace
from ..motion_models import MotionModel, load_model, model_names
from ..motion_models.live_portrait_model import LivePortraitSettings
from ..retargeting import Retargeting

DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}


def add_model(parser: argparse.ArgumentParser, choose: bool = True) -> None:
    """`--model` if `choose`, `--device`, `--dtype`, `--compile`, one flag per option of LivePortrait."""
    if choose:
        parser.add_argument(
            "--model",
            default="face_mesh",
            help=f"{', '.join(model_names())} (default), or the checkpoint of a public model: its file or folder, see "
            "docs/models.md",
        )
    parser.add_argument("--device", default="cpu", help="cpu, cuda, cuda:1, mps ...")
    parser.add_argument("--dtype", choices=list(DTYPES), default="float32", help="precision of a checkpoint's networks")
    parser.add_argument(
        "--compile", action="store_true", help="compile a checkpoint's networks at their first use; for GPUs"
    )
    group = parser.add_argument_group("LivePortrait", "Options for a checkpoint of LivePortrait.")
    for item in fields(LivePortraitSettings):
        kind: dict[str, Any] = {"action": argparse.BooleanOptionalAction}
        if isinstance(item.default, Enum):
            kind = {"choices": [choice.value for choice in type(item.default)]}
        group.add_argument(_live_portrait_flag(item.name), help=item.metadata["tooltip"], **kind)


def add_strategy(parser: argparse.ArgumentParser) -> None:
    """`--strategy` and one flag per hyper-parameter of every strategy."""
    parser.add_argument("--strategy", help=f"one of: {', '.join(strategy_names())}; the model's own default if absent")
    add_strategy_settings(parser)


def add_strategy_settings(parser: argparse.ArgumentParser) -> None:
    """One flag per hyper-parameter of every strategy."""
    for name in strategy_names():
        group = parser.add_argument_group(f"strategy {name}", strategy_class(name).summary)
        for item in fields(strategy_class(name)):
            low, high = item.metadata["min"], item.metadata["max"]
            group.add_argument(
                f"--{name}-{item.name.replace('_', '-')}",
                type=type(item.default),
                metavar="X",
                help=f"{item.metadata['tooltip']} {low} to {high}, default {item.default}.",
            )


def add_smoothing(parser: argparse.ArgumentParser) -> None:
    """`--smoothing` and `--hysteresis`."""
    for flag, name in (("--smoothing", "memory"), ("--hysteresis", "hysteresis")):
        about = Smoothing.__dataclass_fields__[name]
        low, high = about.metadata["min"], about.metadata["max"]
        parser.add_argument(
            flag,
            type=float,
            default=about.default,
            help=f"{about.metadata['tooltip']} {low} to {high}, default {about.default}.",
        )


def add_keep_doubtful(parser: argparse.ArgumentParser) -> None:
    """`--keep-doubtful`, against the weighing of references."""
    parser.add_argument(
        "--keep-doubtful",
        action="store_true",
        help="use all references as they are; otherwise one of somebody else is left out, and one out of focus or in "
        "another light is used only where no other shows a pixel",
    )


def add_space(parser: argparse.ArgumentParser) -> None:
    """`--space`, where references are fused."""
    parser.add_argument(
        "--space",
        choices=[space.value for space in FusionSpace],
        default=FusionSpace.AUTO.value,
        help="where references are fused: in the model's features, in the warped pictures, or in both, the pictures "
        "over the decoded features where they can be trusted; auto is the model's own way. Only models with a decoder "
        "have a choice",
    )


def chosen_space(options: argparse.Namespace, *models: MotionModel) -> FusionSpace:
    """The fusion space of `--space`.

    Raises:
        ReenactError: one of the models has no such space.
    """
    space = FusionSpace(options.space)
    for model in models:
        space.on(model)  # fails now rather than after the tracking
    return space


def chosen_smoothing(options: argparse.Namespace) -> Smoothing:
    """Smoothing over time as the flags say."""
    return Smoothing(options.smoothing, options.hysteresis)


def add_retargeting(parser: argparse.ArgumentParser) -> None:
    """One flag per setting of retargeting."""
    group = parser.add_argument_group("retargeting", "What relative motion takes over from the driver, and how.")
    for item in fields(Retargeting):
        about = f"{item.metadata['tooltip']}"
        flag = _retargeting_flag(item.name)
        if isinstance(item.default, bool):
            group.add_argument(flag, action=argparse.BooleanOptionalAction, help=about)
        elif isinstance(item.default, Enum):
            choices = [choice.value for choice in type(item.default)]
            group.add_argument(flag, choices=choices, help=f"{about} Default {item.default.value}.")
        else:
            limits = f"{item.metadata['min']} to {item.metadata['max']}, default {item.default}."
            group.add_argument(flag, type=float, metavar="X", help=f"{about} {limits}")


def chosen_retargeting(options: argparse.Namespace) -> Retargeting:
    """The settings of retargeting given as flags; the others keep their defaults.

    Raises:
        ReenactError: a value is out of range.
    """
    given: dict[str, Any] = {}
    for item in fields(Retargeting):
        value = getattr(options, _retargeting_flag(item.name).strip("-").replace("-", "_"))
        if value is not None:
            given[item.name] = type(item.default)(value)
    return Retargeting(**given)


def _retargeting_flag(name: str) -> str:
    return f"--retarget-{name.replace('_', '-')}"


def chosen_model(options: argparse.Namespace, given_model: str | None = None) -> MotionModel:
    """The model of `--model`, or the one given, on `--device`."""
    given: dict[str, Any] = {}
    for item in fields(LivePortraitSettings):
        value = getattr(options, _live_portrait_flag(item.name).strip("-").replace("-", "_"))
        if value is not None:
            given[item.name] = type(item.default)(value)
    return load_model(
        given_model or options.model,
        chosen_device(options),
        DTYPES[options.dtype],
        LivePortraitSettings(**given),
        options.compile,
    )


def _live_portrait_flag(name: str) -> str:
    return f"--live-portrait-{name.replace('_', '-')}"


def chosen_device(options: argparse.Namespace) -> torch.device:
    """The device of `--device`.

    Raises:
        ReenactError: this machine has no such device.
    """
    try:
        device = torch.device(options.device)
        torch.ones(1, device=device).item()  # also fails on devices that compute nothing
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise ReenactError(f"The device {options.device!r} cannot be used here ({error}). Try --device cpu.") from error
    return device


def check_file_target(path: Path, suffixes: tuple[str, ...] = ()) -> None:
    """Refuses a file that could not be written in the end, before the work begins.

    Raises:
        ReenactError: a suffix other than `suffixes`, a folder, or a place below a file or without write permission.
    """
    if suffixes and path.suffix.lower() not in suffixes:
        raise ReenactError(f"{path}: the name must end in {' or '.join(suffixes)}.")
    if path.is_dir():
        raise ReenactError(f"{path}: is a folder, a file name was expected. Give a file name inside it.")
    folder = next(parent for parent in path.absolute().parents if parent.exists())
    if not folder.is_dir() or not os.access(folder, os.W_OK):
        raise ReenactError(f"{path}: can't be written, because {folder} is no folder or write-protected.")


def chosen_strategy(options: argparse.Namespace, model: MotionModel, name: str | None = None) -> FusionStrategy:
    """The strategy called `name`, else that of `--strategy` or the model's default, with the hyper-parameters given
    as flags."""
    kind = strategy_class(name or options.strategy or model.default_strategy)
    given = {item.name: getattr(options, f"{kind.name}_{item.name}", None) for item in fields(kind)}
    return kind(**{key: value for key, value in given.items() if value is not None})


def add_measurement(parser: argparse.ArgumentParser) -> None:
    """What every measurement on clips takes: numbers of references, strategies, reports, metric networks, limits."""
    parser.add_argument("--references", nargs="+", type=int, default=[1, 2, 4, 8], help="numbers of references")
    parser.add_argument("--strategies", nargs="+", help=f"of: {', '.join(strategy_names())}; default: the model's own")
    parser.add_argument("--json", required=True, type=Path, help="write all figures here (schema: docs/evaluation.md)")
    parser.add_argument("--html", type=Path, help="write a report with pictures and curves here")
    parser.add_argument("--metrics-folder", type=Path, help="folder with the optional LPIPS and identity networks")
    parser.add_argument("--limit", type=int, default=0, help="use only the first so many frames of a clip; 0 = all")
    parser.add_argument("--size", type=int, help="working pixels per side of the head's box (default: its own size)")
