"""What a stock Phoebus 5.0.5 logs as a warning or worse whatever it shows: this, and nothing else, is ignored.

The displays in ``stock/`` have none of our widgets; `test_what_phoebus_logs_by_itself` sees it there, and
`test_what_caj_logs_by_itself` with plain text updates, `test_what_a_pv_logs_by_itself` without any display, and
`test_what_a_closed_connection_logs` without Phoebus.
"""

from __future__ import annotations

import re
from pathlib import Path

STOCK = Path(__file__).with_name("stock")

STARTED = r"WARNING javafx: Unsupported JavaFX configuration: classes were loaded from 'unnamed module @\w+'"
"""JavaFX is on the class path, as in Phoebus' own distribution. Logged once, before there is any display."""

SKIPPED = r"WARNING org\.phoebus\.ui\.javafx\.BufferUtil: Skipping image update"
"""A chart asks JavaFX's thread for an image, and gives up when that is busy for half a second; then it asks again."""

UNDRAWN = (
    r"SEVERE org\.csstudio\.display\.builder\.representation: Representation update failed "
    r'\(java\.lang\.NullPointerException: Cannot invoke "javafx\.scene\.Node\.setCursor\(javafx\.scene\.Cursor\)" '
    r'because the return value of "javafx\.scene\.Scene\.lookup\(String\)" is null, in .*\)'
)
"""`TextEntryRepresentation` looks for a part of a text entry of several lines that JavaFX makes when it first draws it.
A PV that is not connected yet makes it look earlier; it is updated again when the PV is connected."""

SUBSCRIBED = (
    r"WARNING org\.phoebus\.pv: Subscription uses CAJChannel = \{ name = \S+, connectionState = CONNECTED \} "
    r"while channel is null \(java\.lang\.Exception: Stack trace, in com\.cosylab\.epics, gov\.aps\.jca, "
    r"java\.lang\.Thread, java\.util\.concurrent, org\.phoebus\.pv\)"
)
"""The network was faster than the constructor of `JCA_PV`, which has not noted its channel yet but uses it.
CAJ waits 3 ms before it searches, so this needs a thread that has to wait for the processor between two lines of the
constructor: no display decides that, and a busy machine does it to about one in ten thousand PVs."""

DESTROYED = (
    r"WARNING org\.phoebus\.pv: Channel Access Exception from com\.cosylab\.epics\.caj\.CAJContext@\w+ for channel "
    r"CAJChannel = \{ name = \S+, connectionState = \w+ \}: User destroyed channel"
)
"""A page was closed while an answer for one of its PVs was under way; CAJ tells its context. A page of plain text
updates that is closed some milliseconds after it was opened does it every third time."""

CANCELLED = (
    r"SEVERE com\.cosylab\.epics\.caj\.impl\.reactor\.Reactor:  \(java\.nio\.channels\.CancelledKeyException, "
    r"in com\.cosylab\.epics, java\.lang\.Thread, java\.nio\.channels, java\.util\.concurrent, sun\.nio\.ch\)"
)
"""A connection was closed while CAJ handled what had come on it. `CATransport.handleEvent` asks its key whether it is
valid and then whether it can be read or written; another thread of CAJ cancels the key between the two, which throws.
Nothing is lost: the connection is closed already. It needs a thread that has to wait for the processor just there."""

_ANYWHERE = (SKIPPED, UNDRAWN, SUBSCRIBED, DESTROYED, CANCELLED)


def is_ours(fault: str) -> bool:
    """Whether something that was logged is not what a stock Phoebus logs."""
    return not any(re.fullmatch(said, fault) for said in _ANYWHERE)
