#!/usr/bin/env bash
# Serialized Output Prompting: from corpora to a result table, in numbered stages.
# Every option below is set on the command line as --name value.
set -euo pipefail

### options
stage=1                        # first stage to run
stop_stage=11                  # last stage to run
ngpu=0                         # GPUs per node; 0 trains and decodes on CPU
nj=2                           # independent jobs side by side (adaptation and its control, decoding)
expdir=exp                     # where training runs, hypotheses and results go
datadir=data                   # data directories as prepared
dumpdir=dump                   # data directories after length filtering
train_set=train                # training set: a simulation rule or a fixed set of mixtures
valid_set=dev                  # validation set
test_sets=                     # test sets, separated by spaces
local_data_opts=               # options passed to local/data.sh
max_duration=20                # longest mixture or utterance in seconds (the paper drops longer ones)
min_duration=0.3               # shortest
ctc_vocab=llm                  # vocabulary of the CTC heads: llm (the paper) or sentencepiece
ctc_vocab_size=1000            # pieces of the sentencepiece vocabulary
base_config=conf/base.yaml     # model and trainer of all stages: encoder, Separator, LLM by Hugging Face id or folder
sot_config=conf/train_sot.yaml                      # stage 1: SOT fine-tuning
ctc_config=conf/train_ctc.yaml                      # stage 2: Separator and serialized CTC
sop_config=conf/train_sop.yaml                      # stage 3: adaptation with the serialized output prompt
control_config=conf/train_sot_continued.yaml        # control: stage 1 trained on for as many updates as stage 3
train_args=                    # options passed to every training, e.g. "--max_epoch 1"
systems="ctc sot sot_continued sop"                 # what is decoded and scored
decode_args=                   # options passed to decoding, e.g. "--beam 4"
pack_system=sop                # system that the last stage packs
### end of options

help() {
    cat <<'HELP'
Usage: ./sop.sh [--name value ...]      (called by run.sh of a recipe, which adds its own options)

Stages:
   1  data preparation (local/data.sh)         7  stage 3: SOP adaptation, and its control
   2  formatting and length filtering          8  decoding
   3  vocabulary of the serialized CTC heads   9  scoring
   4  statistics                              10  result table
   5  stage 1: SOT fine-tuning                11  packing
   6  stage 2: Separator + serialized CTC
A stage that is done is skipped, one that was interrupted goes on where it was.

Options:
HELP
    sed -n '/^### options/,/^### end/{s/^\([a-z_]*\)=\([^#]*\)# *\(.*\)$/\1\t\2\t\3/p}' "${BASH_SOURCE[0]}" |
        while IFS=$'\t' read -r name value text; do
            read -r value <<<"${value}" || true
            printf '  --%-16s %s%s\n' "${name}" "${text}" "${value:+ [${value//\"/}]}"
        done
}

log() { echo "$(date '+%H:%M:%S') $*"; }
fail() { echo "sop.sh: error: $*" >&2; exit 1; }

known=" $(sed -n '/^### options/,/^### end/{s/^\([a-z_]*\)=.*/\1/p}' "${BASH_SOURCE[0]}" | tr '\n' ' ')"
while [ $# -gt 0 ]; do
    case "$1" in
        -h | --help) help; exit 0 ;;
        --*=*) name="${1%%=*}" value="${1#*=}" ;;
        --*) [ $# -gt 1 ] || fail "$1 needs a value (./sop.sh --help)"; name="$1" value="$2"; shift ;;
        *) fail "'$1' is not an option (./sop.sh --help)" ;;
    esac
    name="${name#--}"
    [[ "${known}" == *" ${name} "* ]] || fail "no option --${name} (./sop.sh --help)"
    printf -v "${name}" '%s' "${value}"
    shift
done
for name in stage stop_stage ngpu nj ctc_vocab_size; do
    [[ "${!name}" =~ ^[0-9]+$ ]] || fail "--${name} ${!name}: must be a whole number"
done
for system in ${systems}; do
    [[ " ctc sot sot_continued sop " == *" ${system} "* ]] || fail "--systems: no system '${system}'"
done

