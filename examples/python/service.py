"""Answers GET / with a line of JSON, on port 8080 of this machine."""

import bottle


@bottle.get("/")
def greet():
    return {"greeting": "Hello from Python"}


if __name__ == "__main__":
    bottle.run(host="127.0.0.1", port=8080, quiet=True)
