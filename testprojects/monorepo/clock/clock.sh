#!/bin/sh
date "+It is %H:%M."
