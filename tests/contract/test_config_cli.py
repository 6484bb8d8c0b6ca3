"""`sftpd init` and `sftpd check`, as processes of their own but for the many mistakes."""

import json
import os
import shutil
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

import argon2
import daemon
import pytest

from sftpd.cli.main import run

KEYS = ["config", "host", "port", "user", "identity_file", "known_hosts", "inbound", "outbound", "link"]


def sftpd(*arguments: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "sftpd", *arguments],
        env=os.environ | environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
    )


@pytest.fixture(scope="session")
def pristine_instance(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("pristine") / "instance"
    made = sftpd("init", root, "--json")
    assert (made.returncode, made.stderr) == (0, "")
    return root


@pytest.fixture
def root(pristine_instance: Path, tmp_path: Path) -> Path:
    return shutil.copytree(pristine_instance, tmp_path / "instance")


def check(root: Path) -> subprocess.CompletedProcess[str]:
    return daemon.command("check", "--config", str(root / "sftpd.toml"))


def test_init_prints_one_object_of_existing_absolute_paths(tmp_path: Path) -> None:
    made = json.loads(sftpd("init", tmp_path / "x", "--listen", "127.0.0.1:0", "--json").stdout)
    assert list(made) == KEYS
    assert (made["host"], made["user"], made["link"]) == ("127.0.0.1", "demo", "demo")
    assert made["port"] > 0
    for key in ("config", "identity_file", "known_hosts", "inbound", "outbound"):
        assert Path(made[key]).is_absolute()
        assert Path(made[key]).exists()


def test_a_watched_folder_on_another_file_system_is_named(root: Path) -> None:
    with tempfile.TemporaryDirectory(dir="/dev/shm") as elsewhere:
        if Path(elsewhere).stat().st_dev == root.stat().st_dev:
            pytest.skip("there is one file system only")
        watched = root / "links/demo/outbound"
        watched.rmdir()
        watched.symlink_to(elsewhere)
        checked = check(root)
    assert checked.returncode == 2
    assert f"{watched}: lies on another file system" in checked.stderr


def test_init_makes_keys_that_openssh_takes_and_that_belong_together(root: Path) -> None:
    keys = root / "keys"
    for name in ("host_ed25519", "audit_ed25519", "demo_partner_ed25519"):
        assert stat.S_IMODE((keys / name).stat().st_mode) == 0o600
    derived = {
        name: subprocess.run(
            ["ssh-keygen", "-y", "-f", keys / name], capture_output=True, text=True, check=True
        ).stdout.split()[1]
        for name in ("host_ed25519", "demo_partner_ed25519")
    }
    assert (keys / "demo_partner_ed25519.pub").read_text().split()[1] == derived["demo_partner_ed25519"]
    assert (keys / "known_hosts").read_text().split() == [
        "[127.0.0.1]:2222",
        "ssh-ed25519",
        derived["host_ed25519"],
    ]


def test_init_prints_a_command_that_a_shell_splits_rightly(tmp_path: Path) -> None:
    made = sftpd("init", tmp_path / "a folder")
    (line,) = (line for line in made.stdout.splitlines() if "sftp -i" in line)
    words = subprocess.run(
        ["sh", "-c", f"printf '%s\\n' {line.partition('sftp ')[2]}"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()
    assert words == [
        "-i", f"{tmp_path}/a folder/keys/demo_partner_ed25519", "-o", "IdentitiesOnly=yes",
        "-o", f'UserKnownHostsFile="{tmp_path}/a folder/keys/known_hosts"', "-P", "2222", "demo@127.0.0.1",
    ]  # fmt: skip


def test_init_leaves_a_folder_with_anything_in_it_alone(root: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in root.rglob("*")}
    refused = sftpd("init", root)
    assert refused.returncode == 1
    assert refused.stderr == f"sftpd: {root}: the folder is not empty; name a new or an empty folder\n"
    assert {path: path.stat().st_mtime_ns for path in root.rglob("*")} == before


def test_a_new_instance_is_valid_by_option_and_by_environment(root: Path) -> None:
    valid = "config is valid: 1 link, 1 account, 0 remotes, 1 route\n"
    assert sftpd("check", SFTPD_CONFIG=str(root / "sftpd.toml")).stdout == valid
    assert sftpd("check", "--config", root / "sftpd.toml").stdout == valid
    document = json.loads(sftpd("check", "--json", "--config", root / "sftpd.toml").stdout)
    assert (document["valid"], document["faults"], document["links"]) == (True, [], 1)


INSTANCE, LINK = "sftpd.toml", "links.d/demo.toml"
MORE_ACCOUNTS = '[[account]]\nname = "demo"\nkeys = ["file:keys/demo_partner_ed25519.pub"]\n[[route]]'
MISTAKES = {
    "wrong type": (
        INSTANCE,
        'time_zone = "Europe/Amsterdam"',
        "time_zone = 1",
        5,
        "instance.time_zone: found 1",
    ),
    "unknown key": (
        INSTANCE,
        "[audit]",
        "max_sesions = 5\n[audit]",
        13,
        'server: unknown key "max_sesions"; did you mean "max_sessions"?',
    ),
    "missing key": (INSTANCE, 'name = "demo.local"', "", 3, 'instance: required key "name" is missing'),
    "missing key file": (INSTANCE, "host_ed25519", "absent", 11, "server.host_keys[0]: cannot read"),
    "address": (INSTANCE, "127.0.0.1:2222", "127.0.0.1", 10, "server.listen[0]: found"),
    "syntax": (LINK, "[policy]", "[policy", 10, "not TOML: "),
    "duplicate account": (
        LINK,
        "[[route]]",
        MORE_ACCOUNTS,
        19,
        'account[1].name: found "demo", which is already',
    ),
    "choice": (
        LINK,
        "settle = 1.0",
        'after = "burn"',
        23,
        'route[0].after: found "burn", allowed: archive, remove',
    ),
    "network": (
        LINK,
        "[[route]]",
        'networks = ["10.0.0.0/33"]\n[[route]]',
        18,
        "account[0].networks[0]: found",
    ),
    "period": (LINK, "P90D", "90D", 33, 'retention[0].period: found "90D"'),
    "unknown remote": (
        LINK,
        'to = "download"',
        'to = "remote:nobody"',
        22,
        'route[0].to: unknown remote "nobody"',
    ),
    "no purpose": (
        LINK,
        "purpose =",
        "# purpose =",
        3,
        "link: personal_data is true, so purpose must be given",
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_gives_one_clear_line_and_exit_code_2(root: Path, mistake: str) -> None:
    name, old, new, line, text = MISTAKES[mistake]
    content = (root / name).read_text()
    assert content.count(old) == 1
    (root / name).write_text(content.replace(old, new))
    refused = check(root)
    assert (refused.returncode, refused.stdout) == (2, "")
    assert refused.stderr.count("\n") == 1
    assert refused.stderr.startswith(f"{name}:{line}: {text}")


def test_check_gives_faults_as_json(root: Path) -> None:
    (root / LINK).unlink()
    refused = sftpd("check", "--json", "--config", root / INSTANCE)
    assert refused.returncode == 2
    assert json.loads(refused.stdout) == {
        "valid": False,
        "faults": ["links.d: no link, allowed: one file NAME.toml for each"],
    }


@pytest.mark.parametrize(
    "command", ["host-key add", "account totp-secret demo", "account new-password demo", "vault new-key"]
)
def test_a_secret_that_is_made_for_a_service_is_a_credential_of_its_unit(
    root: Path, command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    config = root / INSTANCE
    here = ["--config", str(config)]
    assert run([*command.split(), str(root / "keys/own"), "--json", *here]) == 0
    own = json.loads(capsys.readouterr().out)
    assert (own["set"][0].count(f'"file:{root}/keys/own"'), own["drop_in"]) == (1, [])
    config.write_text(config.read_text().replace("file:keys/", "credential:"))
    assert run([*command.split(), "its", "--json", *here]) == 0
    made = json.loads(capsys.readouterr().out)
    path = root / "keys/its"
    assert (made["file"], stat.S_IMODE(path.stat().st_mode)) == (str(path), 0o600)
    assert made["set"][0].count('"credential:its"') == 1
    assert made["drop_in"] == ["[Service]", f"LoadCredential=its:{path}"]
    assert run([*command.split(), "other", *here]) == 0
    assert capsys.readouterr().out.count(f"  LoadCredential=other:{root}/keys/other\nand restart.\n") == 1
    assert run([*command.split(), "other", *here]) == 1
    assert "expected a new file in a folder that exists" in capsys.readouterr().err


def test_a_password_that_is_made_logs_in_by_the_hash_that_is_kept(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert (
        run(
            ["account", "new-password", "demo", str(root / "new"), "--json", "--config", str(root / INSTANCE)]
        )
        == 0
    )
    made = json.loads(capsys.readouterr().out)
    link = root / LINK
    link.write_text(link.read_text().replace("keys = [", made["set"][0] + "\nkeys = [", 1))
    assert check(root).returncode == 0
    assert argon2.PasswordHasher().verify((root / "new").read_text().strip(), made["password"])


def test_a_secret_of_an_account_that_does_not_exist_is_not_made(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code = run(["account", "totp-secret", "dem", str(root / "new"), "--config", str(root / INSTANCE)])
    assert (code, (root / "new").exists()) == (1, False)
    assert capsys.readouterr().err == "sftpd: ACCOUNT: no account 'dem'; expected one of demo\n"


@pytest.mark.parametrize(
    "arguments", [["chek"], ["init"], ["check", "--confg", "x"], ["init", "x", "--listen", "nowhere"]]
)
def test_bad_usage_ends_with_2_and_without_a_traceback(arguments: list[str]) -> None:
    refused = sftpd(*arguments)
    assert refused.returncode == 2
    assert "Traceback" not in refused.stderr


def test_the_help_text_lists_commands_without_loading_them() -> None:
    code = "import sys; from sftpd.cli.main import run; run(['--help']); print(sorted(sys.modules))"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert "Check the configuration" in shown
    assert not [name for name in ("pydantic", "cryptography", "rich.console") if f"'{name}'" in shown]


def test_the_hooks_are_listed_without_loading_what_works_on_the_ledger(root: Path) -> None:
    code = "import sys; from sftpd.cli.main import run; run(sys.argv[1:]); print(sorted(sys.modules))"
    words = ["hook", "list", "--config", root / INSTANCE]
    command = [sys.executable, "-c", code, *words]
    shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert "pre-receive" in shown
    assert not [name for name in ("sqlalchemy", "paramiko") if f"'{name}'" in shown]


def test_a_reader_who_leaves_early_is_no_error(root: Path) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, "-m", "sftpd", "check", "--config", root / INSTANCE]
    try:
        ended = subprocess.run(command, stdout=writing, stderr=subprocess.PIPE, text=True)
    finally:
        os.close(writing)
    assert ended.stderr == ""


def test_the_version_is_shown() -> None:
    assert sftpd("--version").stdout.startswith("sftpd ")
