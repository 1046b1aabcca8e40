. "$CASES/cc.sh"
prog app/m -Wl,-dynamic-linker,/nonexistent/ld.so
