. "$CASES/cc.sh"
mkdir musl
cp -L /lib/ld-musl-x86_64.so.1 musl/
lib far/liba.so
lib deflib/liba.so
prog app/m $musl ${rpath}"$ROOT/far" far/liba.so
