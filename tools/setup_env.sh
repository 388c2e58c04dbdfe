#!/usr/bin/env bash
# Chooses the Python environment of this checkout, and installs it into tools/venv on the first call.
#
#   tools/setup_env.sh [--test]     --test: with what the tests need
#   tools/setup_env.sh --refresh    a new tools/venv of the newest versions, which are written to tools/constraints.txt
#
# pyproject.toml has ranges of versions, tools/constraints.txt the versions that were tested, which are installed. After
# --refresh, test them (./run.sh --test) before committing the list.
#
# Standard output is one line, the folder to put first on PATH (tools/env.sh does so); everything else goes to standard
# error. An active environment with espnet2_sop of this checkout is used as it is. A finished tools/venv has a stamp, so
# that a later call returns at once; a changed pyproject.toml or list of versions installs again, and an interrupted
# set-up starts anew.
set -euo pipefail

root=$(cd -P "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
venv=$root/tools/venv
log=$root/tools/setup_env.log
constraints=$root/tools/constraints.txt
stamp=$venv/.complete
versions=(3.12 3.13) # requires-python of pyproject.toml, the preferred one first
wanted="Python ${versions[0]} or ${versions[1]}"
extra=
refresh=

say() { printf 'setup_env.sh: %s\n' "$*" >&2; }
die() {
    say "error: $*"
    exit 1
}
answer() { # answer FOLDER: the one line on standard output
    printf '%s\n' "$1"
    exit 0
}

# ---- a Python that is there

python_version() { # python_version PYTHON: prints 3.12, or nothing if it does not run (a pyenv shim may not)
    "$1" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null </dev/null || true
}

is_fitting() { # is_fitting VERSION
    [[ -n $1 && " ${versions[*]} " == *" $1 "* ]]
}

have_uv() { command -v uv >/dev/null; }

candidates() { # prints every Python worth a try: names on PATH, pyenv's versions, uv's
    local name version pyenv_root
    for name in "${versions[@]/#/python}" python3 python; do
        type -aP "$name" || true
    done
    pyenv_root=$(pyenv root 2>/dev/null) || pyenv_root=${PYENV_ROOT:-${HOME:-}/.pyenv}
    for version in "${versions[@]}"; do
        printf '%s\n' "$pyenv_root/versions/$version".*/bin/python | sort -rV
    done
    for version in "${versions[@]}"; do
        ! have_uv || uv python find --system --no-project "$version" 2>/dev/null || true
    done
}

find_python() { # prints the first Python of a fitting version that can make an environment
    local python incomplete=
    while IFS= read -r python; do
        if [[ ! -x $python || $python == "$venv"/* ]] || ! is_fitting "$(python_version "$python")"; then
            continue
        fi
        if have_uv || "$python" -c 'import ensurepip, venv' 2>/dev/null; then
            printf '%s\n' "$python"
            return
        fi
        incomplete=$python
    done < <(candidates)
    [[ -z $incomplete ]] || die "$incomplete lacks the venv module: install it (on Debian and Ubuntu the package python3-venv) or uv, and run again"
    die "no $wanted found on PATH, in pyenv or in uv: install one, for example with 'uv python install ${versions[0]}', 'pyenv install ${versions[0]}' or 'conda create -n sop python=${versions[0]}' and 'conda activate sop', and run again"
}

# ---- an environment that is active already

check() { # check PYTHON: prints ready, foreign or missing: ... (tools/check_env.py); / lends it no modules
    (cd / && "$1" "$root/tools/check_env.py" "$extra" 2>/dev/null) || echo foreign
}

use_active() { # use_active FOLDER: answers if that environment can run this checkout, else says why it is not used
    local python=$1/bin/python version state
    version=$(python_version "$python")
    if ! is_fitting "$version"; then
        note="the active environment $1 is not used: its Python ${version:-does not run}${version:+ does not fit}, needed is $wanted"
        return
    fi
    state=$(check "$python")
    case $state in
        ready) answer "$1/bin" ;;
        missing*) die "the active environment $1 lacks packages, $state; run: $python -m pip install -e '$root${extra:+[$extra]}'" ;;
        *) note="the active environment $1 is not used: espnet2_sop of this checkout is not installed in it; to use it: $python -m pip install -e '$root'" ;;
    esac
}

use_path() { # answers if the python3 on PATH can run this checkout
    local python
    python=$(command -v python3) || return 0
    if [[ $python != "$venv"/* ]] && is_fitting "$(python_version "$python")" && [[ $(check "$python") == ready ]]; then
        answer "$(dirname "$python")"
    fi
}

# ---- tools/venv

fingerprint() { # what the environment was made from; the version of Python as pyvenv.cfg has it
    printf '%s %s %s\n' "$(cat "$root/setup.py" "$root/pyproject.toml" "$constraints" | cksum)" \
        "$(sed -n '/^version/{s/^.*= *//p;q;}' "$venv/pyvenv.cfg")" "$root"
}

read_stamp() { # sets made (its fingerprint) and made_extra; fails if there is no finished environment
    made='' made_extra=''
    [[ -f $stamp && -x $venv/bin/python && -f $venv/pyvenv.cfg ]] || return 1
    { read -r made && read -r made_extra; } <"$stamp" || true
}

is_complete() {
    read_stamp && [[ $made == "$(fingerprint)" ]] && [[ -z $extra || $extra == "$made_extra" ]]
}

logged() { # logged COMMAND...: all output to the log, the telling lines to the console
    printf '$ %s\n' "$*" >>"$log"
    "$@" 2>&1 </dev/null | tee -a "$log" | telling
}

telling() {
    local line
    while IFS= read -r line; do
        line="${line#"${line%%[! ]*}"}"
        case $line in
            *.metadata*) ;;
            [Ee]rror* | ERROR* | ×* | ╰* | Resolved* | Prepared* | Installed* | Downloading* | Building* | Installing* | Successfully*)
                printf '  %s\n' "${line:0:100}" >&2
                ;;
        esac
    done
}

