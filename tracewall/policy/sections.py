"""What a table or a list of a policy file may hold: which keys, how many values."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, TypeAlias

from tracewall.policy.kinds import Json, Kind
from tracewall.policy.locate import Place
from tracewall.policy.meaning import meaning
from tracewall.policy.model import Glob
from tracewall.policy.reading import Reading, did_you_mean

Raw: TypeAlias = Mapping[str, object]


@dataclass(frozen=True)
class Many:
    """A list of values, none of them twice; ``into`` is what the model keeps them in."""

    of: Kind
    into: Callable[[Iterable[Any]], Any] = tuple
    empty: bool = False

    def read(self, raw: object, place: Place, reading: Reading) -> Any:
        """Return the values, in the order of the file where ``into`` keeps one."""
        if not isinstance(raw, list):
            self._complain_of_type(raw, place, reading)
            return self.into(())
        if not raw and not self.empty:
            help = "write what it is about, or leave the key out if it has a default"
            reading.wrong(place, "expected at least one value, got an empty list", help)
        read = [self.of.read(item, place.inside[at], reading) for at, item in enumerate(raw)]
        self._complain_of_twins(read, place, reading)
        return self.into(read)

    def _complain_of_type(self, raw: object, place: Place, reading: Reading) -> None:
        if isinstance(self.of, Section):
            help = f"write [[{_header(place)}]] above each of them"
            reading.mistyped(place, "a list of tables", raw, help)
        else:
            help = f"write {place.path[-1]} = [...] with brackets"
            reading.mistyped(place, "a list", raw, help)

    def _complain_of_twins(self, read: list[Any], place: Place, reading: Reading) -> None:
        seen: set[str | Glob] = set()
        for at, item in enumerate(read):
            if isinstance(item, str | Glob):
                if item in seen:
                    reading.wrong(place.inside[at], "this is in the list twice", "leave one out")
                seen.add(item)

    def schema(self) -> Json:
        """Return the item's schema and how many there may be."""
        least = {} if self.empty else {"minItems": 1}
        unique = {} if isinstance(self.of, Section) else {"uniqueItems": True}
        return {"type": "array", "items": self.of.schema()} | least | unique


@dataclass(frozen=True)
class OneOrMany:
    """A single value, or a list of at least one."""

    of: Kind

    def read(self, raw: object, place: Place, reading: Reading) -> Any:
        """Return the values as a tuple."""
        if isinstance(raw, list):
            return Many(self.of).read(raw, place, reading)
        return (self.of.read(raw, place, reading),)

    def schema(self) -> Json:
        """Return both ways to write it."""
        return {"anyOf": [self.of.schema(), Many(self.of).schema()]}


@dataclass(frozen=True)
class Key:
    """A key of a section: what its value may be, and what it is for.

    ``field`` is the model's name for it, where that is another. A key that is left out
    means `default`, written as in the file; without one it means what the model says.
    """

    kind: Kind
    purpose: str
    required: bool = False
    field: str = ""
    default: object = None


