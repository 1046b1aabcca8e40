"""Asks the service, as a test does."""

import urllib.request

with urllib.request.urlopen("http://127.0.0.1:8080/") as answer:
    print(answer.read().decode())
