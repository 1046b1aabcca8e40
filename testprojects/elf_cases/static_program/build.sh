. "$CASES/cc.sh"
prog app/m -static
