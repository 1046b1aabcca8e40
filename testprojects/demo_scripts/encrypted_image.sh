#!/bin/bash
# An encrypted image; the key is made in each run of the script, beside the instance.
set -e

for round in 1 2; do
    occlum gen-image-key image_key
    rm -rf occlum_instance && occlum new occlum_instance
    pushd occlum_instance
    rm -rf image
    copy_bom -f ../hello.yaml --root image --include-dir /opt/occlum/etc/template
    chmod 644 ../image_key
    occlum build -f --image-key ../image_key
    popd
done
grep -q '"encrypted"' occlum_instance/build/image_config.json
cd occlum_instance && occlum build --image-key ../image_key --buildin-image-key
