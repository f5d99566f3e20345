"""Node inputs made from frozen dataclasses, and the way back from a node's arguments to the dataclass.

A field's default, type and metadata (`min`, `max`, `step`, `tooltip`, `choices`, `advanced`) say all there is
to say about its widget, so that nodes, command line and documentation cannot drift apart.

Hosts differ in what they offer, workflows in API format do not: the keys are `strategy`,
`strategy.temperature` and `references.reference0` on every host.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Iterable, Mapping
from dataclasses import MISSING, Field, fields
from enum import Enum
from typing import Any, TypeVar, get_type_hints

from comfy_api.latest import io

from ..reenact_core.errors import ReenactError
from . import features
from .ranges import check_number

Settings = TypeVar("Settings")

OWN = -1  # of a number that options share where a host has no dynamic choices: the option's own default


def inputs_of(settings: type, prefix: str = "") -> list[io.Input]:
    """One widget per field of the dataclass `settings`, in order; `prefix` is put before their ids.

    All are optional: a workflow saved before a field existed runs with the field's default.
    """
    hints = get_type_hints(settings)
    return [_widget(field, hints[field.name], prefix) for field in fields(settings)]


def settings_of(settings: type[Settings], arguments: Mapping[str, Any], prefix: str = "") -> Settings:
    """The dataclass filled from a node's `arguments`; what they lack, or have as None, keeps its default.

    Raises:
        ReenactError: a value is not among its choices or out of range, or the dataclass itself refuses it.
    """
    hints = get_type_hints(settings)
    shape: Any = settings
    given = {
        field.name: _value(field, hints[field.name], arguments[prefix + field.name], prefix + field.name)
        for field in fields(shape)
        if arguments.get(prefix + field.name) is not None
    }
    return settings(**given)


def choice_inputs(identifier: str, options: Mapping[str, type], default: str, tooltip: str) -> list[io.Input]:
    """A choice among `options` (key -> dataclass of its settings) together with the settings' widgets.

    Hosts without dynamic choices have the settings of all options. A number whose range or default differs between
    options is then one widget, whose default OWN leaves it to the option; what is no number appears once per option.
    web/js/choices.js shows those of the chosen option, as the widgets say which options they are `shown_for`.
    """
    keys = [default, *(key for key in options if key != default)]
    if features.DYNAMIC_COMBO:
        entries = [io.DynamicCombo.Option(key, inputs_of(options[key])) for key in keys]
        return [io.DynamicCombo.Input(identifier, options=entries, tooltip=tooltip)]
    inputs: dict[str, io.Input] = {}
    for key in keys:
        for widget in inputs_of(options[key]):
            wanted = _flat_id(identifier, key, widget.id, options)
            if wanted in inputs:
                continue
            users = [
                other
                for other in keys
                if widget.id in _field_names(options[other])
                and _flat_id(identifier, other, widget.id, options) == wanted
            ]
            if len(users) > 1 and not _agreed(_claims(widget.id, options)):
                flat = _shared_number(wanted, widget.id, {user: options[user] for user in users})
            else:
                flat = _renamed(widget, wanted, f"{', '.join(users)}: {widget.tooltip or widget.id}")
            flat.extra_dict = {**flat.extra_dict, "shown_for": users}
            inputs[wanted] = flat
    return [io.Combo.Input(identifier, options=keys, default=default, tooltip=tooltip), *inputs.values()]


def chosen(identifier: str, options: Mapping[str, type], arguments: Mapping[str, Any]) -> Any:
    """The dataclass of the option that a node's `arguments` name, filled with its settings.

    Raises:
        ReenactError: there is no such option, or a setting is refused.
    """
    value = arguments.get(identifier)
    if value is None:  # hosts with dynamic choices leave out what is not among them
        raise ReenactError(f"`{identifier}` is none of its choices. Choose one of: {', '.join(options)}.")
    nested = isinstance(value, Mapping)
    key = value[identifier] if nested else value
    if key not in options:
        raise ReenactError(f"There is no {identifier} {key!r}. Choose one of: {', '.join(options)}.")
    if nested:
        return settings_of(options[key], value)
    own = {name: arguments.get(_flat_id(identifier, key, name, options)) for name in _field_names(options[key])}
    given = {name: value for name, value in own.items() if value != OWN or _agreed(_claims(name, options))}
    return settings_of(options[key], given)


def described(identifier: str, options: Mapping[str, type]) -> list[dict[str, Any]]:
    """The options of `choice_inputs` for the browser: each with its settings, and their widgets' names on this host."""

    def setting(key: str, field: Field[Any], hint: Any) -> dict[str, Any]:
        dynamic = f"{identifier}.{field.name}"
        about = {name: field.metadata[name] for name in ("min", "max", "step", "tooltip") if name in field.metadata}
        choices = [option.value for option in hint] if _is_enum(hint) else field.metadata.get("choices")
        return about | {
            "name": field.name,
            "widget": dynamic if features.DYNAMIC_COMBO else _flat_id(identifier, key, field.name, options),
            "kind": "choice" if choices is not None else hint.__name__,
            "choices": choices and list(choices),
            "own": None if features.DYNAMIC_COMBO or _agreed(_claims(field.name, options)) else OWN,
            "default": field.default.value if isinstance(field.default, Enum) else field.default,
        }

    return [
        {
            "name": key,
            "summary": getattr(settings, "summary", ""),
            "settings": [setting(key, field, get_type_hints(settings)[field.name]) for field in fields(settings)],
        }
        for key, settings in options.items()
    ]


