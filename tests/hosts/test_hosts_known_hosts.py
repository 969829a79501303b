"""Files of known hosts mean what they mean to OpenSSH."""

from __future__ import annotations

import base64
import pathlib
import re
import resource
import shutil
import subprocess
import tempfile

import paramiko
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ioc.errors import PeerError
from ioc.hosts.known_hosts import HostKeys, known_keys
from ioc.hosts.ssh_config import Endpoint
from tests.hosts.rig import Hosts, site
from tests.sshd import SshServer, make_key

KEYGEN, SSH = shutil.which("ssh-keygen"), shutil.which("ssh")
needs_openssh = pytest.mark.skipif(KEYGEN is None, reason="OpenSSH's ssh-keygen is not installed")

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBIVQaRhP5vFkDw1fJSkyDdCrmWPXPYmyVwOPL3cYnHY"
NAMES = ("mini3", "mini3.lab", "MINI3", "10.0.0.3", "[mini3]:2222", "[10.0.0.3]:2222", "other")


def hashed(name: str) -> str:
    """Return the name as ``ssh-keygen -H`` hides it."""
    with tempfile.TemporaryDirectory() as directory:
        file = pathlib.Path(directory) / "known"
        file.write_text(f"{name} {KEY}\n")
        subprocess.run([str(KEYGEN), "-q", "-H", "-f", str(file)], check=True, capture_output=True)
        return file.read_text().split()[0]


PATTERNS = (
    "mini3",
    "*",
    "mini?",
    "!mini3",
    "!*.lab",
    "*.lab",
    "[mini3]:2222",
    "[*]:2222",
    "10.0.0.*",
    "MINI3",
    "mini3,",
)
patterns = st.lists(st.sampled_from(PATTERNS), min_size=1, max_size=3).map(",".join)
names = st.one_of(patterns, st.sampled_from(NAMES).map(hashed) if KEYGEN else st.nothing())
lines = st.one_of(
    st.builds(
        "{}{}{} {}{}".format,
        st.sampled_from(["", "@revoked ", "@cert-authority ", "@other ", "  ", "#"]),
        names,
        st.sampled_from(["", " "]),
        st.just(KEY),
        st.sampled_from(["", " comment with blanks", "\r"]),
    ),
    st.sampled_from(["", "# mini3 " + KEY, "mini3", "mini3 ssh-ed25519", "@revoked"]),
)


@needs_openssh
@settings(max_examples=60, deadline=None)
@given(st.lists(lines, max_size=6), st.sampled_from(NAMES))
def test_lines_are_found_as_ssh_keygen_finds_them(known: list[str], name: str):
    """Of generated files the lines about a host are those that ``ssh-keygen -F`` finds."""
    with tempfile.TemporaryDirectory() as directory:
        file = pathlib.Path(directory) / "known"
        file.write_text("\n".join(known) + "\n", newline="")
        found = subprocess.run(
            [str(KEYGEN), "-F", name.lower(), "-f", str(file)], capture_output=True, text=True, check=False
        ).stdout
        expected = [int(number) for number in re.findall(r"^# Host .* found: line (\d+)", found, re.MULTILINE)]
        assert [key.line for key in known_keys([str(file)], name)] == expected


def public(key: pathlib.Path) -> str:
    return pathlib.Path(f"{key}.pub").read_text().strip()


def accepted_by_ssh(sshd: SshServer) -> bool:
    """Whether OpenSSH's own client trusts the server."""
    options = (
        *("StrictHostKeyChecking=yes", "GlobalKnownHostsFile=none", f"UserKnownHostsFile={sshd.known_hosts}"),
        *("BatchMode=yes", f"Port={sshd.port}", f"IdentityFile={sshd.client_key}", "UpdateHostKeys=no"),
    )
    command = [str(SSH), "-F", "none", *(word for option in options for word in ("-o", option)), "127.0.0.1", "true"]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


@pytest.fixture
def other(tmp_path: pathlib.Path) -> str:
    """Another host's key."""
    make_key(tmp_path / "other")
    return public(tmp_path / "other")


