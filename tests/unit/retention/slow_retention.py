"""A second, slow model of retention: a calendar written day by day, and clocks watched as they go on.

It shares nothing with what it judges but the plain data of files, rules and holds.
"""

from datetime import UTC, date, datetime, timedelta
from functools import lru_cache

from sftpd.retention.rule import BusinessDate, LastAccess, LinkClosed, Term

LENGTHS = {1: 31, 2: 28, 3: 31, 4: 30, 5: 31, 6: 30, 7: 31, 8: 31, 9: 30, 10: 31, 11: 30, 12: 31}
QUARTER, MINUTE = timedelta(minutes=15), timedelta(minutes=1)
STRENGTH = {"dispose": 1, "return": 2, "review": 3}


def calendar(first, last):
    """Every day from the first of one year to the last of another, one after another."""
    days, year, month, day = [], first, 1, 1
    while year <= last:
        days.append((year, month, day))
        leap = year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
        day += 1
        if day > LENGTHS[month] + (1 if month == 2 and leap else 0):
            month, day = month + 1, 1
        if month > 12:
            year, month = year + 1, 1
    return days


DAYS = calendar(1850, 2400)
AT = {day: number for number, day in enumerate(DAYS)}
MONTHS: dict = {}
for _day in DAYS:
    MONTHS.setdefault(_day[:2], []).append(_day)


def number_of(day: date) -> int:
    return AT[day.year, day.month, day.day]


def months_on(number, count):
    """The same day of the month so many months on, or the last one if the month has no such day."""
    year, month, day = DAYS[number]
    for _ in range(count):
        year, month = (year + 1, 1) if month == 12 else (year, month + 1)
    in_month = MONTHS[year, month]
    return AT[next((d for d in in_month if d[2] == day), in_month[-1])]


@lru_cache(None)
def midnight(number, zone):
    """When clocks first show the day of that number, or a later one."""
    year, month, day = DAYS[number]
    moment = datetime(year, month, day, tzinfo=UTC) - timedelta(hours=30)
    shown = lambda at: at.astimezone(zone).date() >= date(year, month, day)  # noqa: E731 (one line, used twice)
    while not shown(moment):
        moment += QUARTER
    moment -= QUARTER
    while not shown(moment):
        moment += MINUTE
    return moment


def local_day(moment, zone):
    return number_of(moment.astimezone(zone).date())


def end(period, start, zone):
    elapsed = timedelta(hours=period.hours, minutes=period.minutes, seconds=period.seconds)
    counts_days = period.years or period.months or period.weeks or period.days
    if not counts_days:
        return start + elapsed
    number = months_on(local_day(start, zone), period.years * 12 + period.months)
    for _ in range(period.weeks * 7 + period.days):
        number += 1
    if not elapsed:
        return midnight(number + 1, zone)
    clock = start.astimezone(zone)
    wall = clock.replace(year=DAYS[number][0], month=DAYS[number][1], day=DAYS[number][2], tzinfo=None)
    return (wall - zone.utcoffset(wall)).replace(tzinfo=UTC) + elapsed


def year_closes(number, year_end):
    """Go on day by day until one is the last of a financial year."""
    while True:
        year, month, day = DAYS[number]
        last = MONTHS[year, month][-1][2]
        if month == year_end.month and day == min(year_end.day, last):
            return number
        number += 1


def matches(glob, text):
    if not glob:
        return not text
    if glob[0] == "*":
        return any(matches(glob[1:], text[skip:]) for skip in range(len(text) + 1))
    if not text:
        return False
    if glob[0] == "[":
        inside, _, rest = glob[1:].partition("]")
        return text[0] in inside and matches(rest, text[1:])
    return glob[0] in ("?", text[0]) and matches(glob[1:], text[1:])


def fits(glob, file):
    path = file.path.decode("latin-1")
    return matches(glob, path if "/" in glob else path.split("/")[-1])


def covers(rule, file):
    if rule.link != file.link:
        return False
    if rule.folder is not None and rule.folder != file.folder:
        return False
    if rule.account is not None and rule.account != file.peer:
        return False
    if rule.file_class is not None and not any(fits(glob, file) for glob in rule.file_class.globs):
        return False
    return fits(rule.glob, file)


def stands(hold, now):
    return hold.released_at is None and (hold.until is None or now < hold.until)


