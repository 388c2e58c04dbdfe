#!/usr/bin/env bash
# data.sh [--name value ...]: data directories of Libri2Mix and Libri3Mix. Mixtures are mixed while they are read,
# unless --store_mixtures is true.
set -euo pipefail

### options
datadir=data                   # where the data directories go
librispeech=                   # LibriSpeech folder; empty: downloaded
wham=                          # wham_noise folder; empty: downloaded, if --condition asks for noise
metadata=                      # folder with Libri2Mix/*.csv and Libri3Mix/*.csv; empty: downloaded
downloads=downloads            # where downloads go
num_talkers="2 3"              # numbers of talkers
condition="clean noisy"        # without noise, with noise, or both
train_parts="train-clean-100 train-clean-360"       # parts of LibriSpeech in the training set
mode=max                       # max: until the last talker ends, min: until the first does
seed=0                         # decides the start offsets of CSVs that have none
speed_perturb=1.0              # speeds of the training mixtures, e.g. "0.9 1.0 1.1"
store_mixtures=false           # true: write all mixtures as WAV to DATADIR/wav
nj=4                           # processes that write audio
### end of options

# shellcheck source=egs2/TEMPLATE/sop_asr1/options.sh
. "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/../../../TEMPLATE/sop_asr1/options.sh" "$@"

need_words num_talkers '[23]' "2 or 3, for which LibriMix has recipes"
need_words condition 'clean|noisy' "clean or noisy"
need_words train_parts '[A-Za-z0-9][A-Za-z0-9._-]*' "names of folders of LibriSpeech"
need_words speed_perturb '[0-9]+([.][0-9]+)?' "speeds, such as 0.9,1.0,1.1"
need_match mode 'max|min' "max or min"
need_match seed '0|[1-9][0-9]{0,8}' "a whole number from 0"
need_match store_mixtures 'true|false' "true or false"
need_number nj
need_match downloads '[^-].*' "a folder whose name does not begin with -"
for name in librispeech wham metadata; do # before anything is downloaded
    [ -z "${!name}" ] || need_folder "${!name}" "${name}"
done

if [ -z "${librispeech}" ]; then
    local/download.sh librispeech "${downloads}" || exit 1
    librispeech="${downloads}/LibriSpeech"
fi
if [ -z "${metadata}" ]; then
    local/download.sh metadata "${downloads}" || exit 1
    metadata="${downloads}/metadata"
fi
noise=()
if [[ "${condition}" == *noisy* ]]; then
    if [ -z "${wham}" ]; then
        local/download.sh wham "${downloads}" || exit 1
        wham="${downloads}/wham_noise"
    fi
    noise=(--noise_root "${wham}" --noise_augmented "${datadir}/wham_augmented")
fi

csv() { # csv TALKERS PART: the CSV with start offsets, which are drawn where LibriMix has none
    local csv="${metadata}/Libri$1Mix/libri$1mix_$2.csv" out="${datadir}/metadata/libri$1mix_$2"
    [ -f "${csv}" ] || fail "${csv}: no such file; --metadata names the folder of Libri2Mix and Libri3Mix"
    if [[ "$(head -n 1 "${csv}")" != *offset* ]]; then
        espnet2-sop prepare offsets --csv "${csv}" --seed "${seed}" --out "${out}" >&2 || exit 1
        csv="${out}/$(basename "${csv}")"
    fi
    echo "${csv}"
}
prepare() { # prepare OUT CONDITION CSV...
    local out="${datadir}/$1" kind="$2" store=()
    shift 2
    [ "${store_mixtures}" != true ] || store=(--store_mixtures "${datadir}/wav")
    espnet2-sop prepare librimix --speech_root "${librispeech}" ${noise[@]+"${noise[@]}"} --mode "${mode}" --nj "${nj}" \
        --condition "${kind}" ${store[@]+"${store[@]}"} --out "${out}" --csv "$@"
}
csvs() { # csvs PART...: the CSVs of all numbers of talkers, one per line
    local talkers part
    for talkers in ${num_talkers}; do
        for part in "$@"; do csv "${talkers}" "${part}"; done
    done
}

all="${condition}"
[[ "${condition}" != *clean*noisy* && "${condition}" != *noisy*clean* ]] || all=both
# shellcheck disable=SC2086  # train_parts is a list
files="$(csvs ${train_parts})"
mapfile -t train <<<"${files}"
prepare train "${all}" "${train[@]}" --speed_perturb "${speed_perturb}"
files="$(csvs dev-clean)"
mapfile -t dev <<<"${files}"
prepare dev "${all}" "${dev[@]}"
for talkers in ${num_talkers}; do
    for part in dev test; do
        file="$(csv "${talkers}" "${part}-clean")"
        for kind in ${condition}; do prepare "${part}_${talkers}mix_${kind}" "${kind}" "${file}"; done
    done
done
