"""docs/installation.md, followed to the letter on a machine with systemd: what it leads to takes in files."""

import os
import re
import shlex
import subprocess
from pathlib import Path
from typing import NamedTuple

import pytest

REPOSITORY = Path(__file__).parents[2]
GUIDE = (REPOSITORY / "docs/installation.md").read_text() + (REPOSITORY / "docs/backup.md").read_text()
PYTHON = "/usr/bin/python3"
"""Of the system: one in a home directory, where developers may have theirs, is hidden from services."""
HIDDEN = Path("/home") / "anna"
PATIENCE = 600.0
PARTNER = (
    "sftp -b - -F none -P 2222 -i /opt/partner -o StrictHostKeyChecking=no"
    " -o UserKnownHostsFile=/dev/null partner@127.0.0.1"
)
LINK = "/var/lib/sftpd/links/partner"


def blocks(under: str, kind: str = "sh") -> list[str]:
    """What the guide shows under a heading."""
    (section,) = re.findall(rf"(?ms)^## {under}$(.*?)(?:^## |\Z)", GUIDE)
    return re.findall(rf"```{kind}\n(.*?)```", section, re.DOTALL)


def commands(under: str, block: int = 0) -> list[str]:
    """The commands of one of the guide's blocks under a heading, as root gives them."""
    return re.sub(r"(?m)^sudo ", "", blocks(under)[block].replace("\\\n", "")).splitlines()


def remote() -> str:
    """What makes a remote, as the guide has it, of our own server in place of the partner's."""
    make, use = ("\n".join(commands("Accounts, remotes and the address", block)) for block in (0, 1))
    link = blocks("Accounts, remotes and the address", "toml")[0].replace('"example"', '"partner"')
    link = link.replace("sftp.partner.example", "127.0.0.1").replace("port = 22", "port = 2222")
    link, changed = re.subn(r"(?m)^host_keys = .*", 'host_keys = ["$(cut -d" " -f2- /opt/known)"]', link)
    assert changed
    return f"""{make}; cd /etc/sftpd/links.d
        ours=$(cat ../keys/partner_remote.pub)
        sed -i "s#^keys = .*#keys = [\\"$(cat /opt/partner.pub)\\", \\"$ours\\"]#" partner.toml
        cat >>partner.toml <<END\n{link}END
        cat >>{DROP_IN} <<END\n{blocks("Accounts, remotes and the address", "ini")[0]}END
        systemctl daemon-reload\n{use}"""


def timer() -> str:
    """The guide's units of a nightly backup, which is made at once."""
    service, when = blocks("Every night", "ini")
    units = "/etc/systemd/system/sftpd-backup"
    return f"""mkdir /backup; cat >{units}.service <<'END'\n{service}END
        cat >{units}.timer <<'END'\n{when}END
        systemd-analyze verify --man=no {units}.timer && systemctl enable --now sftpd-backup.timer &&
        systemctl start sftpd-backup &&
        CREDENTIALS_DIRECTORY=/etc/sftpd/keys sftpd backup verify /backup/*.tar"""


def restored() -> str:
    """The guide's restore of a service, with the keys that it has by then."""
    steps = "\n".join(commands("Restore")).replace("sftpd-2026-03-01", "sftpd-*").replace("KEY", '"$key"')
    replay = "\n".join(commands("Commands outside the service")).replace("host_ed25519", "host_2027")
    replay = replay.replace(
        "/usr/local/bin", "--property=LoadCredential=partner_remote:$PWD/partner_remote /usr/local/bin"
    )
    return f"""set -e; cd /etc/sftpd/keys; umask 077
        key=$(CREDENTIALS_DIRECTORY=$PWD sftpd audit verify | sed -n 's/^valid, signed by //p')
        {steps}\n{replay}\nsystemctl start sftpd; {KNOWING}; sftpd status
        sftpd retention unfreeze --reason 'nothing was held since'
        sftpd audit tail --link partner; ls -ln /var/lib/sftpd/links/partner; cat {LINK}/inbound/*"""