@dataclass(frozen=True)
class Section:
    """A table of the file, and the ``model`` that it makes.

    ``options`` are keys that go with one value of the key ``option_of`` only. Of each
    pair in ``exclusive`` one may be written. ``make`` builds the value where the
    model's own constructor does not fit.
    """

    model: type
    purpose: str
    keys: Mapping[str, Key]
    make: Callable[..., Any] | None = None
    option_of: str = ""
    options: Mapping[str, Mapping[str, Key]] = field(default_factory=dict)
    exclusive: tuple[tuple[str, str], ...] = ()

    def read(self, raw: object, place: Place, reading: Reading) -> Any:
        """Return what ``make`` makes of the table, or None where `reading` got a complaint."""
        if not isinstance(raw, dict):
            header = f"[{_header(place)}]"
            in_list = isinstance(place.path[-1], int)
            help = f"write {f'[{header}]' if in_list else header} above its keys"
            reading.mistyped(place, "a table", raw, help)
            return None
        faults = len(reading.faults)
        keys = self._keys_for(raw)
        self._complain_of_keys(raw, keys, place, reading)
        values = self._defaults(raw, keys, place, reading)
        for name, key in keys.items():
            if name in raw:
                value = key.kind.read(raw[name], place.inside[name], reading)
                values[key.field or name] = value
        return (self.make or self.model)(**values) if len(reading.faults) == faults else None

    def _keys_for(self, raw: Raw) -> Mapping[str, Key]:
        """Return the keys that may stand here, given what is chosen."""
        chosen = raw.get(self.option_of)
        options = self.options.get(chosen, {}) if isinstance(chosen, str) else {}
        return {**self.keys, **options}

    def _complain_of_keys(
        self, raw: Raw, keys: Mapping[str, Key], place: Place, reading: Reading
    ) -> None:
        unknown = [name for name in raw if name not in keys]
        for name in unknown:
            self._complain_of_unknown(name, keys, place, reading)
        for name, key in keys.items():
            # The unknown key may be the missing one misspelt: then that is the better news.
            if key.required and name not in raw and not unknown:
                reading.wrong(place, f"the key '{name}' is missing", key.purpose)
        for pair in self.exclusive:
            if raw.keys() >= set(pair):
                second = max(place.inside[name].key for name in pair)
                message = f"'{pair[0]}' and '{pair[1]}' exclude each other"
                reading.fault(second, message, "write one of them")

    def _complain_of_unknown(
        self, name: str, keys: Mapping[str, Key], place: Place, reading: Reading
    ) -> None:
        owners = [chosen for chosen, options in self.options.items() if name in options]
        help = did_you_mean(name, keys, f"the keys here are {', '.join(keys)}")
        if owners:
            help = f"'{name}' goes with {self.option_of} = \"{owners[0]}\""
        where = place.name or "the file"
        reading.fault(place.inside[name].key, f"{where} has no key '{name[:80]}'", help)

    def _defaults(
        self, raw: Raw, keys: Mapping[str, Key], place: Place, reading: Reading
    ) -> dict[str, Any]:
        """Return what is not written but follows: defaults, the position as name, the line."""
        implied: dict[str, Any] = {
            key.field or name: key.kind.read(key.default, _implied(place, key.default), reading)
            for name, key in keys.items()
            if key.default is not None and name not in raw
        }
        if "name" in keys and place.path:
            implied["name"] = place.name
        if any(field.name == "line" for field in fields(self.model)):
            implied["line"] = reading.at(place.start)[0]
        return implied

    def schema(self) -> Json:
        """Return the keys with their descriptions; no other key may stand there."""
        every = [self.keys, *self.options.values()]
        conditions = list(self._conditions())
        return {
            "type": "object",
            "description": self.purpose,
            "properties": {
                name: self._key_schema(name, key) for keys in every for name, key in keys.items()
            },
            "required": [name for name, key in self.keys.items() if key.required],
            "additionalProperties": False,
        } | ({"allOf": conditions} if conditions else {})

    def _key_schema(self, name: str, key: Key) -> Json:
        described = {"description": key.purpose} | key.kind.schema()
        fallback = (f.default for f in fields(self.model) if f.name == (key.field or name))
        default = key.default or meaning(next(fallback, ""))
        tells = isinstance(default, bool | int | float | str | list) and default not in ("", [])
        return described | {"default": default} if tells and not key.required else described

    def _conditions(self) -> Iterator[Json]:
        """Yield what holds between keys, as JSON Schema."""
        for pair in self.exclusive:
            yield {"not": {"required": list(pair)}}
        for chosen, options in self.options.items():
            this = {"properties": {self.option_of: {"const": chosen}}, "required": [self.option_of]}
            yield {"if": {"anyOf": [{"required": [name]} for name in options]}, "then": this}
            if required := [name for name, key in options.items() if key.required]:
                yield {"if": this, "then": {"required": required}}


def _header(place: Place) -> str:
    return ".".join(step for step in place.path if isinstance(step, str))


def _implied(place: Place, raw: object) -> Place:
    """Return the place of a value that stands nowhere: that of its section."""
    implied = Place(place.path, place.key, place.start, place.end)
    if isinstance(raw, list):
        implied.inside = dict.fromkeys(range(len(raw)), implied)
    return implied
