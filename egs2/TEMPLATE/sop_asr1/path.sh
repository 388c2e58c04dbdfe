# shellcheck shell=bash
# To be sourced: the environment of this checkout (recipes link to this file, the root is found from its real place).

# shellcheck source=tools/env.sh
. "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/../../../tools/env.sh" || return 1

export PYTHONUNBUFFERED=1 # logs show what happened up to now
