#!/bin/bash
# A script sees what goes wrong by the exit codes.
set -e

occlum new occlum_instance
if occlum new occlum_instance; then exit 1; fi
cd occlum_instance
if occlum init; then exit 1; fi
if occlum package; then exit 1; fi
if occlum print mrenclave; then exit 1; fi
if occlum build --no-such-option; then exit 1; fi
code=0; copy_bom -f ../none.yaml --root image || code=$?
test $code = 255
code=0; copy_bom --root image || code=$?
test $code = 1
echo 'targets: [{target: /, copy: [{files: [gone]}]}]' >bom.yaml
code=0; copy_bom -f bom.yaml --root image || code=$?
test $code = 254
echo 'not json' >Occlum.json
if occlum build; then exit 1; fi
test "$(occlum status)" = initialized
