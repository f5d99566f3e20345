"""The choice of a fusion strategy as node inputs: every strategy with its own parameters, and "auto"."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from comfy_api.latest import io

from ..reenact_core.errors import ReenactError
from ..reenact_core.fusing import Smoothing
from ..reenact_core.fusion import FusionStrategy, strategy_class, strategy_names
from ..reenact_core.fusion_space import FusionSpace
from ..reenact_core.motion_models import MotionModel
from .widgets import choice_inputs, chosen, described

AUTO = "auto"
STRATEGY = "strategy"
SPACE = "space"


@dataclass(frozen=True)
class _Auto:
    """The model's own choice has no parameters."""

    summary = "What suits the model best."


def strategy_choices() -> dict[str, Any]:
    """Strategies, and the numbers beside them, for the browser: ranges and names of their widgets."""
    return {
        "widget": STRATEGY,
        "strategies": described(STRATEGY, _options()),
        "beside": [
            {"name": widget.id, "widget": widget.id, "kind": "float", "min": widget.min, "max": widget.max}
            | {"step": widget.step, "default": widget.default, "tooltip": widget.tooltip}
            for widget in strategy_inputs()
            if isinstance(widget, io.Float.Input) and not widget.id.startswith(STRATEGY)
        ],
        "space": {"name": SPACE, "widget": SPACE, "kind": "choice", "choices": [space.value for space in FusionSpace]}
        | {"default": FusionSpace.AUTO.value, "tooltip": _space_input().tooltip},
    }


def strategy_inputs() -> list[io.Input]:
    """Smoothing over time, where to fuse, and the strategy, which comes last because its parameters follow it."""
    choice = choice_inputs(STRATEGY, _options(), AUTO, _tooltip())
    return [_smoothing_input(), _hysteresis_input(), _space_input(), *choice]


def chosen_strategy(arguments: Mapping[str, Any], model: MotionModel) -> FusionStrategy:
    """The strategy that a node's arguments name, or the one that suits the model best."""
    return named_strategy(arguments, model.default_strategy)


def named_strategy(arguments: Mapping[str, Any], default: str) -> FusionStrategy:
    """The same, "auto" being the strategy called `default`."""
    strategy = chosen(STRATEGY, _options(), arguments)
    return strategy_class(default)() if isinstance(strategy, _Auto) else strategy


def strategy_settings(name: str) -> type:
    """The dataclass of the settings of a strategy, or of "auto".

    Raises:
        ReenactError: there is none of that name.
    """
    return _Auto if name == AUTO else strategy_class(name)


def chosen_smoothing(arguments: Mapping[str, Any]) -> Smoothing:
    """The temporal smoothing that a node's arguments ask for."""
    given = {"memory": arguments.get("smoothing"), "hysteresis": arguments.get("hysteresis")}
    return Smoothing(**{name: value for name, value in given.items() if value is not None})


def chosen_space(arguments: Mapping[str, Any]) -> FusionSpace:
    """Where a node's arguments ask to fuse; workflows from before there was a choice leave it to the model."""
    value = arguments.get(SPACE) or FusionSpace.AUTO.value
    names = [space.value for space in FusionSpace]
    if value not in names:
        raise ReenactError(f"There is no fusion space {value!r}. Choose one of: {', '.join(names)}.")
    return FusionSpace(value)


def by_widget(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """A node's plain arguments by the names of their widgets, as the browser knows them."""
    flat: dict[str, Any] = {}
    for name, value in arguments.items():
        if isinstance(value, Mapping):  # hosts with dynamic choices
            flat |= {key if key == name else f"{name}.{key}": inner for key, inner in value.items()}
        elif isinstance(value, (str, int, float)):
            flat[name] = value
    return flat


def _smoothing_input() -> io.Float.Input:
    return io.Float.Input(
        "smoothing",
        default=Smoothing().memory,
        min=0.0,
        max=0.95,
        step=0.05,
        tooltip="How calmly the shares of the references change over time; 0 decides each frame by itself.",
    )


def _hysteresis_input() -> io.Float.Input:
    about = Smoothing.__dataclass_fields__["hysteresis"].metadata
    return io.Float.Input(
        "hysteresis",
        default=Smoothing().hysteresis,
        min=about["min"],
        max=about["max"],
        step=about["step"],
        tooltip=about["tooltip"],
        optional=True,
    )


def _space_input() -> io.Combo.Input:
    return io.Combo.Input(
        SPACE,
        options=[space.value for space in FusionSpace],
        default=FusionSpace.AUTO.value,
        tooltip="Where references are fused. features: in the model's feature maps, which its decoder turns into "
        "pictures. images: in the warped pictures, without the decoder. both: the pictures over the decoded features, "
        "where they can be trusted. auto: the model's own way. Only models with a decoder have a choice.",
        optional=True,
    )


def _options() -> dict[str, type]:
    return {AUTO: _Auto, **{name: strategy_class(name) for name in strategy_names()}}


def _tooltip() -> str:
    lines = [f"{name}: {strategy_class(name).summary}" for name in strategy_names()]
    return "\n".join(["How the references are combined.", f"{AUTO}: what suits the model best.", *lines])
