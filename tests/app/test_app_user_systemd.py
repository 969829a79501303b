"""The units below a real user's systemd, in a mount namespace of its own: installed, up, killed, down."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

COMMAND = Path(sys.executable).parent / "attpc-ioc"
BOOT = Path(__file__).with_name("user_systemd.sh")
TELL = Path(__file__).with_name("tell_arguments.py")
WORDS = ["100% %h", "$HOME ${HOME}", 'a "quoted" word', "back\\slash", "it's", ";", "wörd", "~/in home"]
SCRIPT = """
set -ex
until_state() {{  # NAME STATE: waits for it
  tenths=0
  until {command} status --topology {file} "$1" | grep "$2"; do
    sleep 0.2; tenths=$((tenths + 2)); [ "$tenths" -lt 200 ]
  done
}}
process() {{ systemctl --user show -p MainPID --value "$1.service"; }}
{command} units --topology {file} --directory {home}/units
sed -i 's|{file}|{file}.ioc|' {home}/units/ioc/attpc-ioc.service
sh {home}/units/127.0.0.1/install.sh
sh {home}/units/ioc/install.sh
{command} status --topology {file} C0 | grep 'inactive (dead)'
{command} up --topology {file} C0 r0 | grep -c 'active (running)' | grep 2
# The logs are rotated from now on.
[ "$(systemctl --user is-active attpc-logs-127.0.0.1.timer)" = active ]
[ "$(systemctl --user show -p NextElapseUSecRealtime --value attpc-logs-127.0.0.1.timer)" ]
first=$(process attpc-ecc-C0)
kill -9 "$first"
until_state C0 'started again 1 times'
[ "$(process attpc-ecc-C0)" != "$first" ]
cp {home}/told {home}/told-then
second=$(process attpc-ecc-C0)
{command} up --topology {file} C0 | grep "active (running), process $second"
{command} down --topology {file} nobody && exit 1
{command} down --topology {file} r0 | grep 'inactive (dead)'
# The IOC reads a file with an error: it exits with 2, and is not started again.
echo 'nonsense: true' >>{file}.ioc
{command} up --topology {file} ioc || true
until_state ioc 'failed'
[ "$(systemctl --user show -p NRestarts --value attpc-ioc.service)" = 0 ]
[ "$(systemctl --user show -p ExecMainStatus --value attpc-ioc.service)" = 2 ]
systemctl --user start attpc-logs-127.0.0.1.service
# A server that is renamed: the unit of its old name is stopped and removed, and no other.
units={home}/.config/systemd/user
printf '[Service]\nExecStart=/bin/sleep 600\n' >$units/attpc-mine.service
systemctl --user daemon-reload
systemctl --user start attpc-mine.service
sed -i 's/C0/D0/' {file}
{command} units --topology {file} --directory {home}/units
sh {home}/units/127.0.0.1/install.sh
[ ! -e $units/attpc-ecc-C0.service ]
systemctl --user is-active attpc-ecc-C0.service && exit 1
systemctl --user is-enabled attpc-ecc-C0.service && exit 1
for unit in ecc-D0 router-r0 ioc; do systemctl --user is-enabled attpc-$unit.service; done
systemctl --user is-active attpc-mine.service
systemctl --user is-active attpc-logs-127.0.0.1.timer
{command} up --topology {file} D0 | grep 'active (running)'
{command} down --topology {file} D0 | grep 'inactive (dead)'
# Without the key, only the IOC is started: that is no success.
sed '/^units:/d' {file} >{file}.without
{command} up --topology {file}.without 2>{home}/said && exit 1
[ "$(grep -c . {home}/said)" = 1 ]
grep 'left out.*: r0, D0' {home}/said
echo all done
"""


@pytest.mark.skipif(os.getuid() != 0 or not shutil.which("unshare"), reason="needs a mount namespace")
@pytest.mark.skipif(not shutil.which("systemctl"), reason="systemd is not installed")
def test_the_whole_life_of_the_units(tmp_path: Path) -> None:
    """install.sh, up, kill -9 (started again), down; odd words arrive; an IOC with a wrong file is left alone."""
    home = tmp_path / "home"
    (home / "work dir").mkdir(parents=True)
    program = home / "program"
    told = home / "told"
    program.write_text(f'#!/bin/sh\n{shlex.join([sys.executable, str(TELL), str(told)])} "$@"\nexec sleep 600\n')
    program.chmod(0o755)
    host = {"host": "127.0.0.1", "work_dir": "~/work dir"}
    file = tmp_path / "topology.yaml"
    server = {"name": "C0", "role": "cobo", "command": ["~/program", *WORDS], "log_path": "~/logs/C0 log", **host}
    topology = {
        "experiment": "e1",
        "ssh": "local",
        "units": "systemd",
        "ecc_servers": [server],
        "data_routers": [{"name": "r0", "command": ["sleep", "600"], **host}],
        "data_sources": [{"id": "CoBo[0]", "ecc_server": "C0", "data_routers": ["r0"]}],
    }
    file.write_text(yaml.safe_dump(topology, allow_unicode=True))
    script = tmp_path / "script.sh"
    script.write_text(SCRIPT.format(command=COMMAND, file=file, home=home))
    done = subprocess.run(
        ["unshare", "-m", "sh", BOOT, script],
        env={**os.environ, "HOME": str(home)},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    if done.returncode == 77 or "permission denied" in done.stderr.lower():
        pytest.skip("a user's systemd cannot run here")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "all done" in done.stdout
    then = json.loads((home / "told-then").read_text())
    assert then["directory"] == str(home / "work dir")
    assert then["arguments"] == [*WORDS[:-1], f"{home}/in home"]
    assert "hello" in (home / "logs" / "C0 log").read_text()
