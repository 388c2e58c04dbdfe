#!/usr/bin/env bash
# whisper_encoder.sh DIR [SEED]: heads with an encoder adapter of their own, and stage 3 with their prompts. Goes on
# from the mean of runs 2 and 3 of whisper_stage1.sh, and from the heads of whisper_heads.sh.
set -euo pipefail
group=whisper
# shellcheck source=egs2/fotaqmix/sop_asr1/local/experiments/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

model="${root}/run3/stage1_sot_mean" heads="${root}/heads_${seed}"
for file in "${model}/valid.acc.ave.pth" "${heads}/stage2_ctc/valid.ter.ave.pth"; do
    [ -f "${file}" ] || fail "${file} is missing: run whisper_stage1.sh and whisper_heads.sh first, with the same seed"
done
runs="${root}/encoder_${seed}"
base="conf/base.yaml conf/encoder/whisper-base.yaml conf/float32.yaml conf/llm/whisper-base.yaml"
targets="[q_proj, k_proj, v_proj, out_proj, fc1, fc2]"
put "${root}/lstm.yaml" "separator_conf: {lstm_size: 192}"
put "${root}/large.yaml" \
    "llm_conf: {adapters: {sop: {r: 32, lora_alpha: 64, lora_dropout: 0.0, target_modules: ${targets}}}}"
inherit encoder sot conf/whisper/train_sot.yaml
inherit encoder sot_continued conf/whisper/train_sot_continued.yaml
inherit encoder ctc_encoder conf/whisper/train_ctc_encoder.yaml "init_from: sot" # the heads know single talkers
inherit encoder sop_encoder conf/whisper/train_sop_encoder.yaml
inherit encoder sop_encoder_none conf/whisper/train_sop_encoder.yaml "prompt_conf: {sop_source: none}"
draw train_encoder 2516 "1: 0.2, 2: 0.45, 3: 0.35"
draw_test fresh_3mix_clean 2611 300
draw_test confirm_3mix_clean 2811 600

if [ ! -f "${runs}/stage1_sot/valid.acc.ave.pth" ]; then
    mkdir -p "${runs}/stage1_sot"
    cp "${model}/config.yaml" "${runs}/stage1_sot"
    cp -r "${heads}/vocab" "${runs}"
    "${tools[@]}" take "${model}/valid.acc.ave.pth" "${heads}/stage2_ctc/valid.ter.ave.pth" downsampler separator ctc \
        --out "${runs}/stage1_sot/valid.acc.ave.pth"
fi
options=(--conf_dir "${root}/encoder" --expdir "${runs}" --train_set train_encoder)
stage3=(--stage 7 --stop_stage 7 --train_args "--seed ${seed} --max_epoch 4 --num_iters_per_epoch 200")
recipe "${options[@]}" --base_config "${base} ${root}/lstm.yaml" --stage 6 --stop_stage 6 --systems ctc_encoder \
    --train_args "--seed ${seed}"
recipe "${options[@]}" --base_config "${base} ${root}/lstm.yaml ${root}/large.yaml" "${stage3[@]}" \
    --systems "sop_encoder sop_encoder_none"
recipe "${options[@]}" --base_config "${base}" "${stage3[@]}" --systems sot_continued
test_sets="${clean} fresh_3mix_clean confirm_3mix_clean"
recipe "${options[@]}" --base_config "${base} ${root}/lstm.yaml ${root}/large.yaml" --stage 9 --stop_stage 11 \
    --systems "ctc_encoder sop_encoder sop_encoder_none sot_continued" --decode_args "--no_repeat_ngram 6" \
    --test_sets "${test_sets}"
read -ra sets <<<"${test_sets}"
compare "${runs}" sop_encoder sot_continued "${sets[@]}"
compare "${runs}" sop_encoder sop_encoder_none "${sets[@]}"