# shellcheck source=egs2/TEMPLATE/sop_asr1/path.sh
. ./path.sh
# shellcheck source=egs2/TEMPLATE/sop_asr1/cmd.sh
. ./cmd.sh

should_run() { # should_run NUMBER TITLE
    [ "${stage}" -le "$1" ] && [ "${stop_stage}" -ge "$1" ] || return 1
    log "stage $1: $2"
}

run_dir() { # folder of the training run behind a system
    case "$1" in
        sot) echo "${expdir}/stage1_sot" ;;
        ctc) echo "${expdir}/stage2_ctc" ;;
        sop) echo "${expdir}/stage3_sop" ;;
        sot_continued) echo "${expdir}/stage3_sot_continued" ;;
    esac
}
checkpoint() { # the averaged checkpoint of a system's run
    case "$1" in
        ctc) echo valid.ter.ave.pth ;;
        *) echo valid.acc.ave.pth ;;
    esac
}

job() { # job NAME LOG COMMAND...: on this machine or on Slurm, see cmd.sh
    local name="$1" logfile="$2"
    shift 2
    mkdir -p "$(dirname "${logfile}")"
    ./job.sh --gpu "${ngpu}" --name "${name}" "${logfile}" "$@"
}

side_by_side() { # side_by_side FUNCTION ARGUMENT...: calls it for each argument, nj at a time; fails if one fails
    local call="$1" failed=0 running=0
    shift
    for argument in "$@"; do
        if [ "${running}" -ge "${nj}" ]; then
            wait -n || failed=1
            running=$((running - 1))
        fi
        "${call}" "${argument}" &
        running=$((running + 1))
    done
    while [ "${running}" -gt 0 ]; do
        wait -n || failed=1
        running=$((running - 1))
    done
    return "${failed}"
}
threads() { # threads JOBS: CPU threads of each of so many jobs
    local cores
    cores="$(nproc)"
    echo $((cores / $1 > 0 ? cores / $1 : 1))
}

train() { # train SYSTEM CONFIG [SYSTEM TO START FROM]
    local system="$1" config="$2" from="${3:-}" out init=() valid="${dumpdir}/${valid_set}" data shape=()
    out="$(run_dir "${system}")"
    for name in "${base_config}" "${config}"; do [ -f "${name}" ] || fail "${name}: no such configuration"; done
    if [ -f "${out}/.done" ] && [ "${out}/.done" -nt "${config}" ] && [ "${out}/.done" -nt "${base_config}" ]; then
        log "${out}: trained already"
        return 0
    fi
    if [ -n "${from}" ]; then
        init=(--init_param "$(run_dir "${from}")/$(checkpoint "${from}")")
        [ -f "${init[1]}" ] || fail "${init[1]} is missing: train system '${from}' first"
    fi
    data="${dumpdir}/${train_set}/simulation.yaml"
    if [ ! -f "${data}" ]; then
        data="${dumpdir}/${train_set}/mixtures.jsonl"
        shape=(--train_shape_file "${dumpdir}/${train_set}/speech_shape")
    fi
    [ -f "${data}" ] || fail "${dumpdir}/${train_set}: no training data here (stages 1 and 2 make it)"
    # shellcheck disable=SC2086  # train_args is a list of options
    job "${system}" "${out}/train.log" espnet2-sop train \
        --config "${base_config}" --config "${config}" --output_dir "${out}" --ngpu "${ngpu}" \
        --multiprocessing_distributed "$([ "${ngpu}" -gt 1 ] && echo true || echo false)" \
        --ctc_vocab "${expdir}/ctc_vocab" \
        --train_data_path_and_name_and_type "${data},speech,mixture" \
        --train_data_path_and_name_and_type "${data},text,mixture_text" ${shape[@]+"${shape[@]}"} \
        --valid_data_path_and_name_and_type "${valid}/mixtures.jsonl,speech,mixture" \
        --valid_data_path_and_name_and_type "${valid}/mixtures.jsonl,text,mixture_text" \
        --valid_shape_file "${valid}/speech_shape" ${init[@]+"${init[@]}"} ${train_args}
    touch "${out}/.done"
    log "${out}: $(checkpoint "${system}"), config.yaml, train.log, images/"
}

