"""Which folders are watched, against a dictionary that is looked through in full."""

import sys
from contextlib import contextmanager

from hypothesis import example, given
from hypothesis import strategies as st

from sftpd.watch.observation import _Watches

folders = st.lists(st.sampled_from([b"a", b"b", b"ab"]), max_size=3).map(
    lambda parts: b"/".join([b"/r", *parts])
)
steps = st.lists(st.tuples(st.sampled_from(["put", "pop", "move"]), folders, st.integers(1, 9)), max_size=40)


def leads_to(model, folder, path):
    """Whether a path is below a folder, and all between them are watched too."""
    return path == folder or (path in model and leads_to(model, folder, path.rpartition(b"/")[0]))


@given(steps)
@example([("put", b"/r/a", 1), ("put", b"/r/a/b", 2), ("put", b"/r/ab", 3), ("move", b"/r/a", 1)])
@example([("put", b"/r/a", 1), ("put", b"/r/a/b", 2), ("put", b"/r/b", 1), ("move", b"/r/a", 1)])
def test_a_folder_has_one_number_and_what_is_below_it_is_found(steps):
    watches, model = _Watches(), {}
    for step, folder, number in steps:
        if step == "put":
            watches.put(folder, number)
            model = {path: n for path, n in model.items() if n != number} | {folder: number}
        elif step == "pop":
            assert watches.pop(folder) == model.pop(folder, None)
        else:
            gone = watches.below(folder)
            assert {path for path in model if leads_to(model, folder, path)} <= {*gone}
            assert all(path == folder or path.startswith(folder + b"/") for path in gone)
            for path in gone:
                watches.pop(path)
                model.pop(path, None)
        assert sorted(watches) == sorted(model)
        assert len(watches) == len(model)
        assert {n: watches.folder(n) for n in range(1, 10)} == {
            n: next((path for path, of in model.items() if of == n), None) for n in range(1, 10)
        }


@contextmanager
def counted():
    """How many instructions Python runs within."""
    count = [0]

    def trace(frame, event, argument):
        frame.f_trace_opcodes = True
        count[0] += event == "opcode"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        yield count
    finally:
        sys.settrace(before)


def test_one_that_goes_costs_as_much_beside_a_thousand_as_beside_ten():
    costs = []
    for beside in (10, 1000):
        watches = _Watches()
        for number in range(beside):
            watches.put(b"/r/%d" % number, number)
        with counted() as count:
            for path in watches.below(b"/r/5"):
                watches.pop(path)
        costs.append(count[0])
    assert costs[0] == costs[1] > 0
