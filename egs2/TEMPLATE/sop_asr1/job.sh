#!/usr/bin/env bash
# job.sh [--nodes N] [--gpu N] [--name NAME] LOGFILE COMMAND...
#
# Runs one command on the back-end of cmd.sh. All its output is appended to LOGFILE; the console shows progress,
# warnings and errors only. The exit status is that of the command. A failure is reported with its one-line error, or
# else with the last lines, and the log's path. Ctrl-C ends the command, too.
#
#   --nodes N     nodes that the job asks from Slurm (default 1); with several the command starts once on each by srun
#   --gpu N       GPUs on each that the job asks from Slurm (default 0); a local job sees all GPUs of the machine
#   --name NAME   how the job is called in messages and in Slurm's queue (default: LOGFILE's name)
set -euo pipefail

say() { printf 'job.sh: %s\n' "${*//[[:cntrl:]]/?}" >&2; }
die() {
    say "error: $*"
    exit 2
}

if [[ $(trap -p INT) == *"''"* ]] && env --default-signal=INT true 2>/dev/null; then
    exec env --default-signal=INT "$0" "$@" # a script's background jobs start with Ctrl-C ignored
fi

# shellcheck source=egs2/TEMPLATE/sop_asr1/cmd.sh
. "$(dirname "${BASH_SOURCE[0]}")/cmd.sh"

