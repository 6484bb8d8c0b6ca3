"""What the documentation shows of the configuration is valid."""

import re
import tomllib
from pathlib import Path

from sftpd.config.link_model import OutboundSection

WATCHING = Path(__file__).parents[3] / "docs/watching.md"
KEYS = {
    "include", "exclude", "recursive", "layout", "order", "settle", "minimum_age", "overdue_after",
    "done_file", "temporary", "wait_for_writers", "zero_byte", "watch", "poll_every",
}  # fmt: skip


def test_the_route_in_the_chapter_on_watched_folders_is_valid_and_has_every_key_of_watching():
    (block,) = re.findall(r"```toml\n(.*?)```", WATCHING.read_text(), re.DOTALL)
    (route,) = tomllib.loads(block)["route"]
    OutboundSection.model_validate(route)
    assert set(OutboundSection.model_fields) >= KEYS
    assert route.keys() >= KEYS
    for key in KEYS:
        assert f"`{key}" in WATCHING.read_text(), key
