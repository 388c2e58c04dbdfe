#!/usr/bin/env bash
# All checks of this checkout: shellcheck, ruff and pytest. Options go to pytest, e.g. -k scoring or test/recipes.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
tools/setup_env.sh --test >/dev/null
# shellcheck source=tools/env.sh
. tools/env.sh

failed=()
check() { # check TITLE COMMAND...
    printf '\n== %s\n' "$1"
    "${@:2}" || failed+=("$1")
}

scripts=()
while IFS= read -r file; do
    if [[ -f $file && ! -L $file ]]; then # recipes link to the scripts of TEMPLATE
        scripts+=("$file")
    fi
done < <(git ls-files --cached --others --exclude-standard '*.sh' .ci/run)

check shellcheck shellcheck -x "${scripts[@]}"
check 'ruff check' ruff check .
check 'ruff format' ruff format --check .
check pytest python3 -m pytest "$@"

if [[ ${#failed[@]} -gt 0 ]]; then
    printf 'test.sh: error: failed: %s\n' "${failed[*]}" >&2
    exit 1
fi
