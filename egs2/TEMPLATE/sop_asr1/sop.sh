#!/usr/bin/env bash
# Serialized Output Prompting: from corpora to a result table, in numbered stages.
# Every option below is set on the command line as --name value.
set -euo pipefail

### options
stage=1                        # first stage to run
stop_stage=13                  # last stage to run
ngpu=0                         # GPUs per node; 0 trains and decodes on CPU
num_nodes=1                    # nodes of one training; several need SOP_BACKEND=slurm, see cmd.sh
nj=2                           # independent jobs side by side (trainings on CPU or Slurm, decoding)
expdir=exp                     # where training runs, hypotheses and results go
datadir=data                   # data directories as prepared
dumpdir=dump                   # data directories after length filtering
train_set=train                # training set: a simulation rule or a fixed set of mixtures
valid_set=dev                  # validation set
test_sets=                     # test sets, separated by spaces
local_data_opts=               # options passed to local/data.sh; quotes keep a value with blanks together
max_duration=20                # longest mixture or utterance in seconds (the paper drops longer ones)
min_duration=0.3               # shortest
ctc_vocab_size=1000            # pieces of the vocabulary of systems with `ctc_vocab: sentencepiece`
conf_dir=conf                  # where train_NAME.yaml of each system NAME is
base_config=conf/base.yaml     # model and trainer of all stages; of several files, separated by spaces, later ones win
pretrained_model=              # packed model (zip, folder or Hugging Face id) to start from, not from new parts
train_args=                    # options passed to every training, e.g. "--max_epoch 1"
cache=false                    # true: what the frozen parts give for a fixed training set is computed once and cached
systems="ctc sot sot_continued sop"                 # what is trained, decoded and scored, see below
decode_args=                   # options passed to decoding, e.g. "--beam 4"
prompt_use=0                   # mixtures per test set on which it is asked whether LLMs read their prompts; 0: not asked
score_args=                    # options passed to scoring, e.g. "--metric my_metrics:my_wer"
pack_system=sop                # system that is packed, if it is among the systems
pack_args=                     # options passed to espnet2-sop pack, e.g. "--include_pretrained --language en"
hf_repo=                       # Hugging Face id to upload it to, e.g. "me/model" or "me/model --private"
### end of options

help() {
    cat <<'HELP'
Usage: ./sop.sh [--name value ...]      (called by run.sh of a recipe, which adds its own options)

Stages:
   1  data preparation (local/data.sh)         7  stage 3: SOP adaptation, and all other systems
   2  formatting and length filtering          8  ESPnet's own SOT recogniser, the baseline
   3  vocabularies                             9  decoding
   4  statistics                              10  scoring
   5  stage 0 (alignment), if the recipe      11  tables, analysis of the prompts, report
      has one, and stage 1: SOT fine-tuning   12  packing
   6  stage 2: Separator + serialized CTC     13  upload, if --hf_repo is given
A stage that is done is skipped, one that was interrupted goes on where it was.

Systems: NAME is conf/train_NAME.yaml. Besides options of the trainer it says
   init_from: ctc               the system whose checkpoint it starts from, which is trained first; `pretrained` is the
                                pretrained encoder and LLM, `scratch` ESPnet's baseline
   decode_mode: sop             sop: LLM with prompt; sot: LLM without; ctc: heads alone; espnet: ESPnet's beam search
   defaults: train_sop.yaml     what else it has, if it changes only some keys of another file
   train: false                 the weights of its start are taken as they are
`espnet2-sop systems conf` shows them as a tree. So an ablation is a YAML file of a few lines and a name.

Options:
HELP
    sed -n '/^### options/,/^### end/{s/^\([a-z_]*\)=\([^#]*\)# *\(.*\)$/\1\t\2\t\3/p}' "${BASH_SOURCE[0]}" |
        while IFS=$'\t' read -r name value text; do
            read -r value <<<"${value}" || true
            printf '  --%-16s %s%s\n' "${name}" "${text}" "${value:+ [${value//\"/}]}"
        done
}

