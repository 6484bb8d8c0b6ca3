"""From a link's retention rules as they are configured to those that retention reasons with."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Literal

import sqlalchemy as sa

from sftpd.config.faults import Fault
from sftpd.config.link_model import LinkFile
from sftpd.config.load import LINKS_FOLDER, Config
from sftpd.config.presets import Preset
from sftpd.config.rules_model import ClassSection, RetentionSection
from sftpd.config.rules_values import Trigger as TriggerSetting
from sftpd.errors import ConfigError
from sftpd.ledger.writer import Unit
from sftpd.retention import versions
from sftpd.retention.rule import (
    Action,
    BusinessDate,
    FileClass,
    LastAccess,
    Limit,
    LinkClosed,
    Received,
    Rule,
    Term,
    Trigger,
)

_ACTIONS: Mapping[Literal["delete", "review", "return"], Action] = MappingProxyType(
    {"delete": "dispose", "review": "review", "return": "return"}
)
_TRIGGERS: Mapping[str, Trigger] = MappingProxyType(
    {"received": Received(), "last_access": LastAccess(), "link closed": LinkClosed()}
)


def build_rules(config: Config) -> list[Rule]:
    """The retention rules of all links."""
    return [_rule(section, config, file) for file in config.links for section in file.retention]


def rule_faults(conn: sa.Connection, config: Config) -> list[str]:
    """A line for each rule that was changed and has the version under which it was used before."""
    rules = build_rules(config)
    return [_fault(rule, rules, version) for rule, version in versions.changed(conn, rules)]


def require_unchanged(conn: sa.Connection, config: Config) -> None:
    """Pass if each version of a rule is what it was. Raises ConfigError."""
    faults = rule_faults(conn, config)
    if faults:
        raise ConfigError(faults)


def use(unit: Unit, config: Config) -> None:
    """Have the versions of the rules mean from now on what they say. Raises as `require_unchanged`."""
    require_unchanged(unit.conn, config)
    versions.enter(unit, build_rules(config))


def _fault(rule: Rule, rules: Sequence[Rule], version: int | None) -> str:
    index = [one for one in rules if one.link == rule.link].index(rule)
    remedy = "leave it as it was then" if version is None else f"raise its version to {version}"
    text = f"{rule} was another rule when it was first used; {remedy}"
    return str(Fault(f"{LINKS_FOLDER}/{rule.link}.toml", 0, f"retention[{index}]", text))


def _rule(section: RetentionSection, config: Config, file: LinkFile) -> Rule:
    return Rule(
        id=section.name,
        version=section.version,
        link=file.name,
        folder=section.folder,
        glob=section.glob,
        term=_term(section),
        action=_ACTIONS[section.action],
        mandate=_mandate(section),
        zone=config.zone(file),
        account=section.account,
        file_class=next((_class(one) for one in file.classes if one.name == section.file_class), None),
        effective=section.effective,
        returned_for=section.returned_for,
        return_by=section.return_by,
    )


def _term(section: RetentionSection) -> Term | Limit:
    given, year_end = section.period, section.year_end
    if given is None:
        assert section.max_keep is not None
        return Limit(section.max_keep, section.min_keep)
    if isinstance(given, Preset):
        year_end = year_end or given.year_end
        given = given.period
    return Term(given, _trigger(section.trigger), year_end, section.min_keep, section.max_keep)


def _trigger(setting: TriggerSetting) -> Trigger:
    return _TRIGGERS[setting.kind] if setting.pattern is None else BusinessDate(setting.pattern)


def _class(section: ClassSection) -> FileClass:
    return FileClass(section.name, section.globs)


def _mandate(section: RetentionSection) -> str:
    source = section.period.mandate if isinstance(section.period, Preset) else None
    return "; ".join(part for part in (source, section.mandate) if part is not None)
