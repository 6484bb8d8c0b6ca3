"""The configuration of a link's deletion requests; the text below a key is its documentation."""

from pydantic import Field

from sftpd.config.requests_model import RequestsSection
from sftpd.config.values import CalendarPeriod, ConfigPath, Flag
from sftpd.periods import Period


class ErasureSection(RequestsSection):
    """Deletion requests on this link."""

    require_second_person: Flag = False
    """Whether a request must be approved by another person than the one who opened it."""
    also_search: tuple[ConfigPath, ...] = Field(default=(), examples=[["/srv/reports"]])
    """Further folders with copies of received files, which are searched too."""
    acknowledge_within: CalendarPeriod = Period(months=1)
    """How long the recipient of a notice may take to acknowledge it; then it is told that it is overdue."""
    keep_certificates: CalendarPeriod = Period(years=5)
    """How long the certificate, and what is left of a request, is kept after its answer."""
