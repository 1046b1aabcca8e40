#!/bin/sh
if [ -r /etc/motd ]; then motd=$(cat /etc/motd); fi
echo "Hello from the enclave: ${motd:-no motd}"
