"""Numbers and units as siunitx prints them."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

_SYMBOLS = {
    "metre": "m", "meter": "m", "second": "s", "gram": "g", "kilogram": "kg", "ampere": "A", "kelvin": "K", "mole": "mol", "candela": "cd", "hertz": "Hz",
    "newton": "N", "pascal": "Pa", "joule": "J", "watt": "W", "coulomb": "C", "volt": "V", "farad": "F", "ohm": "Ω", "siemens": "S",
    "weber": "Wb", "tesla": "T", "henry": "H", "lumen": "lm", "lux": "lx", "becquerel": "Bq", "gray": "Gy", "sievert": "Sv", "katal": "kat",
    "radian": "rad", "steradian": "sr", "celsius": "°C", "degreeCelsius": "°C", "degC": "°C", "degree": "°", "arcminute": "′",
    "arcsecond": "″", "minute": "min", "hour": "h", "day": "d", "hectare": "ha", "litre": "L", "liter": "L", "tonne": "t", "percent": "%",
    "electronvolt": "eV", "dalton": "Da", "bel": "B", "decibel": "dB", "neper": "Np", "byte": "B", "astronomicalunit": "au",
    "nauticalmile": "M", "knot": "kn", "angstrom": "Å", "atomicmassunit": "u", "barn": "b", "um": "µm", "us": "µs", "ug": "µg", "uL": "µL",
    "ul": "µl", "uA": "µA", "uV": "µV", "uW": "µW", "uJ": "µJ", "uF": "µF", "umol": "µmol", "uN": "µN", "uPa": "µPa", "kohm": "kΩ",
    "mohm": "mΩ", "Mohm": "MΩ", "amu": "u", "textdegree": "°", "textmu": "µ", "mu": "µ", "Omega": "Ω",
}  # fmt: skip
"""What a unit's name prints; another name is its own symbol, such as `kHz`."""
_PREFIXES = {
    "quecto": "q", "ronto": "r", "yocto": "y", "zepto": "z", "atto": "a", "femto": "f", "pico": "p", "nano": "n", "micro": "µ",
    "milli": "m", "centi": "c", "deci": "d", "deca": "da", "deka": "da", "hecto": "h", "kilo": "k", "mega": "M", "giga": "G", "tera": "T",
    "peta": "P", "exa": "E", "zetta": "Z", "yotta": "Y", "ronna": "R", "quetta": "Q", "kibi": "Ki", "mebi": "Mi", "gibi": "Gi",
    "tebi": "Ti", "pebi": "Pi", "exbi": "Ei",
}  # fmt: skip
_POWERS = {"squared": "2", "cubed": "3"}
_POWERS_AHEAD = {"square": "2", "cubic": "3"}
_PART = re.compile(
    r"\\(?P<name>[a-zA-Z]++)\s*+|\\(?P<sign>[%$#&_])|\^\s*+(?:\{(?P<group>[^{}]*+)\}|(?P<power>.))"
    r"|\{(?P<argument>[^{}]*+)\}|(?P<gap>[.~\s]++|\\[,;:! ])|(?P<plain>[^\\^{}.~\s]++)|[\s\S]"
)


def unit(written: str) -> str:
    r"""What a unit prints: `m s^-1` for `\metre\per\second`, `m.s^{-1}` and `\m\per\s`."""
    parts: list[str] = []
    prefix, ahead, per, waiting = "", "", False, ""

    def add(symbol: str) -> None:
        nonlocal prefix, ahead, per
        power = ("-" if per else "") + (ahead or ("1" if per else ""))
        parts.append(prefix + symbol + (f"^{power}" if power else ""))
        prefix, ahead, per = "", "", False

    def raise_to(power: str) -> None:
        if parts:
            base, raised, below = parts[-1].partition("^")
            sign = "-" if raised and below.startswith("-") else ""
            parts[-1] = f"{base}^{sign}{power.strip().replace('−', '-')}"

    for part in _PART.finditer(written):
        name = part["name"]
        if name in _PREFIXES:
            prefix += _PREFIXES[name]
        elif name == "per":
            per = True
        elif name in _POWERS:
            raise_to(_POWERS[name])
        elif name in _POWERS_AHEAD:
            ahead = _POWERS_AHEAD[name]
        elif name in (
            "tothe",
            "raiseto",
            "of",
            "highlight",
            "cancel",
            "text",
            "mathrm",
            "textrm",
            "ensuremath",
        ):
            waiting = name
        elif part["argument"] is not None:
            if waiting == "tothe":
                raise_to(part["argument"])
            elif waiting == "raiseto":
                ahead = part["argument"].strip()
            elif waiting not in ("highlight",):
                add(unit(part["argument"]))
            waiting = ""
        elif name:
            add(_SYMBOLS.get(name, name))
        elif part["sign"]:
            add(part["sign"])
        elif part["group"] is not None or part["power"]:
            raise_to(part["group"] if part["group"] is not None else part["power"])
        elif part["plain"]:
            add(part["plain"])
    joined = " ".join(parts)
    return re.sub(r" ?/ ?", "/", joined)


