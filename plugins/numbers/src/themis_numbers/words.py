"""The words beside a number that belong to it: multipliers, and units that leave its value as it is."""

from __future__ import annotations

from typing import Final

__all__ = ["AMBIGUOUS_WORDS", "LETTER_MULTIPLIERS", "MONEY_MULTIPLIERS", "ORDINALS", "SCALES", "UNITS"]

# Words that multiply, with their power of ten; compared without regard to case.
SCALES: Final = {
    "hundred": 2, "hundreds": 2,
    "thousand": 3, "thousands": 3, "tausend": 3, "тыс": 3,
    "lakh": 5, "lakhs": 5,
    "million": 6, "millions": 6, "millionen": 6, "millón": 6, "millones": 6, "mio": 6, "mln": 6, "млн": 6,
    "crore": 7, "crores": 7,
    "billion": 9, "billions": 9, "milliard": 9, "milliards": 9, "milliarde": 9, "milliarden": 9, "mrd": 9, "млрд": 9,
    "trillion": 12, "trillions": 12,
}  # fmt: skip

# Letters that multiply where they touch the number: 3M is three million.
LETTER_MULTIPLIERS: Final = {"k": 3, "K": 3, "M": 6, "mn": 6, "mm": 6, "B": 9, "bn": 9, "T": 12, "tn": 12}
# The same after a currency sign only, since `5m` is a length, `$5m` an amount. `mm` is one only there, too.
MONEY_MULTIPLIERS: Final = {**LETTER_MULTIPLIERS, "m": 6, "b": 9, "t": 12}
del LETTER_MULTIPLIERS["mm"]

# They change the value in a way that depends on the language or the context.
AMBIGUOUS_WORDS: Final = frozenset(
    [
        "billionen",
        "billones",
        "mil",
        "mille",
        "tenth",
        "tenths",
        "hundredth",
        "hundredths",
        "thousandth",
        "thousandths",
        "millionth",
        "millionths",
    ]
)

ORDINALS: Final = frozenset({"st", "nd", "rd", "th"})

_LENGTH = "nm µm μm mm cm dm m km in inch inches ft foot feet yd yard yards mi mile miles pt px"
_LONG_LENGTH = "meter meters metre metres kilometer kilometers kilometre kilometres centimeter centimeters"
_MORE_LENGTH = "centimetre centimetres millimeter millimeters millimetre millimetres"
_AREA = "ha hectare hectares acre acres sq square cubic"
_VOLUME = "ml mL cl dl l L liter liters litre litres gal gallon gallons cup cups pint pints quart quarts tbsp tsp"
_MASS = "µg μg mg g kg t ton tons tonne tonnes oz ounce ounces lb lbs pound pounds gram grams kilogram kilograms kilos"
_TIME = "ns µs μs ms s sec secs second seconds min mins minute minutes h hr hrs hour hours d day days week weeks"
_MORE_TIME = "month months yr yrs year years decade decades century centuries am pm a.m p.m"
_MONEY = "dollar dollars cent cents euro euros pound pounds yen rupee rupees pence USD EUR GBP JPY INR CNY CHF US"
_PHYSICS = "K C F J kJ MJ cal kcal N kN W kW MW GW kWh MWh V kV mV A mA Ω Hz kHz MHz GHz Pa kPa MPa bar atm mol M rad"
_DATA = "bit bits byte bytes KB MB GB TB KiB MiB GiB Mbps Gbps"
_ANGLES = "degree degrees deg radian radians mph kph kmh fps rpm bps celsius fahrenheit kelvin percent"
_JOULES = "joule joules watt watts volt volts newton newtons hertz pascal pascals ampere amperes mole moles"

# SI and imperial units, times, currencies and data sizes. Case counts, since mm is no MM.
UNITS: Final = frozenset(
    f"{_LENGTH} {_LONG_LENGTH} {_MORE_LENGTH} {_AREA} {_VOLUME} {_MASS} {_TIME} {_MORE_TIME} {_MONEY} {_PHYSICS} "
    f"{_DATA} {_ANGLES} {_JOULES}".split()
)