def edited(block: int) -> str:
    """The same for another host key, where an editor puts in what the first command printed."""
    first, *others = commands(ROTATION, block)
    put_in = {
        "systemctl edit sftpd": f"mkdir -p {DROP_IN.parent}; grep -E '^  (.Service|Load)' said >>{DROP_IN}",
        "editor /etc/sftpd/sftpd.toml": """grep -o 'host_keys.*' said | while read -r line; do
            sed -i "/^${line%% *} /d; /^.server/a $line" /etc/sftpd/sftpd.toml; done
            systemctl daemon-reload""",
    }
    steps = [f"{first} | tee said", *(put_in.get(line, line) for line in others)]
    return "\n".join(["set -eo pipefail; cd /opt", *steps]).replace("SHA256:…", "$(<first)")


def settings() -> str:
    """The guide's link, with the key that is made here."""
    (link,) = blocks("The first link", "toml")
    changed = re.sub(r"(?m)^keys = .*", 'keys = ["$(cat /opt/partner.pub)"]', link)
    assert changed != link
    return changed


class Said(NamedTuple):
    """How a command ended, and what it printed."""

    code: int
    text: str


ROTATION = "Another host key"
DROP_IN = Path("/etc/systemd/system/sftpd.service.d/override.conf")
KNOWING = "echo pwd | " + PARTNER.replace("no -o UserKnownHostsFile=/dev/null", "accept-new").replace(
    " partner@", " -o UserKnownHostsFile=/opt/known -o UpdateHostKeys=yes partner@"
)
"""The partner's command, who minds the host key once it is known."""

STEPS = {
    "start": " && ".join(commands("The first link")),
    "unreadable": """cd /etc/sftpd; mv /opt/partner.pub keys; cp links.d/partner.toml /opt
        sed -i 's#^keys = .*#keys = ["file:keys/partner.pub"]#' links.d/partner.toml
        runuser -u sftpd -- sftpd check; mv keys/partner.pub /opt; mv /opt/partner.toml links.d""",
    "modes": f"stat -c '%U %a %n' /etc/sftpd/keys /etc/sftpd/keys/* {LINK}/inbound {LINK}/outbound",
    "upload": f"""cd /opt; printf 'id,mail\\n1,jan@example.org\\n2,piet@example.org\\n' >orders.csv
        printf '%s\\n' 'put orders.csv /upload/' '-put orders.csv /upload/orders.exe' | {PARTNER}""",
    "local": f"""useradd anna && usermod --append --groups sftpd anna &&
        runuser -u anna -- sh -c 'cat {LINK}/inbound/orders.csv && echo bread >{LINK}/outbound/prices.csv'""",
    "download": f"""for _ in $(seq 100); do
            echo 'get /download/prices.csv /opt/prices.csv' | {PARTNER} 2>/dev/null && break; sleep 0.2
        done; cat /opt/prices.csv""",
    "index": """for _ in $(seq 100); do
            sftpd erasure index --json | grep -q '"indexed": 1' && break; sleep 0.2
        done; sftpd erasure index --json""",
    "erasure": f"""id=$(sftpd erasure open --link partner --identifier email=jan@example.org --json |
            sed -n 's/.*"id": "\\([^"]*\\)".*/\\1/p' | head -1)
        sftpd erasure find $id && sftpd erasure approve $id --by Ina && sftpd erasure run $id
        cat {LINK}/inbound/*""",
    "verify": GUIDE[GUIDE.index("env CREDENTIALS_DIRECTORY") :].partition("`")[0],
    "keyless": "sftpd audit verify",
    "reload": "systemctl reload sftpd && sftpd status",
    "upgrade": " && ".join(line for line in commands("Upgrade") if not line.startswith(("git ", "make "))),
    "after": "sftpd transfer list",
    "stop": "systemctl stop sftpd",
    "refused": "CREDENTIALS_DIRECTORY=/etc/sftpd/keys sftpd transfer list",
    "offline": "systemctl start dbus && " + "\n".join(commands("Commands outside the service")),
    "met": f"""systemctl start sftpd; {KNOWING}; wc -l </opt/known
        sftpd host-key list | grep -o 'SHA256:[^ ]*' >/opt/first""",
    "announce": edited(0),
    "learn": f"for _ in 1 2; do {KNOWING}; done; wc -l </opt/known",
    "switch": edited(1),
    "switched": f"{KNOWING}; sftpd host-key list",
    "needed": """cd /etc/sftpd/keys; mv host_ed25519 old
        systemctl restart sftpd && exit 1; mv old host_ed25519""",
    "destroy": f"""printf %s {shlex.quote(blocks(ROTATION, "ini")[0])} >{DROP_IN}
        rm /etc/sftpd/keys/host_ed25519; systemctl reset-failed sftpd; systemctl daemon-reload
        systemctl restart sftpd && {KNOWING}""",
    "remote": remote(),
    "backup": timer(),
    "restore": restored(),
    "journal": "; ".join(commands("The log")),
    "rollback": " && ".join(commands("Upgrade", 1)).replace(
        "20260101T120000Z", "$(ls /usr/local/lib/sftpd | tail -1)"
    ),
    "busy": "systemctl enable --now sftpd.socket",
    "socket": " && ".join(commands("Upgrade", 2)) + f" && {KNOWING}",
    "removed": " && ".join(commands("Remove")) + "; ls /usr/local/bin/sftpd* /etc/systemd/system/sftpd.s*",
    "log": "journalctl --unit sftpd --output cat",
}


