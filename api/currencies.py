"""The currencies of ISO 4217 that a shop can have.

From List One of the maintenance agency (SIX, www.six-group.com), with the amendments in force on 2026-02-01. When a
country changes its currency, change the lists here.
"""


def _codes(text: str) -> frozenset[str]:
    return frozenset(text.split())


WITH_TWO_PLACES = _codes(
    """
    AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BMD BND BOB BOV BRL BSD BTN BWP BYN BZD CAD CDF CHE CHF
    CHW CNY COP COU CRC CUP CVE CZK DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GTQ GYD HKD HNL
    HTG HUF IDR ILS INR IRR JMD KES KGS KHR KPW KYD KZT LAK LBP LKR LRD LSL MAD MDL MGA MKD MMK MNT MOP MRU
    MUR MVR MWK MXN MXV MYR MZN NAD NGN NIO NOK NPR NZD PAB PEN PGK PHP PKR PLN QAR RON RSD RUB SAR SBD SCR
    SDG SEK SGD SHP SLE SOS SRD SSP STN SVC SYP SZL THB TJS TMT TOP TRY TTD TWD TZS UAH USD USN UYU UZS VED
    VES WST XAD XCD XCG YER ZAR ZMW ZWG
    """
)
"""Those whose minor unit is a hundredth, as the shop stores amounts."""

WITH_OTHER_PLACES = {
    **dict.fromkeys(_codes("BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF"), 0),
    **dict.fromkeys(_codes("BHD IQD JOD KWD LYD OMR TND"), 3),
    **dict.fromkeys(_codes("CLF UYW"), 4),
}
"""The others, and how many decimal places each has."""

WITHOUT_PLACES = _codes("XAG XAU XBA XBB XBC XBD XDR XPD XPT XSU XTS XUA XXX")
"""Metals, units of account and test codes: nobody pays with them."""


def check_currency(code: str) -> str:
    """A code of ISO 4217 whose amounts the shop can store.

    Raises:
        ValueError: There is no such currency, or the shop cannot store its amounts.
    """
    if code in WITH_TWO_PLACES:
        return code
    if code in WITH_OTHER_PLACES:
        places = f"it has {WITH_OTHER_PLACES[code]} decimal places, and the shop stores amounts with two"
        raise ValueError(f"{code} is not supported: {places}")
    if code in WITHOUT_PLACES:
        raise ValueError(f"{code} is not supported: it is a code of ISO 4217, but no money that a shop can take")
    raise ValueError("is no currency in use: use a code of ISO 4217, such as EUR")
