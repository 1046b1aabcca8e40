. "$CASES/cc.sh"
lib far/libc.so
lib far/libpthread.so.0
prog app/m $musl ${rpath}"$ROOT/far" far/libc.so far/libpthread.so.0
