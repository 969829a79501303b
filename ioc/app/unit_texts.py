"""The fixed parts of the files that `ioc.app.units` writes."""

SERVICE = """\
[Unit]
Description={description}
StartLimitIntervalSec=120
StartLimitBurst=10

[Service]
Type=exec
{lines}
Restart=always
RestartSec=2
TimeoutStopSec=10

[Install]
WantedBy=default.target
"""

ROTATE_SERVICE = """\
[Unit]
Description=Rotate the log files of the AT-TPC programs

[Service]
Type=oneshot
ExecStart=/bin/sh %h/.config/systemd/user/{script}
"""

ROTATE_TIMER = """\
[Unit]
Description=Rotate the log files of the AT-TPC programs every night

[Timer]
OnCalendar=*-*-* 04:30:00
Persistent=true

[Install]
WantedBy=timers.target
"""

# The program keeps the file open and appends to it, so the file is emptied and not replaced.
ROTATE = """\
#!/bin/sh
# Keeps the last five of each log file that has more than 10 MB.
for log in {logs}; do
  [ -f "$log" ] || continue
  [ "$(wc -c <"$log")" -gt 10000000 ] || continue
  for number in 4 3 2 1; do
    [ ! -f "$log.$number" ] || mv -f "$log.$number" "$log.$((number + 1))"
  done
  cp -p "$log" "$log.1" && : >"$log"
done
"""

INSTALL_SYSTEMD = """\
#!/bin/sh
# Installs these units for the user who runs it, on the machine that the folder is named after. Starts nothing.
set -eu
cd "$(dirname "$0")"
units=$HOME/.config/systemd/user
mkdir -p "$units" {folders}
for file in *.service *.timer attpc-rotate-logs.sh; do
  [ ! -f "$file" ] || cp "$file" "$units/"
done
: "${{XDG_RUNTIME_DIR:=/run/user/$(id -u)}}"
export XDG_RUNTIME_DIR
systemctl --user daemon-reload
systemctl --user enable {units}
echo "Once, as root, so that they start with the machine and go on after a logout: loginctl enable-linger $(id -un)"
"""

INSTALL_LAUNCHD = """\
#!/bin/sh
# Installs these agents for the user who runs it, on the machine that the folder is named after. They start when that
# user logs in, or with attpc-ioc up.
set -eu
cd "$(dirname "$0")"
agents=$HOME/Library/LaunchAgents
mkdir -p "$agents" {folders}
cp ./*.plist attpc-rotate-logs.sh "$agents/"
launchctl bootout "gui/$(id -u)/{rotation}" 2>/dev/null || true
launchctl bootstrap "gui/$(id -u)" "$agents/{rotation}.plist"
"""

# launchd cannot tell exit codes apart: an error in the configuration ends as a success, which is not repeated.
WATCHED = """\
{{ {command} & pid=$!; trap 'kill -TERM "$pid"' TERM INT HUP; wait "$pid"; code=$?
while kill -0 "$pid" 2>/dev/null; do wait "$pid"; code=$?; done
[ "$code" -eq {code} ] && exit 0; exit "$code"; }}"""
