#!/usr/bin/env bash
# whisper_stage1.sh DIR [SEED]: Whisper's own decoder, four runs of stage 1 and their means. Needs what other_voices.sh
# needs, and Debian's packages uqm-content and uqm-voice.
set -euo pipefail
group=whisper
# shellcheck source=egs2/fotaqmix/sop_asr1/local/experiments/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

base="conf/base.yaml conf/encoder/whisper-base.yaml conf/float32.yaml conf/llm/whisper-base.yaml"
options=(--conf_dir conf/whisper --systems sot --base_config "${base}" --test_sets "${clean}")
sets=()
for name in ${clean}; do sets+=("${root}/dump/${name}"); done

add_sky
add_piper
add_uqm
prepare_sets train sky joe5 uqm

train_run() { # train_run NUMBER BEFORE SEED TALKERS EPOCHS ITERATIONS RATE: a run that goes on from the run BEFORE
    local dtype=bfloat16
    [ "$1" != 2 ] || dtype=float32 # as it was done
    draw "train_$1" "$3" "$4"
    [ -f "${root}/packed/$1.zip" ] ||
        espnet2-sop pack --run "$2" --checkpoint valid.acc.ave.pth --dtype "${dtype}" --out "${root}/packed/$1"
    recipe "${options[@]}" --expdir "${root}/run$1" --pretrained_model "${root}/packed/$1.zip" --train_set "train_$1" \
        --stage 3 --stop_stage 5 \
        --train_args "--seed ${seed} --max_epoch $5 --num_iters_per_epoch $6 --optim_conf lr=$7"
}
decode_run() { # decode_run RUN NAME OPTION...
    espnet2-sop decode --run "$1" --checkpoint valid.acc.ave.pth --mode sot --no_repeat_ngram 6 \
        --out "${root}/decode/$2" "${@:3}" "${sets[@]}"
    espnet2-sop score --data "${root}/dump" "${root}/decode/$2"/test_*
}
mean_with() { # mean_with EARLIER NUMBER EPOCH: of the run EARLIER and the last epoch of another
    local mean="${root}/run$2/stage1_sot_mean"
    mkdir -p "${mean}"
    cp "${root}/run$2/stage1_sot/config.yaml" "${mean}"
    [ -f "${mean}/valid.acc.ave.pth" ] || "${tools[@]}" mean "$1/valid.acc.ave.pth" \
        "${root}/run$2/stage1_sot/$3epoch.pth" --out "${mean}/valid.acc.ave.pth"
    decode_run "${mean}" "mean$2_beam4" --beam 4
}

recipe "${options[@]}" --expdir "${root}/run1" --stage 3 --stop_stage 5 --train_args "--seed ${seed}"
decode_run "${root}/run1/stage1_sot" run1
train_run 2 "${root}/run1/stage1_sot" 2510 "1: 0.1, 2: 0.45, 3: 0.45" 5 460 0.00015
decode_run "${root}/run2/stage1_sot" run2
decode_run "${root}/run2/stage1_sot" run2_beam4 --beam 4
train_run 3 "${root}/run2/stage1_sot" 2514 "1: 0.15, 2: 0.5, 3: 0.35" 5 460 0.00015
mean_with "${root}/run2/stage1_sot" 3 5
train_run 4 "${root}/run3/stage1_sot_mean" 2518 "1: 0.1, 2: 0.6, 3: 0.3" 4 360 0.00012
mean_with "${root}/run3/stage1_sot_mean" 4 4