def growing_inputs(template: io.Input, identifier: str, prefix: str, least: int, most: int) -> list[io.Input]:
    """Sockets like `template` named prefix0, prefix1, ... of which at least `least` have to be connected.

    Hosts that grow sockets allow up to `most`; others show eight at most, because they show them all.
    """
    if features.AUTOGROW:
        grower = io.Autogrow.TemplatePrefix(template, prefix=prefix, min=least, max=most)
        return [io.Autogrow.Input(identifier, template=grower, tooltip=template.tooltip)]
    sockets = [_renamed(template, f"{identifier}.{prefix}{i}", template.tooltip) for i in range(min(most, 8))]
    for i, socket in enumerate(sockets):
        socket.optional = i >= least
    return sockets


def grown(identifier: str, prefix: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """The values connected to the sockets of `growing_inputs`, by the sockets' names and in their order."""
    nested = arguments.get(identifier)
    if isinstance(nested, Mapping):
        arguments, start = nested, prefix
    else:
        start = f"{identifier}.{prefix}"
    numbered = [
        (int(match[1]), value)
        for key, value in arguments.items()
        if (match := re.fullmatch(re.escape(start) + r"(\d+)", key)) and value is not None
    ]
    return {f"{prefix}{number}": value for number, value in sorted(numbered, key=lambda pair: pair[0])}


def one_of(name: str, value: str, choices: Iterable[str]) -> str:
    """`value` of the input `name`.

    Raises:
        ReenactError: it is none of its choices, which older hosts let through.
    """
    choices = list(choices)
    if value not in choices:
        raise ReenactError(f"`{name}` is {value!r}. Choose one of: {', '.join(choices)}.")
    return value


def _widget(field: Field[Any], hint: Any, prefix: str) -> io.Input:
    if field.default is MISSING:
        raise TypeError(f"{field.name} needs a default to become a widget")
    about = field.metadata
    common: dict[str, Any] = {"tooltip": about.get("tooltip"), "optional": True, "default": field.default}
    if features.ADVANCED and about.get("advanced"):
        common["advanced"] = True
    identifier = prefix + field.name
    numeric = {name: about.get(name) for name in ("min", "max", "step")}
    if _is_enum(hint):
        return io.Combo.Input(identifier, options=hint, **common)
    if "choices" in about:
        return io.Combo.Input(identifier, options=list(about["choices"]), **common)
    if hint is bool:
        return io.Boolean.Input(identifier, **common)
    if hint is int:
        return io.Int.Input(identifier, **numeric, **common)
    if hint is float:
        return io.Float.Input(identifier, **numeric, **common)
    if hint is str:
        return io.String.Input(identifier, **common)
    raise TypeError(f"{field.name}: there is no widget for {hint}")


def _value(field: Field[Any], hint: Any, value: Any, name: str) -> Any:
    """`value` of the widget `name` as the field wants it; older hosts let any text through a choice."""
    choices = [option.value for option in hint] if _is_enum(hint) else field.metadata.get("choices")
    if choices is not None and value not in choices:
        raise ReenactError(f"`{name}` is {value!r}. Choose one of: {', '.join(map(str, choices))}.")
    if hint in (int, float):
        about = field.metadata
        check_number(name, value, about.get("min"), about.get("max"), hint is int, about.get("tooltip"))
    return hint(value) if _is_enum(hint) else value


def _is_enum(hint: Any) -> bool:
    return isinstance(hint, type) and issubclass(hint, Enum)


def _field_names(settings: type) -> list[str]:
    return [field.name for field in fields(settings)]


def _claims(name: str, options: Mapping[str, type]) -> list[Field[Any]]:
    """The fields called `name` of all options."""
    return [field for option in options.values() for field in fields(option) if field.name == name]


def _agreed(claims: list[Field[Any]]) -> bool:
    """Whether fields differ in nothing but what is said about them."""
    claim = [(field.default, field.type, dict(field.metadata) | {"tooltip": None}) for field in claims]
    return all(other == claim[0] for other in claim)


def _flat_id(identifier: str, key: str, name: str, options: Mapping[str, type]) -> str:
    """Id of one option's field where all options' fields share a node."""
    claims = _claims(name, options)
    numbers = all(type(field.default) in (int, float) for field in claims)
    return f"{identifier}.{name}" if numbers or _agreed(claims) else f"{identifier}.{key}.{name}"


def _shared_number(identifier: str, name: str, users: Mapping[str, type]) -> io.Input:
    """The widget of a number that several options have, each with a range and a default of its own."""
    claims = {user: field for user, option in users.items() for field in fields(option) if field.name == name}
    about = [field.metadata for field in claims.values()]
    lines = [f"{user} ({field.default}): {field.metadata.get('tooltip') or name}" for user, field in claims.items()]
    return io.Float.Input(
        identifier,
        display_name=name,
        optional=True,
        default=OWN,
        min=min([OWN, *(each["min"] for each in about)]),
        max=max(each["max"] for each in about),
        step=min(each.get("step", 0.01) for each in about),
        tooltip="\n".join([*lines, f"{OWN}: each one's own value, in brackets."]),
    )


def _renamed(template: io.Input, identifier: str, tooltip: str | None) -> io.Input:
    renamed = copy.copy(template)
    renamed.id = identifier
    renamed.display_name = identifier.partition(".")[2]  # in step with hosts that have dynamic choices
    renamed.tooltip = tooltip
    return renamed
