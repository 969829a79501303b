"""The SSH configuration means what it means to OpenSSH's client."""

from __future__ import annotations

import getpass
import pathlib
import re
import shutil
import subprocess
import tempfile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ioc.errors import PeerError
from ioc.hosts.ssh_config import jump_settings, resolve
from ioc.topology.schema import Ssh

SSH = shutil.which("ssh")
needs_openssh = pytest.mark.skipif(SSH is None, reason="OpenSSH's client is not installed")

values = {
    "HostName": ["%h.lab", "10.0.0.3", "%%h", "%n"],
    "Port": ["2222", "22", "0x16", "many"],
    "User": ["daq", "it's me", '"two words"'],
    "HostKeyAlias": ["alias", "Alias2"],
    "ProxyJump": ["gate", "me@gate:2200,inner", "none"],
    "IdentitiesOnly": ["yes", "no"],
    "IdentityFile": ["DIR/key1", '"DIR/key 2"', "DIR/%r-%h", "DIR/%n%%%p", "none"],
    "UserKnownHostsFile": ["DIR/known", '"DIR/known 2" DIR/known', "none"],
    "ServerAliveInterval": ["5"],
    "Include": ["DIR/more*", "/nonexistent"],
    "NoSuchOption": ["yes"],
}
options = st.sampled_from(sorted(values)).flatmap(
    lambda key: st.tuples(st.sampled_from([key, key.lower(), key.upper()]), st.sampled_from(values[key]))
)
setting = st.builds(
    lambda indent, option, sign, end: f"{indent}{option[0]}{sign}{option[1]}{end}",
    st.sampled_from(["", "  ", "\t"]),
    options,
    st.sampled_from([" ", "=", " = "]),
    st.sampled_from(["", "  "]),
)
heads = st.sampled_from(
    [
        "Host mini3", "Host *", "Host mini* !mini3", "Host !other *", 'Host "mini3"', "Host=mini3",
        "Match all", "Match host mini3", "Match host *.lab", "Match originalhost mini3", "Match user daq",
        "Match !user daq", "Match localuser ME", "Match localuser nobody-else", "Match exec true", "Match exec false",
        'Match exec "test %h = mini3"', "Match host mini3,other user *", "Match canonical", "Match final",
        "Match final host mini3", "Match season fine", "Match",
    ]
)  # fmt: skip
files = st.lists(st.one_of(setting, heads, st.sampled_from(["", "# comment"])), max_size=10).map("\n".join)


@needs_openssh
@settings(max_examples=100, deadline=None)
@given(files, files, st.sampled_from(["mini3", "other"]), st.sampled_from([None, "daq"]), st.sampled_from([None, 23]))
def test_generated_configurations(text: str, more: str, address: str, user: str | None, port: int | None):
    """Of generated files all that counts is what ``ssh`` makes of it; what it refuses is refused with file and line."""
    with tempfile.TemporaryDirectory() as name:
        directory = pathlib.Path(name)
        config = directory / "config"
        for file, content in ((config, text), (directory / "more", more)):
            file.write_text(content.replace("DIR", name).replace("ME", getpass.getuser()) + "\n")
        for key in ("key1", "key 2", "daq-mini3.lab", "mini3%22", "known", "known 2"):
            (directory / key).touch()
        chosen = Ssh(config=str(config), username=user, port=port)
        command = [str(SSH), "-F", str(config), *(["-p", str(port)] if port else []), *(["-l", user] if user else [])]
        told = subprocess.run([*command, "-G", address], capture_output=True, text=True, check=False)
        if told.returncode:
            # Of files that include each other, and of unknown tokens in HostName, ssh itself names no line.
            with pytest.raises(
                PeerError, match=rf"{re.escape(name)}/((config|more):? line \d+|config .*(recursive|unknown key))"
            ):
                resolve(address, chosen)
            return
        one = dict(reversed([line.split(" ", 1) for line in told.stdout.splitlines() if " " in line]))
        endpoint = resolve(address, chosen)
        assert (endpoint.host, str(endpoint.port), endpoint.user) == (one["hostname"], one["port"], one["user"])
        assert endpoint.jumps == tuple(one.get("proxyjump", "").split(",") if "proxyjump" in one else ())
        assert endpoint.only_these_keys == (one["identitiesonly"] == "yes")
        host = one["hostname"] if one["port"] == "22" else f"[{one['hostname']}]:{one['port']}"
        assert endpoint.known_as == one.get("hostkeyalias", host).lower()
        tried = subprocess.run(
            [*command, "-v", "-oBatchMode=yes", "-oProxyJump=none", "-oProxyCommand=false", address, "true"],
            capture_output=True,
            text=True,
            check=False,
        )
        keys = re.findall(r"identity file (.*) type -?\d+", tried.stderr)
        expected = [key for key in dict.fromkeys(keys) if pathlib.Path(key).is_file() and not key.endswith("-cert")]
        assert list(endpoint.keys) == expected