_NUMBER = re.compile(
    r"\s*+([<>≤≥~≈±]?)\s*+([-+−]?)\s*+([\d.,]*+)\s*+(?:\((\d++)\))?\s*+(?:(?:\+-|±|\+/-)\s*+([\d.,]++))?\s*+(?:[eEdD]\s*+([-+−]?\d++))?\s*+"
)


def number(written: str) -> str:
    """What a number prints: `2.5 × 10^3` for `2.5e3`; whatever is no number stays as it is."""
    if "x" in written:
        return " × ".join(map(number, written.split("x")))
    bare = written.replace("~", " ").replace("−", "-")
    found = _NUMBER.fullmatch(bare)
    if not found or not (found[3] or found[6]):
        return " ".join(bare.split())
    sign, minus, digits, uncertain, error, exponent = found.groups()
    said = f"{sign + ' ' if sign else ''}{minus}{_decimal(digits)}"
    said += f"({uncertain})" if uncertain else ""
    said += f" ± {_decimal(error)}" if error else ""
    if not exponent:
        return said
    power = f"10^{exponent.removeprefix('+')}"
    said = f"({said})" if error else said
    return f"{said} × {power}" if digits else minus + power


def _decimal(digits: str) -> str:
    """A number with a point before its decimals: siunitx takes a comma as one, too."""
    return digits.replace(",", ".") if digits.count(",") == 1 and "." not in digits else digits


def angle(written: str) -> str:
    """`10°20′30″` for `10;20;30`."""
    parts = [part.strip() for part in written.split(";")]
    return "".join(number(part) + mark for part, mark in zip(parts, "°′″", strict=False) if part)


def quantity(value: str, symbol: str) -> str:
    """A number with its unit."""
    if not value or not symbol:
        return value + symbol
    return f"{value}{'' if symbol in ('%', '°', '′', '″') else ' '}{symbol}"


def _listed(values: Sequence[str]) -> str:
    return f"{', '.join(values[:-1])} and {values[-1]}" if len(values) > 1 else "".join(values)


_Printer = Callable[[Sequence[str]], str]


def _series(join: Callable[[Sequence[str]], str], separator: str) -> _Printer:
    def printed(arguments: Sequence[str]) -> str:
        values = [number(each) for each in arguments[0].split(separator) if each.strip()]
        return quantity(join(values), unit(arguments[1]) if len(arguments) > 1 else "")

    return printed


def _range(arguments: Sequence[str]) -> str:
    joined = f"{number(arguments[0])} to {number(arguments[1])}"
    return quantity(joined, unit(arguments[2]) if len(arguments) > 2 else "")


def _one(arguments: Sequence[str]) -> str:
    return quantity(number(arguments[0]), unit(arguments[1]) if len(arguments) > 1 else "")


_multiplied = " × ".join
PRINTERS: dict[str, tuple[int, bool, _Printer]] = {
    "num": (1, False, _one), "tablenum": (1, False, _one), "complexnum": (1, False, _one), "SI": (1, True, _one), "qty": (1, True, _one),
    "si": (0, True, lambda said: unit(said[0])), "unit": (0, True, lambda said: unit(said[0])), "ang": (1, False, lambda said: angle(said[0])),
    "numrange": (2, False, _range), "SIrange": (2, True, _range), "qtyrange": (2, True, _range), "numlist": (1, False, _series(_listed, ";")),
    "SIlist": (1, True, _series(_listed, ";")), "qtylist": (1, True, _series(_listed, ";")),
    "numproduct": (1, False, _series(_multiplied, "x")), "qtyproduct": (1, True, _series(_multiplied, "x")),
}  # fmt: skip
"""The commands of siunitx: how many numbers each takes, whether a unit follows, and what it prints."""
