#!/usr/bin/env bash
# tools/in_env.sh COMMAND...: runs one command in the environment of this checkout, the tools of the tests included.
set -euo pipefail
folder=$(dirname "${BASH_SOURCE[0]}")
"$folder/setup_env.sh" --test >/dev/null
# shellcheck source=tools/env.sh
. "$folder/env.sh"
exec "$@"
