. "$CASES/cc.sh"
loader
prog app/m -Wl,-dynamic-linker,"$ROOT/occlum/ld-linux-x86-64.so.2"
