"""The generated corpus of persons: all of hers goes in every format, nested or not, and nothing else."""

import erasure_scene
import person_corpus
import pytest
from erasure_scene import KEY, RECEIVED

from sftpd.erasure.certificate import verify
from sftpd.erasure.plan import LEFT_BEHIND
from sftpd.erasure.request import State


def erase(root, files: int, seed: int) -> None:
    given = person_corpus.generate(files, seed)
    with erasure_scene.scene(root) as scene:
        given.write(root / "inbound")
        request = scene.approved(*given.identifiers)
        assert scene.desk.run(request).state is State.CLOSED
        given.check(root / "inbound")
        signed = verify(scene.desk.show(request).certificate.encode(), KEY.verifier)
        assert signed.second_search.remaining == 0
        assert {entry.reason.rpartition(": ")[2] for entry in signed.unsearchable} <= {"it is not XML"}
        again = scene.desk.open("demo", given.identifiers, RECEIVED, "opener")
        assert not [step for step in scene.desk.find(again) if step.action in LEFT_BEHIND]


def test_the_corpus_leaves_what_others_wrote(tmp_path):
    erase(tmp_path, 120, seed=1)


@pytest.mark.soak
def test_the_corpus_of_twenty_thousand_files_leaves_what_others_wrote(tmp_path):
    erase(tmp_path, 20_000, seed=2)


def test_a_seed_always_makes_the_same_corpus():
    first, second = person_corpus.generate(50, 3), person_corpus.generate(50, 3)
    assert first == second
    assert person_corpus.generate(50, 4) != first
