#!/bin/bash
# All anew, whatever has changed.
set -e

occlum new occlum_instance
cd occlum_instance
occlum build
occlum build -f | grep '^built: '
occlum build --force | grep '^built: '
