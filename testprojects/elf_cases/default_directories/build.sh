. "$CASES/cc.sh"
prog app/m -l:libc.so.6
