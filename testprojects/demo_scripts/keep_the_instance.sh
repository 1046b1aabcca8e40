#!/bin/bash
# A second run of the same script: the instance stays, the build is incremental.
set -e

for round in 1 2; do
    [ -d occlum_instance ] || occlum new occlum_instance
    pushd occlum_instance
    copy_bom -f ../hello.yaml --root image --include-dir /opt/occlum/etc/template
    occlum build >../round$round
    popd
done

grep -q '^built: ' round1
grep -q '^up to date: ' round2
grep -q 'successfully$' round2
