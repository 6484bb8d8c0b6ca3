"""What the configuration of a link says of its files, in the words of deletion requests."""

from sftpd.config.erasure_model import ErasureSection, FixedWidthSection
from sftpd.erasure.layouts import Column, FixedWidth, Layout, Numbers


def layouts(erasure: ErasureSection) -> list[Layout]:
    """What the configuration of a link says of its files."""
    return [*map(_layout, erasure.fixed_width), *(Numbers(each.column, each.of) for each in erasure.numbers)]


def _layout(section: FixedWidthSection) -> FixedWidth:
    columns = tuple(Column(column.name, column.start, column.width) for column in section.columns)
    counts = None
    if section.count_start is not None:
        counts = Column("count", section.count_start, section.count_width)
    return FixedWidth(section.glob, columns, section.header, section.trailer, counts)
