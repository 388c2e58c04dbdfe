#!/usr/bin/env bash
# The checks of this checkout: shellcheck, ruff, the order of the layers (import-linter) and pytest.
#
#   tools/test.sh [quick] [options of pytest]     e.g. -k scoring or test/recipes
#
# quick leaves out the tests marked slow.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

selection=()
if [[ ${1:-} == quick ]]; then
    selection=(-m 'not slow')
    shift
fi
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1} # tensors of the tests are tiny: threads would wait for each other
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
check 'order of the layers' lint-imports --no-cache
check pytest python3 -m pytest ${selection[@]+"${selection[@]}"} "$@"

if [[ ${#failed[@]} -gt 0 ]]; then
    printf 'test.sh: error: failed: %s\n' "${failed[*]}" >&2
    exit 1
fi
