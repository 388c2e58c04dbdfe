#!/usr/bin/env bash
# The main job in one command: prepares the environment on the first call, then runs a recipe.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

die() {
    printf 'run.sh: error: %s\n' "$*" >&2
    exit 1
}

recipes() { # prints the names of the recipes in egs2/
    local script name
    for script in egs2/*/sop_asr1/run.sh; do
        name=${script#egs2/}
        name=${name%%/*}
        if [[ -f $script && $name != TEMPLATE ]]; then
            printf '%s\n' "$name"
        fi
    done
}

usage() {
    cat <<EOT
usage: ./run.sh [--recipe NAME] [options of the recipe's driver]
       ./run.sh --test [quick] [options of pytest]

Prepares the Python environment in tools/venv on the first call (or uses the active one, if espnet2_sop of this
checkout is installed in it), then runs a recipe from the data to the table of results. A second call goes on where
the first one stopped.

  --recipe NAME     one of: $(recipes | paste -sd ' ' -) (default: $recipe)
  --test            run all checks instead: shellcheck, ruff, the order of the layers, pytest; with the word quick
                    without the slow tests
  -h, --help        this text

All other options go to the driver of the recipe, among them --stage N and --stop_stage M (first and last stage),
--ngpu (GPUs per job), --nj (jobs at once) and --expdir (where results go). Its own help:

EOT
    egs2/TEMPLATE/sop_asr1/sop.sh --help
}

recipe=mini_librimix
options=()
while [[ $# -gt 0 ]]; do
    case $1 in
        -h | --help)
            usage
            exit 0
            ;;
        --test) exec tools/test.sh ${options[@]+"${options[@]}"} "${@:2}" ;;
        --recipe)
            [[ $# -ge 2 ]] || die "--recipe needs a name; one of: $(recipes | paste -sd ' ' -)"
            recipe=$2
            shift
            ;;
        --recipe=*) recipe=${1#*=} ;;
        *) options+=("$1") ;;
    esac
    shift
done

if ! recipes | grep -qxF -e "$recipe"; then
    die "no recipe '$recipe' in egs2/; one of: $(recipes | paste -sd ' ' -)"
fi

cd "egs2/$recipe/sop_asr1"
exec ./run.sh ${options[@]+"${options[@]}"} # its path.sh prepares the environment, once the options are checked
