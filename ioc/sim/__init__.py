"""A whole AT-TPC simulated on this machine: ECC servers, data routers, slow controls, FRIBDAQ.

It shares no code with the rest of `ioc`: it is built from recordings of the real servers, so that a misunderstanding in
one of them is found. ``docs/simulator.md`` describes what is simulated, how strictly, and the commands.

Theory of operation. `Site`, in the process of the demo or of a test, starts ``python -m ioc.sim`` and writes a
`SitePlan` to its stdin (`site`, `plan`, `__main__`). In that process a `Simulation` holds one object per part:

- An ECC server is a listener on the event loop (`ecc_server`). It reads and writes bytes as the recordings have them
  (`ecc_wire`), has the real state table (`ecc_state`) and reads configuration files (`configs`).
- Behind it are its boards (`electronics`, `frames`). They follow the state of the server while it runs, and continue
  without it when it dies. Each has a TCP link to its router.
- A ReadoutGUI of FRIBDAQ (`readout_gui`, `tcl_list`) is a listener too, with the port manager of its host.
- A data router is a separate process that is really named ``dataRouter`` (`datarouter`), since the IOC finds it by ps
  and lsof. So is the IOC of the slow controls (`slowcontrol`); `processes` starts both.

Faults are JSON commands on a control port (`control`), one table per kind of part (`faults`). They change the parts,
never their clients: the IOC sees the same as with the real programs.

Every process ends when its stdin closes, so none is left behind, however its parent ended.
"""

# pyright: reportUnusedImport=false

from ioc.sim.plan import (
    ConfigNames,
    EccAddress,
    ObservablePlan,
    PartnerAddress,
    PartnerPlan,
    RouterAddress,
    RouterPlan,
    ServerPlan,
    SimulatorError,
    SiteAddresses,
    SitePlan,
)
from ioc.sim.site import Site, send_command