@pytest.mark.parametrize(
    "case",
    [
        ("NAME KEY", None),
        ("NAME OTHER\nNAME KEY", None),
        ("NAME KEY\nNAME OTHER", None),
        ("[127.0.0.*]:* KEY", None),
        ("127.0.0.1 KEY", None),
        ("!127.0.0.2,* KEY", None),
        ("!NAME,!127.0.0.1,* KEY", "is not in"),
        ("!NAME,* KEY", None),
        ("@revoked * OTHER\nNAME KEY", None),
        ("@revoked * KEY\nNAME KEY", r"is revoked \(ssh-ed25519 SHA256:\S+ in line 1 of \S+known_hosts\)"),
        ("NAME KEY\n@revoked NAME KEY", r"is revoked .*line 2"),
        ("@cert-authority * KEY", "is not in .*certificates cannot be used here"),
        ("@cert-authority * OTHER\nNAME KEY", None),
        ("@cert-authority * KEY\nNAME OTHER", "has changed to ssh-ed25519 .* in line 2 of"),
        ("\n\nNAME OTHER", "has changed to ssh-ed25519 .*but the known key is ssh-ed25519 .* in line 3 of"),
    ],
)
@pytest.mark.parametrize("unknown_hosts", ["refuse", "add"])
async def test_the_key_that_a_server_shows(
    own_hosts: Hosts, sshd: SshServer, other: str, case: tuple[str, str | None], unknown_hosts: str
):
    """A real server is trusted for exactly the lines for which ``ssh`` would; the error names file and line."""
    text, problem = case
    text = (
        text.replace("NAME", f"[127.0.0.1]:{sshd.port}").replace("KEY", public(sshd.host_key)).replace("OTHER", other)
    )
    sshd.known_hosts.write_text(text + "\n")
    if SSH and unknown_hosts == "refuse":
        assert accepted_by_ssh(sshd) == (problem is None)
    host = own_hosts(site(work_dir="/tmp"), settings=sshd.settings(unknown_hosts=unknown_hosts))
    if problem is None or (unknown_hosts == "add" and "is not in" in problem):
        assert (await host.router_facts("e/run_0000"))["data0"].work_dir
        assert sshd.known_hosts.read_text().startswith(text)
        return
    with pytest.raises(PeerError, match=problem):
        await host.router_facts("e/run_0000")
    assert sshd.known_hosts.read_text() == text + "\n"


async def test_keys_of_several_types(sshd: SshServer, own_hosts: Hosts):
    """A server with keys of several types shows one of a type that is known, whichever that is."""
    for kind in ("rsa", "ecdsa", "ed25519"):
        file = sshd.directory / f"key_{kind}"
        subprocess.run([str(KEYGEN), "-q", "-t", kind, "-N", "", "-f", str(file)], check=True)
    sshd.stop()
    sshd.options = {"HostKey": "\nHostKey ".join(str(sshd.directory / f"key_{kind}") for kind in ("rsa", "ecdsa"))}
    sshd.start()
    for kind in ("rsa", "ecdsa", "ed25519"):
        key = public(sshd.host_key if kind == "ed25519" else sshd.directory / f"key_{kind}")
        sshd.known_hosts.write_text(f"[127.0.0.1]:{sshd.port} {key}\n")
        host = own_hosts(site(work_dir="/tmp"), settings=sshd.settings())
        assert (await host.router_facts("e/run_0000"))["data0"].work_dir


def test_a_key_that_does_not_fit_on_the_disk_is_not_added_in_part(tmp_path: pathlib.Path):
    """Half a key would be another one: the host would be refused for ever as one whose key has changed."""
    file, size = tmp_path / "known_hosts", 4096
    file.write_text("#" + "x" * (size - 63) + "\n")  # 40 letters of the key fit: whole groups of base64
    before = file.read_bytes()
    endpoint = Endpoint("mini3", 2222, "daq", (), (), known_as="[mini3]:2222", known_hosts=(str(file),))
    key = paramiko.PKey.from_type_string("ssh-ed25519", base64.b64decode(KEY.split()[1]))
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
    try:
        with pytest.raises(PeerError, match="cannot be added to"):
            HostKeys(endpoint, add=True).missing_host_key(paramiko.SSHClient(), "mini3", key)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert file.read_bytes() == before
    HostKeys(endpoint, add=True).missing_host_key(paramiko.SSHClient(), "mini3", key)
    assert [each.key for each in known_keys([str(file)], "[mini3]:2222")] == [key.asbytes()]
