. "$CASES/cc.sh"
lib far/sub/libb.so
lib far/liba.so far/sub/libb.so ${runpath}'$ORIGIN/sub'
prog app/m ${runpath}"$ROOT/far" far/liba.so
