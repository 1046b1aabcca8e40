. "$CASES/cc.sh"
prog app/m -Wl,-z,nodefaultlib -l:libc.so.6
