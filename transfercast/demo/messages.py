"""Incident messages with overlapping information needs, made from phrases with a seed.

A clause has an act (asking, offering, warning, reporting) and a subject (goods, helpers, a hazard, a scene). A label is a pair
of both, so tasks overlap in two ways: requests for goods and for rescue share the phrases of asking, and requests for rescue
and offers of volunteers share the helpers. A task with few rows has not seen most phrases; a source that has seen them helps
much, and a source that learned other phrases helps little. A few labels are wrong, as in real data.
"""

from __future__ import annotations

import csv
import random
from pathlib import Path

LABELS = ("goods_request", "rescue_request", "donation", "volunteering", "warning", "observation")

_GOODS = (
    "drinking water", "blankets", "baby formula", "insulin", "diapers", "a generator", "warm clothes", "bandages", "tents",
    "dog food", "batteries", "canned food", "sandbags", "fuel", "hot meals", "phone chargers", "cots", "clean towels",
)  # fmt: skip
_HELPERS = (
    "a rescue team", "people with boats", "a doctor", "nurses", "divers", "a search dog", "drivers", "a helicopter",
    "firefighters", "electricians", "someone who can carry my mother", "paramedics", "a crew with chainsaws", "translators",
)  # fmt: skip
_PLACES = (
    "Harbor Street", "the east bank", "Mill Road", "Santa Lucia", "the old stadium", "Ferndale", "Route 9", "the north shore",
    "St. Mary's school", "Kingsbridge", "the mobile home park", "Oak Valley", "the fire station", "downtown", "Pine Ridge",
)  # fmt: skip
_HAZARDS = (
    "flash flooding", "an aftershock", "high winds", "a second wave", "falling debris", "the river cresting", "a gas leak",
    "landslides", "the fire jumping the ridge", "toxic smoke", "dam failure", "heavy rain",
)  # fmt: skip
_SCENES = (
    "water up to the windows", "flames behind the hill", "trees across the road", "cars floating", "smoke so thick it is dark",
    "the roof torn off", "cracks all over the walls", "power lines down", "mud covering everything", "ash falling like snow",
)  # fmt: skip
_ASKING = (
    "we need {it} at {place}", "please send {it} to {place}", "can anyone get {it} to {place}", "still no {it} at {place}",
    "{place} is desperate for {it}", "who can help {place} with {it}", "waiting for {it} in {place} since morning",
    "looking for {it} near {place}", "{it}, {place}, urgent", "does {place} have {it}? children here",
    "begging for {it} at {place}",
    "nobody has brought {it} to {place} yet", "{place} asks for {it}", "without {it} we will not last at {place}",
)  # fmt: skip
_OFFERING = (
    "we have {it} for {place}", "{it} on the way to {place} tonight", "our church brings {it} to {place}",
    "{it} is free for anyone at {place}", "happy to give {place} {it}", "call me if {place} wants {it}",
    "{place} can have {it} from us", "we arrive at {place} with {it}", "spare {it} here, take it to {place}",
    "our company lends {it} to {place}", "{it} ready to go, just tell us where in {place}", "sharing {it} at {place}",
)  # fmt: skip
_WARNING = (
    "officials warn of {it} near {place}", "stay away from {place}, {it} expected", "{it} possible in {place} before morning",
    "alert for {place}: {it}", "be careful around {place}, there could be {it}", "forecasters now expect {it} at {place}",
    "{it} may reach {place} within the hour", "leave {place} now because of {it}",
)  # fmt: skip
_REPORTING = (
    "I can see {it} from {place}", "standing at {place}, {it}", "from my window in {place}: {it}", "{it} all along {place}",
    "just drove past {place} and saw {it}", "my street in {place} has {it}", "never seen this in {place}, {it}",
)  # fmt: skip
_ASIDES = (
    "praying for {place}", "the minister visits {place} on Friday", "thank you to {it} at {place}", "stay strong {place}",
    "the match at {place} is off", "a film about {it} runs at {place}", "a story on {it} in {place} at nine",
    "this time last year {place} had {it}", "the price of {it} in {place} is up", "{place} museum shows {it}",
)  # fmt: skip
_CLAUSES = {
    "goods_request": (_ASKING, _GOODS),
    "rescue_request": (_ASKING, _HELPERS),
    "donation": (_OFFERING, _GOODS),
    "volunteering": (_OFFERING, _HELPERS),
    "warning": (_WARNING, _HAZARDS),
    "observation": (_REPORTING, _SCENES),
    "": (_ASIDES, _GOODS + _HELPERS + _HAZARDS + _SCENES),
}
_TAGS = ("", "", "", " #storm", " #flood", " #help", " pls rt", " !!", " ...")

WRONG_LABELS = 0.01


def message(rng: random.Random) -> tuple[str, set[str]]:
    """One message and its labels."""
    kinds = rng.sample(list(_CLAUSES), k=rng.choice((1, 1, 2)))
    clauses = []
    for kind in kinds:
        phrases, things = _CLAUSES[kind]
        clauses.append(rng.choice(phrases).format(it=rng.choice(things), place=rng.choice(_PLACES)))
    text = rng.choice((". ", ", ", " - ")).join(clauses) + rng.choice(_TAGS)
    wrong = {label for label in LABELS if rng.random() < WRONG_LABELS}
    labels = ({kind for kind in kinds if kind}) ^ wrong
    return (text.lower() if rng.random() < 0.3 else text[0].upper() + text[1:]), labels


def write_family(
    folder: Path, rows: dict[str, int], source_rows: dict[str, int], target_rows: int, targets: tuple[str, ...], seed: int
) -> Path:
    """Write the messages as CSV and a tasks.toml with a binary task for each label, and return the path of the tasks.toml.

    Args:
        folder: folder for the files; created if needed.
        rows: number of messages by split.
        source_rows: number of these rows that a source keeps, by split.
        target_rows: number of training rows that a target keeps; it keeps all rows of the other splits.
        targets: labels that are targets; every label is a source.
        seed: the same seed writes the same files.
    """
    folder.mkdir(parents=True, exist_ok=True)
    rng = random.Random(seed)
    for split, number in rows.items():
        with (folder / f"{split}.csv").open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["text", *LABELS])
            for _ in range(number):
                text, labels = message(rng)
                writer.writerow([text, *(int(label in labels) for label in LABELS)])
    entries = [
        f'[[task]]\nkind = "multilabel"\nlabels = {_toml(LABELS)}\nrole = "source"\n',
        *(
            f'[[task]]\nname = "{name}"\nkind = "multilabel"\nlabels = {_toml(LABELS)}\nlabel = "{name}"\nrole = "target"\n'
            for name in targets
        ),
    ]
    head = (
        'train = "train.csv"\nvalidation = "validation.csv"\ntest = "test.csv"\n'
        f"rows = {_caps(source_rows)}\ntarget_rows = {_caps(rows | {'train': target_rows})}\n"
    )
    path = folder / "tasks.toml"
    path.write_text("\n".join([head, *entries]), encoding="utf-8")
    return path


def _caps(rows: dict[str, int]) -> str:
    return "{ " + ", ".join(f"{split} = {number}" for split, number in rows.items()) + " }"


def _toml(names: tuple[str, ...]) -> str:
    return "[" + ", ".join(f'"{name}"' for name in names) + "]"