log() { echo "$(date '+%H:%M:%S') $*"; }
script=sop.sh
# shellcheck source=egs2/TEMPLATE/sop_asr1/options.sh
. "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/options.sh" "$@"
for name in stage stop_stage ngpu num_nodes nj ctc_vocab_size prompt_use; do
    [[ "${!name}" =~ ^(0|[1-9][0-9]{0,8})$ ]] || fail "--${name} ${!name}: must be a whole number"
done
for name in num_nodes nj; do [ "${!name}" -ge 1 ] || fail "--${name} ${!name}: must be 1 or more"; done
for name in min_duration max_duration; do
    [[ "${!name}" =~ ^[0-9]+([.][0-9]+)?$ ]] || fail "--${name} ${!name}: must be seconds"
done
[[ "${cache}" =~ ^(true|false)$ ]] || fail "--cache ${cache}: must be true or false"
for name in expdir datadir dumpdir; do # ESPnet separates file, name and type by commas, parts of --init_param by colons
    [[ "${!name}" == [!-]* && "${!name}" != *[,:[:cntrl:]]* ]] ||
        fail "--${name} '${!name}': must be a folder, without comma and colon, and must not begin with -"
done
for name in train_set valid_set test_sets; do
    for word in ${!name}; do
        [[ "${word}" =~ ^[A-Za-z0-9][A-Za-z0-9._-]*$ ]] ||
            fail "--${name}: '${word}' cannot be the name of a set: letters, digits, '.', '_' and '-' only"
    done
done
for system in ${systems}; do
    [[ "${system}" =~ ^[A-Za-z0-9_]+$ ]] ||
        fail "--systems: no system '${system}'; a name has letters, digits and '_' (./sop.sh --help)"
done
words() { # words OPTION VALUE: its words, one per line; quotes keep blanks, nothing else is interpreted
    xargs -r printf '%s\n' <<<"$2" 2>/dev/null || fail "--$1 $2: a quote is not closed"
}
train_words="$(words train_args "${train_args}")"
decode_words="$(words decode_args "${decode_args}")"
data_words="$(words local_data_opts "${local_data_opts}")"

# shellcheck source=egs2/TEMPLATE/sop_asr1/path.sh
. ./path.sh
# shellcheck source=egs2/TEMPLATE/sop_asr1/cmd.sh
. ./cmd.sh
[ "${num_nodes}" -le 1 ] || [ "${cmd_backend}" = slurm ] || fail "--num_nodes ${num_nodes} needs SOP_BACKEND=slurm (cmd.sh)"

should_run() { # should_run NUMBER TITLE
    [ "${stage}" -le "$1" ] && [ "${stop_stage}" -ge "$1" ] || return 1
    log "stage $1: $2"
}

# The systems and all that they start from, in the order in which they are trained, see espnet2-sop systems --help.
declare -A run=() start=() init=() checkpoint=() mode=() vocabulary=() trained=() train_command=()
turns=() stage_of_turn=()
read_systems() {
    local name number turn folder from path file decoded kind learns command table options=()
    # shellcheck disable=SC2206  # lists
    options=(--base_config ${base_config} --systems ${systems} --expdir "${expdir}")
    [ -z "${pretrained_model}" ] || options+=(--pretrained "${expdir}/pretrained/model.pth")
    table="$(espnet2-sop systems --format tsv "${options[@]}" -- "${conf_dir}")" || exit 1
    [ -n "${table}" ] || return 0
    while IFS=$'\t' read -r name number turn folder from path file decoded kind learns command; do
        turns[turn]="${turns[turn]:+${turns[turn]} }${name}" stage_of_turn[turn]="${number}"
        run[${name}]="${folder}" start[${name}]="${from}" init[${name}]="${path#-}" checkpoint[${name}]="${file}"
        mode[${name}]="${decoded}" vocabulary[${name}]="${kind}" trained[${name}]="${learns}"
        train_command[${name}]="${command}"
    done <<<"${table}"
}
read_systems

