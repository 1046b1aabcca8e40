. "$CASES/cc.sh"
loader
prog app/m