usage="job.sh [--nodes N] [--gpu N] [--name NAME] LOGFILE COMMAND..."
nodes=1
gpu=0
name=
while [[ ${1:-} == -* ]]; do
    case $1 in
        --nodes) nodes=${2:-} ;;
        --gpu) gpu=${2:-} ;;
        --name) name=${2:-} ;;
        -h | --help)
            sed -n '2,/^set /s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"
            exit 0
            ;;
        *) die "unknown option '$1'; $usage" ;;
    esac
    shift $(($# > 1 ? 2 : 1))
done
[[ $gpu =~ ^[0-9]+$ ]] || die "--gpu must be a number, not '$gpu'"
[[ $nodes =~ ^[1-9][0-9]*$ ]] || die "--nodes must be a number from 1, not '$nodes'"
[[ $# -ge 2 ]] || die "a log file and a command are needed; $usage"
log=$1
shift
name=${name:-$(basename "$log" .log)}

# ---- the command, for the back-end

quoted() { # quoted WORD...: one line for any POSIX shell
    local word line=
    for word in "$@"; do
        if [[ ! $word =~ ^[A-Za-z0-9_./:=,@%+-]+$ ]]; then
            word="'$(printf '%s' "$word" | sed "s/'/'\\\\''/g")'"
        fi
        line+="$word "
    done
    printf '%s' "${line% }"
}

header="# $(date '+%Y-%m-%d %H:%M:%S') $(uname -n): $(quoted "$@")"
case $cmd_backend in
    local)
        [[ $nodes -eq 1 ]] || die "--nodes $nodes: several nodes need SOP_BACKEND=slurm (cmd.sh)"
        command=("$@")
        ;;
    slurm)
        command -v sbatch >/dev/null || die "SOP_BACKEND is slurm, but there is no sbatch on PATH"
        options=("${slurm_cpu_options[@]}")
        if [[ $gpu -gt 0 ]]; then
            options=("${slurm_gpu_options[@]}" --gres="$slurm_gpu_gres:$gpu")
        fi
        wrapped=$(quoted "$@")
        if [[ $nodes -gt 1 ]]; then # srun does not take over the cores of a task by itself
            options+=(--nodes="$nodes" --ntasks-per-node=1)
            wrapped="SRUN_CPUS_PER_TASK=\$SLURM_CPUS_PER_TASK srun --kill-on-bad-exit=1 $wrapped"
        fi
        command=(sbatch --wait --job-name="$name" --output="${log//%/%%}" --open-mode=append "${options[@]}" --wrap="$wrapped")
        ;;
    *) die "unknown back-end '$cmd_backend' (SOP_BACKEND, cmd.sh); one of: local slurm" ;;
esac

# ---- console: what the log says of progress

shown=
shown_at=-10
show() { # show LINE: prints it if it tells of progress or trouble, 160 columns at most
    local line=${1%$'\r'}
    line=${line##*$'\r'}
    line=${line//[[:cntrl:]]/?} # a log may quote whatever was in a file
    case $line in
        *' INFO: '[0-9]*epoch* | *' INFO: The training was '*) line=${line#* INFO: } ;;
        WARNING:* | ERROR:*) ;;
        *' WARNING: '* | *' ERROR: '* | *' CRITICAL: '*) line=${line#*) } ;;
        *%\|*\|*/*\[*) # tqdm: every ten seconds and at the end
            if [[ $line != *100%* && $((SECONDS - shown_at)) -lt 10 ]]; then
                return 0
            fi
            shown_at=$SECONDS
            ;;
        espnet2-sop*': error: '*) return 0 ;; # the report at the end has it
        espnet2-sop*) ;;
        *) return 0 ;;
    esac
    if [[ $line != "$shown" ]]; then
        shown=$line
        line="  ${name//[[:cntrl:]]/?}: $line"
        printf '%s\n' "${line:0:160}"
    fi
}

follow() { # shows what is written to the log (descriptor 3) until the child has ended
    local line part='' ended=''
    while [[ -z $ended ]]; do
        kill -0 "$child" 2>/dev/null || ended=1
        while IFS= read -r line <&3; do
            show "$part$line"
            part=
        done
        part=$part$line
        if [[ -n $ended || $part == *$'\r'* ]]; then # an unfinished line, such as tqdm's
            show "$part"
            part=${part##*$'\r'}
        fi
        [[ -n $ended ]] || sleep 0.2 || true
    done
}

# ---- run

# shellcheck disable=SC2329  # called by the traps below
stop() { # stop SIGNAL: ends the command with all its children, then this script in the same way
    trap '' INT TERM HUP PIPE
    local id signal tries
    if [[ $cmd_backend == slurm ]]; then
        id=$(own_log | sed -n 's/^Submitted batch job \([0-9][0-9]*\).*/\1/p' | tail -n 1)
        [[ -z $id ]] || scancel "$id" || true
    fi
    for signal in ${child:+INT TERM KILL}; do # three seconds each to tidy up
        for ((tries = 0; tries < 15; tries++)); do
            [[ $tries -gt 0 ]] || kill -s "$signal" -- "-$child" 2>/dev/null || true
            kill -0 -- "-$child" 2>/dev/null || break 2
            sleep 0.2
        done
    done
    printf '# ended by signal %s\n' "$1" >>"$log"
    say "$name: interrupted; log: $log" 2>&4 || true
    trap - "$1"
    kill -s "$1" $$
}

own_log() { tail -c "+$((start + 1))" "$log"; }

report() { # report STATUS: what went wrong, in one line if the command said it in one
    local error hint=
    [[ $1 -ne 137 ]] || hint=', killed from outside: often too little memory'
    error=$(own_log | tr '\r' '\n' | grep -E '^espnet2-sop[^:]*: error: ' | tail -n 1) || true
    if [[ -z $error ]]; then
        error=$(own_log | tr '\r' '\n' | tail -n 15)
    fi
    printf '%s\n' "$error" | tr '\001-\010\013-\037\177' '?' >&2
    say "error: $name failed (exit status $1$hint); log: $log"
}

mkdir -p "$(dirname "$log")"
printf '%s\n' "$header" >>"$log" || die "$log cannot be written"
start=$(wc -c <"$log")
exec 3<"$log" 4>&2
head -c "$start" <&3 >/dev/null

child=
for signal in INT TERM HUP PIPE; do
    # shellcheck disable=SC2064  # expanded now on purpose
    trap "stop $signal" "$signal"
done
set -m # the command gets a process group of its own, so that all of it can be ended
"${command[@]}" </dev/null >>"$log" 2>&1 3<&- 4>&- &
child=$!
set +m

printf '  %s: log %s\n' "${name//[[:cntrl:]]/?}" "${log//[[:cntrl:]]/?}"
follow 2>/dev/null # where bash tells of a killed child
status=0
wait "$child" || status=$?
[[ $status -eq 0 ]] || report "$status"
printf '# ended after %d s with status %d\n' "$SECONDS" "$status" >>"$log"
exit "$status"
