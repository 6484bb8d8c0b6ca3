"""Retention periods that the law or a norm sets, each with its source."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from sftpd.periods import Period, YearEnd


@dataclass(frozen=True, slots=True)
class Preset:
    """A period under a name, and its source; with `year_end` it begins at the end of the financial year."""

    name: str
    period: Period
    mandate: str
    year_end: YearEnd | None = None

    def __str__(self) -> str:
        return self.name


PRESETS: Mapping[str, Preset] = MappingProxyType(
    {
        preset.name: preset
        for preset in (
            Preset(
                "fiscal",
                Period(years=7),
                "Algemene wet inzake rijksbelastingen art. 52 lid 4; Burgerlijk Wetboek 2:10 lid 3",
                YearEnd(12, 31),
            ),
            Preset(
                "care-logging",
                Period(years=5),
                "Besluit elektronische gegevensverwerking door zorgaanbieders art. 5 lid 2;"
                " Stcrt. 2019, 38007; NEN 7513",
            ),
            Preset(
                "incident",
                Period(years=3),
                "Baseline Informatiebeveiliging Overheid 16.1.7.1",
            ),
        )
    }
)
"""The presets by name. The periods are the least that their sources ask for."""
