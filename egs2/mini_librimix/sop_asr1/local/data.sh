#!/usr/bin/env bash
# data.sh [--name value ...]: data directories of the embedded corpus: training mixtures drawn on the fly, dev and test
# fixed by the CSVs.
set -euo pipefail

### options
datadir=data                   # where the data directories go
corpus=corpus                  # folder with LibriSpeech, wham_noise and metadata
### end of options

# shellcheck source=egs2/TEMPLATE/sop_asr1/options.sh
. "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/../../../TEMPLATE/sop_asr1/options.sh" "$@"

speech="${corpus}/LibriSpeech" noise="${corpus}/wham_noise" metadata="${corpus}/metadata"
for folder in "${speech}/train-mini" "${noise}/tr" "${metadata}"; do need_folder "${folder}" corpus; done

espnet2-sop prepare simulation --speech_root "${speech}" --subset train-mini --noise_root "${noise}/tr" \
    --config conf/simulation.yaml --out "${datadir}/train"
espnet2-sop prepare librimix --speech_root "${speech}" --noise_root "${noise}" --condition both \
    --csv "${metadata}"/mini{1,2,3}mix_dev.csv --out "${datadir}/dev"
for talkers in 1 2 3; do
    for condition in clean noisy; do
        espnet2-sop prepare librimix --speech_root "${speech}" --noise_root "${noise}" --condition "${condition}" \
            --csv "${metadata}/mini${talkers}mix_test.csv" --out "${datadir}/test_${talkers}mix_${condition}"
    done
done
