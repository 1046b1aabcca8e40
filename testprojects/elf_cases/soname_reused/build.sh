. "$CASES/cc.sh"
lib far/libx.so -Wl,-soname,"$ROOT/far/libx.so"
lib far/liby.so
prog app/m ${rpath}"$ROOT/far" far/libx.so far/liby.so
lib far/libx.so -Wl,-soname,liby.so
