"""What records managers read in docs/retention.md is what the code does."""

import re
import tomllib
from pathlib import Path

import pytest

from sftpd.config.presets import PRESETS
from sftpd.config.rules_model import ClassSection, RetentionSection
from sftpd.retention.precedence import PRECEDENCE, SPECIFICITY

TEXT = (Path(__file__).parents[3] / "docs/retention.md").read_text()


def rows(head):
    """The rows of the table whose first column has this head."""
    table = re.search(rf"^\| {re.escape(head)} \|.*\n\|[-|]+\n((?:\|.*\n)+)", TEXT, re.MULTILINE)
    assert table is not None
    return [tuple(cell.strip() for cell in line.strip("|").split("|")) for line in table[1].splitlines()]


def test_the_precedence_is_the_table_of_the_code():
    assert rows("step") == list(PRECEDENCE)
    assert rows("trait") == [(trait.name, trait.meaning) for trait in SPECIFICITY]


def test_each_preset_is_there_with_its_source():
    written = {row[0].strip('`"'): row for row in rows("`period`")}
    assert written.keys() == PRESETS.keys()
    for name, preset in PRESETS.items():
        assert written[name][1].startswith(f"{preset.period.years} years")
        assert written[name][2] == preset.mandate


@pytest.mark.parametrize("block", re.findall(r"```toml\n(.*?)```", TEXT, re.DOTALL))
def test_the_examples_are_valid(block):
    document = tomllib.loads(block)
    for section in document.get("class", ()):
        ClassSection.model_validate(section)
    for section in document["retention"]:
        RetentionSection.model_validate(section)


@pytest.mark.parametrize("action", ["delete", "review", "return"])
def test_each_action_is_told_of(action):
    assert f'`"{action}"`' in [row[0] for row in rows("`action`")]
