r"""Units: which are the same, and which only differ in size."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction

_KINDS: dict[str, dict[str, Fraction]] = {
    # Kind: unit by its names, size in the kind's first unit.
    "length": {
        "m meter metre": Fraction(1),
        "mm millimeter millimetre": Fraction(1, 1000),
        "cm centimeter centimetre": Fraction(1, 100),
        "dm decimeter decimetre": Fraction(1, 10),
        "km kilometer kilometre": Fraction(1000),
        "in inch inches": Fraction(254, 10_000),
        "ft foot feet": Fraction(3048, 10_000),
        "yd yard": Fraction(9144, 10_000),
        "mi mile": Fraction(1_609_344, 1000),
    },
    "mass": {
        "g gram gm": Fraction(1),
        "mg milligram": Fraction(1, 1000),
        "kg kilogram": Fraction(1000),
        "lb lbs pound": Fraction(45_359_237, 100_000),
        "oz ounce": Fraction(45_359_237, 1_600_000),
    },
    "time": {
        "s sec second": Fraction(1),
        "ms millisecond": Fraction(1, 1000),
        "min minute mins": Fraction(60),
        "h hr hour hrs": Fraction(3600),
        "day": Fraction(86_400),
        "week": Fraction(604_800),
    },
    "years": {"month": Fraction(1), "year yr": Fraction(12)},
    "volume": {"L l liter litre": Fraction(1), "mL ml milliliter millilitre": Fraction(1, 1000)},
    "gallon": {
        "gallon gal": Fraction(1),
        "quart qt": Fraction(1, 4),
        "pint pt": Fraction(1, 8),
        "cup": Fraction(1, 16),
    },
    "money": {"dollar buck usd": Fraction(1), "cent": Fraction(1, 100)},
    "angle": {"degree deg": Fraction(1)},
    "radian": {"rad radian": Fraction(1)},
    "celsius": {"celsius": Fraction(1)},
    "fahrenheit": {"fahrenheit": Fraction(1)},
    "kelvin": {"K kelvin": Fraction(1)},
    "force": {"N newton": Fraction(1), "kN kilonewton": Fraction(1000)},
    "energy": {"J joule": Fraction(1), "kJ kilojoule": Fraction(1000)},
    "power": {"W watt": Fraction(1), "kW kilowatt": Fraction(1000)},
    "voltage": {"V volt": Fraction(1)},
    "current": {"A amp ampere": Fraction(1)},
    "resistance": {"ohm": Fraction(1)},
    "frequency": {"Hz hertz": Fraction(1), "kHz": Fraction(1000)},
    "pressure": {"Pa pascal": Fraction(1), "kPa": Fraction(1000), "atm": Fraction(101_325)},
    "amount": {"mol mole": Fraction(1)},
    "morning": {"am": Fraction(1)},
    "afternoon": {"pm": Fraction(1)},
}
_SHORT = {"mph": "mi/h", "kph": "km/h", "kmh": "km/h", "kmph": "km/h", "sqft": "ft^2", "cc": "cm^3", "cm2": "cm^2"}
_SHORT |= {"sqm": "m^2", "m2": "m^2", "km2": "km^2", "cm3": "cm^3", "m3": "m^3"}
_NAMES: dict[str, tuple[str, Fraction]] = {}
for _kind, _units in _KINDS.items():
    for _names, _size in _units.items():
        for _name in _names.split():
            _NAMES[_name] = (_kind, _size)
            if len(_name) > 2 and not _name.endswith("s"):
                _NAMES[f"{_name}s"] = (_kind, _size)
SHORT_NAMES = frozenset(name for name in _NAMES if len(name) == 2) - {"in", "am", "pm"}
LONG_NAMES = frozenset(name for name in [*_NAMES, *_SHORT] if len(name) > 2 and "." not in name)
LETTERS = frozenset(name for name in _NAMES if len(name) == 1)

_PART = re.compile(
    r"(?P<over>/|\bper\b)|(?P<dot>\\cdot|[*.])|(?P<name>[a-zA-Z]+(?:\.m)?\d?)(?:\^\{?(?P<power>-?\d)\}?)?|\s+"
)
_POWERS = {"square": 2, "squares": 2, "sq": 2, "cubic": 3, "cu": 3, "squared": 2, "cubed": 3}


@dataclass(frozen=True)
class Unit:
    """What a quantity is measured in.

    Attributes:
        kinds: The kinds of unit with their powers: length 1 and time -1 for a speed.
        size: In the first units of these kinds.
    """

    kinds: frozenset[tuple[str, int]]
    size: Fraction


def unit(text: str) -> Unit | None:
    """The unit that words say, None if they say none that is known.

    >>> unit("cm") == unit("centimeters"), unit("m/s") == unit("meters per second"), unit("apples")
    (True, True, None)
    """
    kinds: dict[str, int] = {}
    size, sign, power = Fraction(1), 1, 1
    last = ""
    place = 0
    while place < len(text):
        found = _PART.match(text, place)
        if not found:
            return None
        place = found.end()
        name = found["name"]
        if found["over"]:
            sign = -1
        if not name:
            continue
        word = name if name in _NAMES or name in _SHORT else name.lower()
        if word in _SHORT:
            inner = unit(_SHORT[word])
            if inner is None or sign < 0:
                return None
            kinds |= {kind: kinds.get(kind, 0) + one for kind, one in inner.kinds}
            size *= inner.size
        elif word in _POWERS and not word.endswith("ed"):
            power = _POWERS[word]
        elif word in _POWERS and last:
            extra = _POWERS[word] - 1
            kinds[_NAMES[last][0]] += sign * extra
            size *= _NAMES[last][1] ** (sign * extra)
        elif word in _NAMES:
            kind, one = _NAMES[word]
            exponent = sign * power * int(found["power"] or 1)
            kinds[kind] = kinds.get(kind, 0) + exponent
            size *= one**exponent
            last, power = word, 1
        else:
            return None
    return Unit(frozenset((kind, power) for kind, power in kinds.items() if power), size) if kinds else None


def comparable(one: Unit | None, other: Unit | None) -> bool:
    """Whether two quantities can be the same: units of other kinds cannot be; without a unit every one can."""
    if one is None or other is None or one.kinds == other.kinds:
        return True
    # A bare degree may be one of temperature.
    kinds = {kind for kind, _ in one.kinds ^ other.kinds}
    return "angle" in kinds and bool(kinds & {"celsius", "fahrenheit"})
