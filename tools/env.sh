# shellcheck shell=bash
# To be sourced (bash): puts the Python that setup_env.sh chooses, or installs on the first call, first on PATH.

sop_root=$(cd -P "$(dirname "${BASH_SOURCE[0]}")/.." && pwd) || return 1
sop_bin=$("$sop_root/tools/setup_env.sh") || return 1

if [ "$(command -v python3)" != "$sop_bin/python3" ]; then
    export PATH=$sop_bin:$PATH
fi
if [ "$sop_bin" = "$sop_root/tools/venv/bin" ]; then
    export VIRTUAL_ENV=$sop_root/tools/venv
fi
unset sop_root sop_bin