job() { # job NODES GPUS NAME LOG COMMAND...: on this machine or on Slurm, see cmd.sh
    mkdir -p "$(dirname "$4")"
    ./job.sh --nodes "$1" --gpu "$2" --name "$3" "${@:4}"
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

distributed() { # prints ESPnet's options for several processes, one per line
    if [ "${num_nodes}" -gt 1 ]; then
        printf '%s\n' --multiprocessing_distributed true --dist_launcher slurm \
            --dist_init_method "file://$(cd "$1" && pwd)/.dist_init_$(date +%s)_$$"
        [ "${ngpu}" -gt 0 ] || printf '%s\n' --dist_backend gloo
    elif [ "${ngpu}" -gt 1 ]; then
        printf '%s\n' --multiprocessing_distributed true
    fi
}

train() { # train SYSTEM
    local system="$1" out="${run[$1]}" data valid="${dumpdir}/${valid_set}"
    local from="${start[$1]}" initial="${init[$1]}" command word extra processes inputs=() shape=()
    if [ -n "${initial}" ] && [ ! -f "${initial}" ]; then
        [ "${from}" = pretrained ] || fail "${initial} is missing: train system '${from}' first"
        fail "${initial} is missing: stage 3 unpacks --pretrained_model"
    fi
    data="${dumpdir}/${train_set}/simulation.yaml"
    if [ ! -f "${data}" ]; then
        data="${dumpdir}/${train_set}/mixtures.jsonl"
        shape=(--train_shape_file "${dumpdir}/${train_set}/speech_shape")
    fi
    [ -f "${data}" ] || fail "${dumpdir}/${train_set}: no training data here (stages 1 and 2 make it)"
    IFS=$'\t' read -ra command <<<"${train_command[${system}]}"
    for word in "${command[@]}"; do [[ "${word}" != --config=* ]] || inputs+=("${word#--config=}"); done
    mapfile -t extra < <(printf '%s' "${train_words}")
    command+=(--ngpu "${ngpu}"
        --train_data_path_and_name_and_type "${data},speech,mixture"
        --train_data_path_and_name_and_type "${data},text,mixture_text" ${shape[@]+"${shape[@]}"}
        --valid_data_path_and_name_and_type "${valid}/mixtures.jsonl,speech,mixture"
        --valid_data_path_and_name_and_type "${valid}/mixtures.jsonl,text,mixture_text"
        --valid_shape_file "${valid}/speech_shape" ${extra[@]+"${extra[@]}"})
    if [ "${cache}" = true ] && [ "${mode[${system}]}" != espnet ] && [ "${trained[${system}]}" = true ]; then
        command+=(--cache "${expdir}/cache")
    fi
    if is_done "${out}/.done" "${command[*]}" "${inputs[@]}" "${data}" ${initial:+"${initial}"}; then
        log "${out}: trained already"
        return 0
    fi
    mkdir -p "${out}"
    if [[ " ${command[*]} " == *" --cache "* ]]; then # by one process
        job 1 "$((ngpu > 0))" "cache_${system}" "${out}/cache.log" espnet2-sop cache "${command[@]:2}" \
            --ngpu "$((ngpu > 0))"
    fi
    mapfile -t processes < <(distributed "${out}")
    job "${num_nodes}" "${ngpu}" "${system}" "${out}/train.log" "${command[@]}" ${processes[@]+"${processes[@]}"}
    find "${out}" -maxdepth 1 -name '.dist_init_*' -delete
    echo "${command[*]}" >"${out}/.done"
    log "${out}: ${checkpoint[${system}]}, config.yaml, train.log, images/"
}
is_done() { # is_done MARK COMMAND INPUT...: the mark was written by the same command, after all inputs
    local input
    [ "$(cat "$1" 2>/dev/null)" = "$2" ] || return 1
    for input in "${@:3}"; do
        [ "$1" -nt "${input}" ] || return 1
    done
}

train_all() { # train_all SYSTEM...: side by side where they do not wait for the same GPUs, else in turn
    local system jobs=$(($# < nj ? $# : nj))
    if [ "$#" -gt 1 ] && { [ "${ngpu}" -eq 0 ] || [ "${cmd_backend}" != local ]; }; then
        OMP_NUM_THREADS="$(threads "${jobs}")" side_by_side train "$@"
    else
        for system in "$@"; do train "${system}"; done
    fi
}

decode() { # decode SYSTEM: with --prompt_use also with prompts from elsewhere
    local out="${expdir}/decode/$1" sets=() gpus=() extra name source from command index=0
    for name in ${test_sets}; do sets+=("${dumpdir}/${name}"); done
    if [ "${ngpu}" -gt 1 ] && [ "${cmd_backend}" = local ]; then # each job its own GPU
        IFS=, read -ra gpus <<<"${CUDA_VISIBLE_DEVICES:-$(seq -s , 0 $((ngpu - 1)))}"
        for name in ${systems}; do
            [ "${name}" != "$1" ] || break
            index=$((index + 1))
        done
        export CUDA_VISIBLE_DEVICES="${gpus[$((index % ${#gpus[@]}))]}"
    fi
    mapfile -t extra < <(printf '%s' "${decode_words}")
    command=(espnet2-sop decode --run "${run[$1]}" --checkpoint "${checkpoint[$1]}" --mode "${mode[$1]}"
        --ngpu "${ngpu}")
    job 1 "$((ngpu > 0))" "decode_$1" "${out}/decode.log" "${command[@]}" --out "${out}" \
        ${extra[@]+"${extra[@]}"} "${sets[@]}"
    log "${out}: text, hyp.seglst.json and speed.json of ${#sets[@]} sets"
    mapfile -t sets < <(asked "$1" "${dumpdir}")
    [ "${#sets[@]}" -gt 0 ] || return 0
    for source in reference other none; do
        from="${out}/prompt_use/${source}"
        job 1 "$((ngpu > 0))" "decode_$1_${source}" "${from}/decode.log" "${command[@]}" --out "${from}" \
            ${extra[@]+"${extra[@]}"} --sop_source "${source}" --mixtures "${prompt_use}" "${sets[@]}"
    done
}
asked() { # asked SYSTEM FOLDER: prints FOLDER/SET for each set on which it is asked whether the LLM reads its prompt
    local name
    [ "${prompt_use}" -gt 0 ] && [ "${mode[$1]}" = sop ] && [[ ! "_$1_" =~ _(reference|oracle)_ ]] || return 0
    for name in ${test_sets}; do
        [ ! -f "${expdir}/decode/$1/${name}/prompt" ] || echo "$2/${name}"
    done
}

all_sets="$(tr ' ' '\n' <<<"${train_set} ${valid_set} ${test_sets}" | sed '/^$/d' | sort -u | tr '\n' ' ')"

if should_run 1 "data preparation"; then
    mapfile -t options < <(printf '%s' "${data_words}")
    ./local/data.sh --datadir "${datadir}" ${options[@]+"${options[@]}"}
fi

if should_run 2 "formatting and length filtering"; then
    for name in ${all_sets}; do
        espnet2-sop format --min_duration "${min_duration}" --max_duration "${max_duration}" \
            "${datadir}/${name}" "${dumpdir}/${name}"
    done
fi

if should_run 3 "vocabularies"; then
    read -ra bases <<<"${base_config}"
    [ -z "${pretrained_model}" ] || espnet2-sop unpack "${pretrained_model}" --out "${expdir}/pretrained"
    for kind in llm sentencepiece char; do
        [[ " ${vocabulary[*]} " == *" ${kind} "* ]] || continue
        if [ -n "${pretrained_model}" ] && [ -d "${expdir}/pretrained/vocab/${kind}" ]; then # the one of its heads
            mkdir -p "${expdir}/vocab"
            cp -R "${expdir}/pretrained/vocab/${kind}" "${expdir}/vocab"
            continue
        fi
        espnet2-sop vocab --kind "${kind}" "${bases[@]/#/--config=}" --data "${dumpdir}/${train_set}" \
            --size "${ctc_vocab_size}" --out "${expdir}/vocab/${kind}"
    done
fi

if should_run 4 "statistics"; then
    folders=()
    for name in ${all_sets}; do folders+=("${dumpdir}/${name}"); done
    espnet2-sop stats "${folders[@]}" --out "${expdir}/stats.json"
fi

for turn in "${!turns[@]}"; do
    read -ra names <<<"${turns[turn]}"
    if should_run "${stage_of_turn[turn]}" "training: ${names[*]}"; then train_all "${names[@]}"; fi
done

if should_run 9 "decoding"; then
    [ -n "${test_sets}" ] || fail "--test_sets is empty: nothing to decode"
    # shellcheck disable=SC2086  # systems is a list
    OMP_NUM_THREADS="$(threads "${nj}")" side_by_side decode ${systems}
fi

if should_run 10 "scoring"; then
    folders=()
    for system in ${systems}; do
        for name in ${test_sets}; do folders+=("${expdir}/decode/${system}/${name}"); done
    done
    # shellcheck disable=SC2086  # score_args is a list of options
    espnet2-sop score --data "${dumpdir}" ${score_args} "${folders[@]}"
    mapfile -t prompted < <(for system in ${systems}; do asked "${system}" "${expdir}/decode/${system}"; done)
    if [ "${#prompted[@]}" -gt 0 ]; then
        espnet2-sop analyse --prompt_use --data "${dumpdir}" "${prompted[@]}" >"${expdir}/prompt_use.log"
        log "${expdir}/prompt_use.log: whether the LLMs read their prompts"
    fi
fi

if should_run 11 "tables and report"; then
    espnet2-sop table "${expdir}" >"${expdir}/table.log"
    prompted=() control=()
    for system in ${systems}; do
        [ "${mode[${system}]}" = sop ] || continue
        for name in ${test_sets}; do
            [ ! -f "${expdir}/decode/${system}/${name}/prompt" ] || prompted+=("${expdir}/decode/${system}/${name}")
        done
    done
    [[ " ${systems} " != *" sot_continued "* ]] || control=(--control sot_continued)
    if [ "${#prompted[@]}" -gt 0 ]; then
        espnet2-sop analyse --data "${dumpdir}" ${control[@]+"${control[@]}"} "${prompted[@]}" >"${expdir}/prompts.log"
    fi
    espnet2-sop report "${expdir}"
    log "${expdir}/RESULTS.md, BREAKDOWN.md, results.json, results.csv, report.html"
fi

if [[ " ${systems} " == *" ${pack_system} "* ]] && should_run 12 "packing of ${pack_system}"; then
    results=()
    [ ! -f "${expdir}/results.json" ] || results=(--results "${expdir}/results.json")
    # shellcheck disable=SC2086  # pack_args is a list of options
    espnet2-sop pack --run "${run[${pack_system}]}" --checkpoint "${checkpoint[${pack_system}]}" \
        ${results[@]+"${results[@]}"} --out "${expdir}/packed/${pack_system}" ${pack_args}
fi
if [ -n "${hf_repo}" ] && should_run 13 "upload to ${hf_repo}"; then
    # shellcheck disable=SC2086  # hf_repo may have options
    espnet2-sop upload "${expdir}/packed/${pack_system}" ${hf_repo}
fi
if [ "${stop_stage}" -ge 11 ] && [ -f "${expdir}/RESULTS.md" ]; then
    echo
    cat "${expdir}/RESULTS.md"
fi
log "done"
