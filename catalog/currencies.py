"""Currencies and their minor units.

Source: ISO 4217 list one, as its maintenance agency SIX publishes it, without precious metals, bond units and
codes for testing. The database keeps the same list (see ``database_functions``), so a change of it is a migration.
"""

from decimal import Decimal

from django.core.exceptions import ValidationError

TWO_DIGITS = """
AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BMD BND BOB BOV BRL BSD BTN BWP BYN BZD CAD CDF CHE CHF CHW CNY COP
COU CRC CUP CVE CZK DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GTQ GYD HKD HNL HTG HUF IDR ILS INR IRR
JMD KES KGS KHR KPW KYD KZT LAK LBP LKR LRD LSL MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN MXV MYR MZN NAD NGN
NIO NOK NPR NZD PAB PEN PGK PHP PKR PLN QAR RON RSD RUB SAR SBD SCR SDG SEK SGD SHP SLE SOS SRD SSP STN SVC SYP SZL
THB TJS TMT TOP TRY TTD TWD TZS UAH USD USN UYU UZS VED VES WST XCD XCG YER ZAR ZMW ZWG
"""
NO_DIGITS = "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF"
THREE_DIGITS = "BHD IQD JOD KWD LYD OMR TND"
FOUR_DIGITS = "CLF UYW"
# Withdrawn since 2020: orders from before bear them still.
WITHDRAWN = "ANG BGN CUC HRK SLL ZWL"

DIGITS: dict[str, int] = {
    code: digits
    for digits, codes in {2: TWO_DIGITS + WITHDRAWN, 0: NO_DIGITS, 3: THREE_DIGITS, 4: FOUR_DIGITS}.items()
    for code in codes.split()
}


def validate_currency(code: str) -> None:
    """Raise ValidationError unless ``code`` is a currency of ISO 4217."""
    if code not in DIGITS:
        raise ValidationError("“%(code)s” is not a currency of ISO 4217.", "invalid_currency", {"code": code})


def validate_amounts(currency: str, **amounts: Decimal | None) -> None:
    """Raise ValidationError, by name, for amounts that are negative or finer than the currency's minor unit."""
    digits = DIGITS[currency]
    errors = {}
    for name, amount in amounts.items():
        if amount is None:
            continue
        if amount < 0:
            errors[name] = ValidationError("An amount is zero or more.", "min_value")
        elif amount != round(amount, digits):
            errors[name] = ValidationError(f"{currency} has {digits} decimal places.", "minor_unit")
    if errors:
        raise ValidationError(errors)