@needs_openssh
@pytest.mark.parametrize(
    ("text", "files"),
    [
        ("UserKnownHostsFile DIR/a", ["DIR/a"]),
        ("UserKnownHostsFile DIR/a DIR/b", ["DIR/a", "DIR/b"]),
        ('UserKnownHostsFile "DIR/a b" DIR/b', ["DIR/a b", "DIR/b"]),
        ("UserKnownHostsFile DIR/%h", ["DIR/mini3"]),
        ("UserKnownHostsFile none", []),
        ("", ["~/.ssh/known_hosts", "~/.ssh/known_hosts2"]),
    ],
)
def test_files_of_known_hosts(tmp_path: pathlib.Path, text: str, files: list[str]):
    """Those of the configuration count where the topology names none; the global ones come last."""
    (tmp_path / "a b").touch()
    (tmp_path / "config").write_text(f"GlobalKnownHostsFile {tmp_path}/global\n{text.replace('DIR', str(tmp_path))}\n")
    expected = [str(pathlib.Path(file.replace("DIR", str(tmp_path))).expanduser()) for file in files]
    settings = Ssh(config=str(tmp_path / "config"))
    assert list(resolve("mini3", settings).known_hosts) == [*expected, f"{tmp_path}/global"]
    default = settings.model_copy(update={"known_hosts": str(pathlib.Path("~/.ssh/known_hosts").expanduser())})
    assert resolve("mini3", default) == resolve("mini3", settings)
    own = settings.model_copy(update={"known_hosts": "/own"})
    assert resolve("mini3", own).known_hosts == ("/own",)


def test_without_a_configuration():
    """The settings of the topology are all there is."""
    endpoint = resolve("mini3", Ssh(config=None, port=2222))
    assert (endpoint.host, endpoint.port, endpoint.user, endpoint.keys) == ("mini3", 2222, getpass.getuser(), ())
    assert endpoint.known_as == "[mini3]:2222"


def test_without_the_client(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch):
    """A configuration that cannot be read is an error, which says what to do; one that does not exist is none."""
    monkeypatch.setenv("PATH", str(tmp_path))
    assert resolve("mini3", Ssh(config=str(tmp_path / "none"))).host == "mini3"
    (tmp_path / "config").touch()
    with pytest.raises(PeerError, match=r"install it \(openssh-client\), or set 'config: null'"):
        resolve("mini3", Ssh(config=str(tmp_path / "config")))


@pytest.mark.parametrize(
    ("jump", "address", "user", "port"),
    [
        ("gate", "gate", None, None),
        ("me@gate:22", "gate", "me", 22),
        ("ssh://me@gate:2200", "gate", "me", 2200),
        ("[fe80::1]:22", "fe80::1", None, 22),
    ],
)
def test_jumps(jump: str, address: str, user: str | None, port: int | None):
    """A host to go through may have a user and a port of its own."""
    found, settings = jump_settings(jump, Ssh(username="other", port=1))
    assert (found, settings.username, settings.port) == (address, user, port)