DONE = """install link start upload download reload upgrade after announce switch destroy
    remote backup restore journal rollback socket"""


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Said]:
    """What each step printed on a machine on which the guide was followed."""
    if os.geteuid() != 0:
        pytest.skip("to make a machine in namespaces takes root")
    folder = tmp_path_factory.mktemp("machine")
    older = "mkdir -p /usr/local/lib/sftpd/20000101T000000Z /usr/local/lib/sftpd/20010101T000000Z"
    install = " && ".join(commands("Install")).replace("make install", f"make install PYTHON={PYTHON}")
    prepare = {
        "older": older,
        "install": f"cd /run/machine/source && {install}",
        "releases": "ls /usr/local/lib/sftpd; readlink /usr/local/bin/sftpd",
        "link": "ssh-keygen -q -t ed25519 -N '' -f /opt/partner\n"
        f"cat >/etc/sftpd/links.d/partner.toml <<END\n{settings()}END",
        "units": "systemd-analyze verify --man=no /etc/systemd/system/sftpd.{service,socket}",
    }
    (folder / "prepare").write_text("export HOME=/opt\n" + script(prepare))
    (folder / "check").write_text("export HOME=/opt\nip link set lo up\n" + script(STEPS))
    apart = ["--mount", "--pid", "--fork", "--uts", "--ipc", "--cgroup", "--kill-child"]
    machine = ["bash", Path(__file__).with_name("machine.sh"), folder, REPOSITORY]
    done = subprocess.run(["unshare", *apart, *machine], capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == 0, done.stderr
    results = folder / "result"
    return {
        name: Said(int((results / f"{name}.code").read_text()), (results / f"{name}.out").read_text())
        for name in (*prepare, *STEPS)
    }


def script(steps: dict[str, str]) -> str:
    """What runs steps one after the other, each in a shell of its own."""
    lines = [
        f"bash -c {shlex.quote(text)} >{name}.out 2>&1; echo $? >{name}.code" for name, text in steps.items()
    ]
    return "\n".join(["cd /run/machine/result", *lines]) + "\n"


@pytest.mark.parametrize("step", DONE.split())
def test_each_step_is_done(said: dict[str, Said], step: str) -> None:
    assert said[step].code == 0, said[step].text + said["log"].text


def test_releases_before_the_last_go(said: dict[str, Said]) -> None:
    *others, newest, command = said["releases"].text.split()
    assert others == ["20010101T000000Z"]
    assert command == f"/usr/local/lib/sftpd/{newest}/bin/sftpd"


def test_the_units_are_valid(said: dict[str, Said]) -> None:
    assert said["units"] == (0, "")


def test_keys_are_for_root_alone_and_files_for_the_group(said: dict[str, Said]) -> None:
    keys = ["root 700 /etc/sftpd/keys"]
    keys += [f"root 600 /etc/sftpd/keys/{name}_ed25519" for name in ("audit", "host")]
    folders = [f"sftpd 770 {LINK}/{name}" for name in ("inbound", "outbound")]
    assert said["modes"].text.splitlines() == keys + folders
    assert said["local"].text == "id,mail\n1,jan@example.org\n2,piet@example.org\n"
    assert said["download"].text.endswith("\nbread\n")


def test_nothing_that_a_child_does_is_forbidden_by_the_unit(said: dict[str, Said]) -> None:
    assert '"indexed": 1' in said["index"].text
    assert said["erasure"].text.endswith("\nid,mail\n2,piet@example.org\n")
    restored = "sftpd retention unfreeze"
    faults = [line for line in said["log"].text.splitlines() if "error" in line and restored not in line]
    assert faults == []


def test_a_gate_of_the_release_holds_back_what_the_guide_denies(said: dict[str, Said]) -> None:
    assert "sftpd: file name is on the deny list" in said["upload"].text
    assert re.search(r" quarantined +file name is on the deny list", said["after"].text)


def test_the_log_is_verified_with_the_keys_of_the_unit(said: dict[str, Said]) -> None:
    assert said["verify"].code == 0
    assert "\nvalid, signed by sftp.example.org+" in said["verify"].text
    assert said["keyless"].code == 2
    assert "outside the unit set it to the folder" in said["keyless"].text


def test_the_host_key_changes_without_a_break(said: dict[str, Said]) -> None:
    assert [said[step].text.split()[-1] for step in ("met", "learn")] == ["1", "2"]
    assert re.search(r"credential:host_2027 +no\s*\Z", said["announce"].text)
    assert (said["switched"].code, said["switched"].text.count("SHA256:")) == (0, 1)
    assert re.search(r"credential:host_2027 +yes\s*\Z", said["switched"].text)
    assert said["needed"].code == 0


def test_commands_without_a_daemon_run_as_the_service_does_and_not_as_root(said: dict[str, Said]) -> None:
    assert said["refused"].code == 1
    assert "start the daemon, which then does it, or run this as that user" in said["refused"].text
    assert said["offline"].code == 0
    assert said["offline"].text.endswith("0 left; this state is current\n")


def test_a_check_as_the_user_of_the_service_finds_what_it_cannot_read(said: dict[str, Said]) -> None:
    assert "keys/partner.pub" in said["unreadable"].text
    assert "Permission denied" in said["unreadable"].text


def test_the_other_steps_lead_where_the_guide_says(said: dict[str, Said]) -> None:
    assert "The defaults suit this server." in said["remote"].text
    assert re.search(r"(?m)^valid +yes", said["backup"].text)
    assert "audit.restored" in said["journal"].text
    assert said["restore"].text.endswith("id,mail\n2,piet@example.org\n")
    assert said["busy"].code != 0  # it has to be stopped for that
    assert "\nRemote working directory: /" in said["socket"].text
    assert said["removed"].text.count("No such file or directory") == 2


def test_a_python_that_the_service_cannot_see_is_refused() -> None:
    done = subprocess.run(
        ["make", "-s", "install", f"PYTHON={PYTHON}", f"PREFIX={HIDDEN}", f"SYSCONFDIR={HIDDEN}/etc"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
    )
    assert done.returncode != 0
    assert done.stderr.startswith(f"{HIDDEN} is in a home directory, which the service does not see")
    assert not HIDDEN.exists()
