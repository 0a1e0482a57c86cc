"""Capitals: "The capital of France is" -> " Paris", not " Madrid".

The split is by country. A wrong answer is the capital of another country of the same split, one of the same length
where there is one; its country makes the counterfactual prompt, whose right answer it is.

The published list has 15 countries with three wrong cities each, in the same four phrasings.
"""

import numpy as np

from causeway.engine.analyses.prompts.prompt import Candidate, Wrong, one_wrong, shuffled

NAME = "factual_recall"

TEMPLATES = (
    "The capital of {country} is",
    "The capital city of {country} is",
    "{country}'s capital is",
    "What is the capital of {country}? The answer is",
)
_CAPITALS = (
    "France:Paris,Germany:Berlin,Italy:Rome,Spain:Madrid,Japan:Tokyo,China:Beijing,Russia:Moscow,Egypt:Cairo,"
    "Greece:Athens,Portugal:Lisbon,Austria:Vienna,Poland:Warsaw,Canada:Ottawa,Australia:Canberra,Brazil:Brasília,"
    "Hungary:Budapest,Norway:Oslo,Sweden:Stockholm,Finland:Helsinki,Denmark:Copenhagen,Ireland:Dublin,Ukraine:Kyiv,"
    "Turkey:Ankara,Kenya:Nairobi,Ghana:Accra,Thailand:Bangkok,Vietnam:Hanoi,Iran:Tehran,Iraq:Baghdad,Cuba:Havana,"
    "Peru:Lima,Chile:Santiago,South Korea:Seoul,North Korea:Pyongyang,Argentina:Buenos Aires,Colombia:Bogotá,"
    "Venezuela:Caracas,Ecuador:Quito,Uruguay:Montevideo,Jamaica:Kingston,Belgium:Brussels,Romania:Bucharest,"
    "Bulgaria:Sofia,Serbia:Belgrade,Croatia:Zagreb,Slovenia:Ljubljana,Slovakia:Bratislava,Estonia:Tallinn,"
    "Latvia:Riga,Lithuania:Vilnius,Belarus:Minsk,Georgia:Tbilisi,Armenia:Yerevan,Iceland:Reykjavik,Malta:Valletta,"
    "Cyprus:Nicosia,Lebanon:Beirut,Syria:Damascus,Jordan:Amman,Saudi Arabia:Riyadh,Qatar:Doha,Afghanistan:Kabul,"
    "Pakistan:Islamabad,Nepal:Kathmandu,Bangladesh:Dhaka,Mongolia:Ulaanbaatar,Philippines:Manila,Indonesia:Jakarta,"
    "Cambodia:Phnom Penh,Laos:Vientiane,Morocco:Rabat,Algeria:Algiers,Tunisia:Tunis,Libya:Tripoli,Sudan:Khartoum,"
    "Ethiopia:Addis Ababa,Somalia:Mogadishu,Uganda:Kampala,Rwanda:Kigali,Senegal:Dakar,Nigeria:Abuja,Angola:Luanda,"
    "Zambia:Lusaka,Zimbabwe:Harare,Mozambique:Maputo,Namibia:Windhoek,Botswana:Gaborone,Madagascar:Antananarivo,"
    "New Zealand:Wellington,Fiji:Suva"
)
CAPITALS = dict(pair.split(":") for pair in _CAPITALS.split(","))
PUBLISHED_COUNTRIES = tuple(CAPITALS)[:15]
PUBLISHED_WRONG = 3


def candidates(rng: np.random.Generator, _: int) -> list[Candidate]:
    """Every country in every phrasing; the capitals of all other countries are its wrong answers."""
    return [
        _candidate(country, template, _others(shuffled(rng, list(CAPITALS)), country, template))
        for country in CAPITALS
        for template in TEMPLATES
    ]


def as_published(rng: np.random.Generator, _: int) -> list[Candidate]:
    """15 countries, each phrasing once for each of three wrong cities."""
    out = []
    for country in PUBLISHED_COUNTRIES:
        cities = [CAPITALS[other] for other in shuffled(rng, PUBLISHED_COUNTRIES) if other != country]
        for template in TEMPLATES:
            out += [_candidate(country, template, one_wrong(f" {city}")) for city in cities[:PUBLISHED_WRONG]]
    return out


def _others(order: list[str], country: str, template: str) -> tuple[Wrong, ...]:
    return tuple(
        Wrong(f" {CAPITALS[other]}", group=other, fields={"counterfactual_prompt": template.format(country=other)})
        for other in order
        if other != country
    )


def _candidate(country: str, template: str, wrong: tuple[Wrong, ...]) -> Candidate:
    fields = {"country": country, "answer": CAPITALS[country], "template": template}
    return Candidate(template.format(country=country), f" {CAPITALS[country]}", wrong, country, template, fields)
