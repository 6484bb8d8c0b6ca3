"""Works that wait for answers take turns, each as if it were alone."""

import gc

import pytest

from sftpd.errors import RemoteError
from sftpd.ssh.courier_strands import together


class Server:
    """Answers each request once somebody waits for it, and remembers in which order that was."""

    def __init__(self):
        self.wait_for = self.have_answered
        self.asked, self.seen = [], []
        self.lost_at = None

    def ask(self, what):
        self.asked.append(what)
        number = len(self.asked) - 1
        self.wait_for(number, 0.0)
        return self.asked[number]

    def have_answered(self, number, more_patience=0.0):
        if self.asked[number] == self.lost_at:
            raise EOFError("lost")
        self.seen.append((len(self.asked), self.asked[number]))


def test_all_have_asked_before_the_first_is_waited_for():
    server = Server()

    def work(name):
        return [server.ask(f"{name}{step}") for step in range(3)]

    done = together(server, [lambda name=name: work(name) for name in "abc"])
    assert done == [["a0", "a1", "a2"], ["b0", "b1", "b2"], ["c0", "c1", "c2"]]
    assert server.asked == ["a0", "b0", "c0", "a1", "b1", "c1", "a2", "b2", "c2"]
    assert server.seen[0] == (3, "a0")
    assert server.wait_for == server.have_answered


def test_one_that_fails_costs_no_other():
    server = Server()

    def failing():
        server.ask("x")
        raise RemoteError("no room")

    failed, done = together(server, [failing, lambda: server.ask("a") + server.ask("b")])
    assert (str(failed), done) == ("no room", "ab")


def test_a_connection_that_is_lost_ends_all_and_leaves_the_conversation_as_it_was():
    server, ended = Server(), []
    server.lost_at = "b1"

    def work(name):
        try:
            return server.ask(f"{name}0") + server.ask(f"{name}1")
        finally:
            ended.append(name)

    with pytest.raises(EOFError):
        together(server, [lambda name=name: work(name) for name in "abc"])
    gc.collect()
    assert sorted(ended) == ["a", "b", "c"]
    assert server.wait_for == server.have_answered


def test_what_needs_no_answer_is_done_at_once():
    assert together(Server(), [lambda: 1, lambda: 2]) == [1, 2]
