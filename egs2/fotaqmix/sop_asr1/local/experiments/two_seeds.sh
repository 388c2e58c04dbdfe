#!/usr/bin/env bash
# two_seeds.sh DIR [SEED]: SOP against its control with SmolLM2. Stage 0 is trained once, stages 1 to 3 for the seed
# (2509 and 2510 in RESULTS.md). Needs Debian's packages uqm-content and uqm-voice.
set -euo pipefail
# shellcheck source=egs2/fotaqmix/sop_asr1/local/experiments/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

targets="[q_proj, k_proj, v_proj, o_proj, gate_proj, up_proj, down_proj]"
lora="{r: 32, lora_alpha: 64, lora_dropout: 0.0, target_modules: ${targets}}"
put "${root}/large.yaml" "llm_conf: {adapters: {sot: ${lora}, sop: ${lora}}}"
options=(--base_config "conf/base.yaml conf/encoder/whisper-base.yaml ${root}/large.yaml")
packed=(--pretrained_model models/whisper_sot.zip)
test_sets="${clean} confirm_3mix_clean"

add_uqm
prepare_sets train uqm
draw_test confirm_3mix_clean 2811 600
draw "train_${seed}" "$((seed + 21))" "1: 0.25, 2: 0.375, 3: 0.375"

inherit stage0 align conf/train_align.yaml "single_talker_epochs: 2" "max_epoch: 2"
inherit stage0 align_mixtures conf/train_align_mixtures.yaml "max_epoch: 8"
stage0=("${options[@]}" --conf_dir "${root}/stage0" --train_set train_2509 --stage 5 --stop_stage 5)
draw train_2509 2530 "1: 0.25, 2: 0.375, 3: 0.375"
if [ ! -f "${root}/stage0_runs/.start" ]; then # all parts new, then the encoder from the package
    recipe "${options[@]}" --conf_dir "${root}/stage0" --expdir "${root}/new" --stage 3 --stop_stage 3 --systems align
    recipe "${stage0[@]}" --expdir "${root}/new" --systems align --train_args "--max_epoch 1 --num_iters_per_epoch 1"
    espnet2-sop unpack "${packed[1]}" --out "${root}/stage0_runs/pretrained"
    "${tools[@]}" take "${root}/new/stage0_align/1epoch.pth" "${root}/stage0_runs/pretrained/model.pth" encoder \
        --out "${root}/stage0_runs/pretrained/model.pth"
    cp -r "${root}/new/vocab" "${root}/stage0_runs"
    touch "${root}/stage0_runs/.start"
fi
recipe "${stage0[@]}" "${packed[@]}" --expdir "${root}/stage0_runs" --systems align_mixtures

runs="${root}/${seed}"
if [ ! -d "${runs}/vocab" ]; then
    mkdir -p "${runs}/pretrained"
    cp "${root}/stage0_runs/stage0_align_mixtures/valid.ter.ave.pth" "${runs}/pretrained/model.pth"
    cp -r "${root}/stage0_runs/vocab" "${runs}"
fi
inherit seeds sot conf/train_sot.yaml "init_from: pretrained"
for system in ctc sop sop_none sot_continued; do inherit seeds "${system}" "conf/train_${system}.yaml"; done
options+=("${packed[@]}" --conf_dir "${root}/seeds" --expdir "${runs}" --train_set "train_${seed}" --nj 1)
systems="sop sot_continued sop_none"
recipe "${options[@]}" --systems "${systems}" --stage 5 --stop_stage 6 --train_args "--seed ${seed}"
recipe "${options[@]}" --systems "${systems}" --stage 7 --stop_stage 7 \
    --train_args "--seed ${seed} --num_iters_per_epoch 250"
recipe "${options[@]}" --systems "ctc ${systems}" --stage 9 --stop_stage 11 --decode_args "--no_repeat_ngram 6" \
    --test_sets "${test_sets}"
for system in sot_continued sop_none ctc; do
    read -ra sets <<<"${test_sets}"
    compare "${runs}" sop "${system}" "${sets[@]}"
done
recipe "${options[@]}" --systems "sop sot_continued" --stage 9 --stop_stage 10 --decode_args "--no_repeat_ngram 6" \
    --test_sets test_3mix_noisy
compare "${runs}" sop sot_continued test_3mix_noisy
