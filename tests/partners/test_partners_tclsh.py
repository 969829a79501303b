"""The client in front of a remote control that is a real Tcl program, with Tcl's own sockets, lines and lists."""

from __future__ import annotations

import asyncio
import os
import shutil
from pathlib import Path

import pytest
from partner_clients import client_of

from ioc.errors import PeerError
from ioc.model import PartnerReading

SERVER = r"""
set client {}
set slave 0
set run halted
proc said {verb args} {
    global slave run
    set old [expr {$::argv eq {old}}]
    switch -- $verb {
        get { return [list OK [expr {$run eq {active} ? {active} : {inactive}}]] }
        set {
            lassign $args what value
            if {$what eq {slave}} {
                if {$value && $run eq {active}} { return [list ERROR "State must be halted"] }
                set slave $value
            } elseif {!$slave} {
                return [list ERROR "Not in slave mode"]
            } elseif {$what eq {title}} {
                foreach c [split $value {}] { append codes [scan $c %c] , }
                puts $codes
            }
            return OK
        }
        masterTransition { if {$old} { return [list FAIL "Invalid command '$verb $args'"] } }
        begin { set args Active }
        end { set args Halted }
    }
    if {!$slave} { return [list ERROR "Not in slave mode"] }
    after 50
    set run [string tolower $args]
    return OK
}
proc readable {} {
    global client slave
    set count [gets $client line]
    if {[eof $client]} {
        close $client
        set client {}
        set slave 0
    } elseif {$count > 0} {
        puts $client [said {*}$line]
    }
}
proc accept {channel host port} {
    global client
    if {$client ne {}} { close $channel; return }
    set client $channel
    fconfigure $channel -buffering line -blocking 0
    fileevent $channel readable readable
}
fconfigure stdout -buffering line
puts [lindex [fconfigure [socket -server accept -myaddr 127.0.0.1 0] -sockname] 2]
fileevent stdin readable {read stdin; if {[eof stdin]} exit}
vwait forever
"""
TITLE = '{ 60Fe(d,p) µ $[exit]; "x" \\\n # \U0001f600 漢}\\'


@pytest.mark.parametrize("dialect", ["old", "new"])
@pytest.mark.parametrize("locale", ["C", "C.UTF-8"])
async def test_a_real_tcl_program_understands_us(tmp_path: Path, dialect: str, locale: str) -> None:
    """Two runs, with an odd title, whatever the encoding of the program is; a second client is told."""
    tclsh = shutil.which("tclsh")
    if tclsh is None:
        pytest.skip("there is no tclsh")
    script = tmp_path / "server.tcl"
    script.write_text(SERVER)
    pipe = asyncio.subprocess.PIPE
    server = await asyncio.create_subprocess_exec(
        *(tclsh, script, dialect), stdin=pipe, stdout=pipe, env={**os.environ, "LC_ALL": locale}
    )
    assert server.stdout is not None
    port = int(await server.stdout.readline())
    client, other = client_of(port), client_of(port)
    try:
        for number in (7, 8):
            assert await client.read() == PartnerReading(active=False, controlled=False)
            await client.begin(number, TITLE)
            codes = (await server.stdout.readline()).decode().strip().strip(",").split(",")
            assert "".join(chr(int(code)) for code in codes) == TITLE
            assert await client.read() == PartnerReading(active=True, controlled=True)
            with pytest.raises(PeerError, match="another program may control it"):
                await other.read()
            await client.end()
    finally:
        await client.close()
        await other.close()
        await server.communicate(b"")
