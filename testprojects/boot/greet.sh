#!/bin/bash
echo "$GREETING from a root file system that was mounted at run time."