clear_venv() { # empties tools/venv (which may be a link to a larger disk) but no folder of another kind
    [[ -e $venv ]] || return 0
    if [[ ! -f $venv/pyvenv.cfg && -n $(find "$venv/" -type f | head -n 1) ]]; then
        die "$venv is no Python environment: move it away and run again"
    fi
    find "$venv/" -mindepth 1 -delete
}

make_venv() { # make_venv PYTHON
    if have_uv; then
        logged uv venv --no-project --seed --allow-existing --python "$1" "$venv"
    else
        logged "$1" -m venv "$venv"
    fi
}

install_package() { # this checkout, editable, with what pyproject.toml asks for in the versions that were tested
    local arguments=(-c "$constraints" -e "$root${extra:+[$extra]}")
    [[ -z $refresh ]] || arguments=("${arguments[@]:2}")
    if have_uv; then
        logged uv pip install --python "$venv/bin/python" "${arguments[@]}"
    else
        logged "$venv/bin/python" -m pip install --disable-pip-version-check "${arguments[@]}"
    fi
}

write_constraints() { # what is installed, without builds (+cpu); of root certificates the newest are always right
    {
        printf '# Versions that were tested together. Written by tools/setup_env.sh --refresh.\n'
        "$venv/bin/python" -m pip --disable-pip-version-check freeze --exclude-editable |
            sed -e '/^certifi==/d' -e 's/+[^ ]*$//'
    } >"$constraints.part"
    mv "$constraints.part" "$constraints"
}

set_up() {
    local python state
    if [[ -z $refresh ]] && read_stamp && [[ ${made#* * } == "$(fingerprint | cut -d ' ' -f 3-)" ]]; then
        say "tools/venv is brought up to date (log: tools/setup_env.log)"
        : >"$log"
        extra=${extra:-$made_extra}
        rm -f "$stamp"
    else
        python=$(find_python)
        clear_venv
        say "new environment in tools/venv from $python: about 5.5 GB, some minutes (log: tools/setup_env.log)"
        : >"$log"
        make_venv "$python" || die "no environment could be made in tools/venv; the reason stands in $log"
    fi
    install_package || die "the installation failed; the reason stands in $log; run again to start anew"
    state=$(check "$venv/bin/python")
    [[ $state == ready ]] || die "tools/venv is not complete after the installation ($state); see $log"
    [[ -z $refresh ]] || write_constraints
    { fingerprint && printf '%s\n' "$extra"; } >"$stamp.part"
    mv "$stamp.part" "$stamp"
    say "environment ready after $SECONDS s"
}

# ---- main

while [[ $# -gt 0 ]]; do
    case $1 in
        --test) extra='test' ;;
        --refresh) extra='test' refresh=true ;;
        -h | --help)
            sed -n '2,/^set /s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"
            exit 0
            ;;
        *) die "unknown option '$1'; there are --test and --refresh" ;;
    esac
    shift
done

note=
active=${VIRTUAL_ENV:-${CONDA_PREFIX:-}}
if [[ -z $refresh ]]; then
    if [[ -n $active && $active != "$venv" ]]; then
        use_active "$active"
    fi
    ! is_complete || answer "$venv/bin"
    if [[ -z $active ]]; then
        use_path
    fi
fi

[[ -z $note ]] || say "$note"
exec 9>"$root/tools/.setup_env.lock"
if command -v flock >/dev/null && ! flock -n 9; then
    say "another call is installing (log: tools/setup_env.log); waiting for it"
    flock 9
fi
if [[ -n $refresh ]] || ! is_complete; then
    set_up
fi
answer "$venv/bin"