adapt() { # adapt SYSTEM: stage 3 or its control
    case "$1" in
        sop) train sop "${sop_config}" ctc ;;
        sot_continued) train sot_continued "${control_config}" sot ;;
    esac
}

decode() { # decode SYSTEM
    local out="${expdir}/decode/$1" mode="$1" sets=()
    [ "${mode}" = sot_continued ] && mode=sot
    for name in ${test_sets}; do sets+=("${dumpdir}/${name}"); done
    # shellcheck disable=SC2086  # decode_args is a list of options
    job "decode_$1" "${out}/decode.log" espnet2-sop decode --run "$(run_dir "$1")" \
        --checkpoint "$(checkpoint "$1")" --mode "${mode}" --out "${out}" --ngpu "${ngpu}" ${decode_args} "${sets[@]}"
    log "${out}: text, hyp.seglst.json and speed.json of ${#sets[@]} sets"
}

all_sets="$(tr ' ' '\n' <<<"${train_set} ${valid_set} ${test_sets}" | sed '/^$/d' | sort -u | tr '\n' ' ')"

if should_run 1 "data preparation"; then
    # shellcheck disable=SC2086  # local_data_opts is a list of options
    ./local/data.sh --datadir "${datadir}" ${local_data_opts}
fi

if should_run 2 "formatting and length filtering"; then
    for name in ${all_sets}; do
        espnet2-sop format --min_duration "${min_duration}" --max_duration "${max_duration}" \
            "${datadir}/${name}" "${dumpdir}/${name}"
    done
fi

if should_run 3 "vocabulary of the serialized CTC heads"; then
    espnet2-sop vocab --kind "${ctc_vocab}" --config "${base_config}" --data "${dumpdir}/${train_set}" \
        --size "${ctc_vocab_size}" --out "${expdir}/ctc_vocab"
fi

if should_run 4 "statistics"; then
    folders=()
    for name in ${all_sets}; do folders+=("${dumpdir}/${name}"); done
    espnet2-sop stats "${folders[@]}" --out "${expdir}/stats.json"
fi

if should_run 5 "training stage 1, SOT fine-tuning"; then
    train sot "${sot_config}"
fi

if should_run 6 "training stage 2, Separator and serialized CTC"; then
    train ctc "${ctc_config}" sot
fi

if should_run 7 "training stage 3, SOP adaptation, and its control, SOT continued"; then
    runs=()
    for system in sop sot_continued; do
        [[ " ${systems} " == *" ${system} "* ]] && runs+=("${system}")
    done
    if [ "${ngpu}" -eq 0 ] && [ "${nj}" -gt 1 ]; then
        OMP_NUM_THREADS="$(threads 2)" side_by_side adapt ${runs[@]+"${runs[@]}"}
    else
        for system in ${runs[@]+"${runs[@]}"}; do adapt "${system}"; done
    fi
fi

if should_run 8 "decoding"; then
    [ -n "${test_sets}" ] || fail "--test_sets is empty: nothing to decode"
    # shellcheck disable=SC2086  # systems is a list
    OMP_NUM_THREADS="$(threads "${nj}")" side_by_side decode ${systems}
fi

if should_run 9 "scoring"; then
    folders=()
    for system in ${systems}; do
        for name in ${test_sets}; do folders+=("${expdir}/decode/${system}/${name}"); done
    done
    espnet2-sop score --data "${dumpdir}" "${folders[@]}"
fi

if should_run 10 "result table"; then
    espnet2-sop table "${expdir}" >"${expdir}/table.log"
    log "${expdir}/results.json, ${expdir}/RESULTS.md"
fi

if should_run 11 "packing"; then
    espnet2-sop pack --run "$(run_dir "${pack_system}")" --checkpoint "$(checkpoint "${pack_system}")" \
        --results "${expdir}/results.json" --out "${expdir}/packed/${pack_system}"
fi
if [ "${stop_stage}" -ge 10 ] && [ -f "${expdir}/RESULTS.md" ]; then
    echo
    cat "${expdir}/RESULTS.md"
fi
log "done"
