"""A jq for scripts that only assign and add."""

from __future__ import annotations

# What the scripts ask of jq, for machines that have none: `path = value | path += value ...`.
JQ = """\
import json, re, sys

arguments, values = sys.argv[1:], {}
while arguments[0] == "--argjson":
    values[arguments[1]] = json.loads(arguments[2])
    del arguments[:3]
with open(arguments[1]) if arguments[1:] else sys.stdin as file:
    document = json.load(file)
pattern = r"\\s*((?:\\.\\w+)+)\\s*(\\+?=)\\s*(?:\\$(\\w+)|(.*))"
for change in re.split(r"\\|\\s*(?=\\.)", arguments[0]):
    path, sign, name, text = re.fullmatch(pattern, change, re.DOTALL).groups()
    value = values[name] if name else json.loads(text)
    *parents, last = path[1:].split(".")
    node = document
    for parent in parents:
        node = node[parent]
    node[last] = node[last] + value if sign == "+=" else value
json.dump(document, sys.stdout, indent=2)
"""