def is_held(hold, file):
    """Whether a hold is on the file, kind by kind as docs/retention.md says."""
    if hold.link != file.link:
        return False
    scope = hold.scope
    match scope.kind:
        case "link":
            return True
        case "file":
            return scope.file == file.id
        case "transfer":
            return scope.transfer == file.id
        case "folder":
            return scope.folder == file.folder
        case "account":
            return scope.account == file.peer
        case "subject":
            return scope.searched_at is None or is_theirs(scope, file)
        case "query":
            return is_asked_for(scope, file)


def is_theirs(scope, file):
    if file.id and not file.received_at < scope.searched_at:
        return True
    return any(
        folder == file.folder and (place in (b"", file.path) or file.path.startswith(place + b"/"))
        for folder, place in scope.places
    )


def is_asked_for(scope, file):
    if scope.folder is not None and scope.folder != file.folder:
        return False
    if scope.account is not None and scope.account != file.peer:
        return False
    if scope.glob is not None and not fits(scope.glob, file):
        return False
    if scope.since is not None and (not file.id or file.received_at < scope.since):
        return False
    return scope.before is None or (bool(file.id) and file.received_at < scope.before)


def in_force(rule, rules, file):
    """Whether no later version had begun when the file came, and this one had."""
    came = date(*DAYS[local_day(file.received_at, rule.zone)])
    begun = [
        other
        for other in rules
        if other.id == rule.id
        and other.link == rule.link
        and (other.effective is None or other.effective <= came)
    ]
    return bool(begun) and rule == max(begun, key=lambda other: other.effective or date(1, 1, 1))


def beats(one, other):
    """Whether a rule is more specific than another."""
    for part in ("file_class", "account", "folder"):
        here, there = getattr(one, part) is not None, getattr(other, part) is not None
        if here != there:
            return here
    here, there = (sum(c not in "*?[]" for c in rule.glob) for rule in (one, other))
    return here > there


def dated(pattern, name):
    """The first place in the name that reads as the pattern says, by trying all."""
    text = name.decode("latin-1")
    for start in range(len(text)):
        for stop in range(start + 1, len(text) + 1):
            try:
                read = datetime.strptime(text[start:stop], pattern)  # noqa: DTZ007 (a civil day)
            except ValueError:
                continue
            alone = not (
                (pattern.startswith("%") and text[start - 1 : start].isdigit())
                or (pattern[-2:-1] == "%" and text[stop : stop + 1].isdigit())
            )
            if read.strftime(pattern) == text[start:stop] and alone and 1900 <= read.year < 3000:
                return read.date()
    return None


def begins(rule, file, closings):
    trigger = rule.term.trigger
    if isinstance(trigger, LinkClosed):
        return closings.get(file.link)
    if isinstance(trigger, LastAccess) and file.accessed_at is not None:
        return max(file.received_at, file.accessed_at)
    if isinstance(trigger, BusinessDate):
        day = dated(str(trigger.pattern), file.path.split(b"/")[-1])
        if day is not None:
            return midnight(number_of(day), rule.zone)
    return file.received_at


def ends(rule, file, closings):
    """Until when the rule keeps the file (None: not at all) and when it wants it gone; "never" is text."""
    term, received = rule.term, file.received_at
    least = None if term.at_least is None else end(term.at_least, received, rule.zone)
    most = None if term.at_most is None else end(term.at_most, received, rule.zone)
    if isinstance(term, Term):
        start = begins(rule, file, closings)
        moment = "never"
        if start is not None:
            if term.year_end is not None:
                start = midnight(year_closes(local_day(start, rule.zone), term.year_end), rule.zone)
            moment = end(term.period, start, rule.zone)
        if most is not None and (moment == "never" or moment > most):
            moment = most
        if least is not None and moment != "never" and moment < least:
            moment = least
        return moment, moment
    return least, most if least is None or least < most else least


def decide(file, rules, holds, now, closings):
    """(action, due, id and version of the rule that governs)."""
    found = [rule for rule in rules if covers(rule, file) and in_force(rule, rules, file)]
    found = [rule for rule in found if not any(beats(other, rule) for other in found)]
    if not found:
        return "keep", None, None
    both = [(rule, *ends(rule, file, closings)) for rule in found]
    kept = [retain for _, retain, _ in both if retain is not None]
    gone = [delete for _, _, delete in both if delete != "never"]
    due = "never" if "never" in kept else max([*kept, min(gone)])
    speaking = [rule for rule, retain, delete in both if due in (retain, delete)]
    rule = max(speaking, key=lambda one: (STRENGTH[one.action], one.id, one.version))
    if due == "never":
        return "keep", None, (rule.id, rule.version)
    held = any(stands(hold, now) and is_held(hold, file) for hold in holds)
    return "keep" if held or now < due else rule.action, due, (rule.id, rule.version)
