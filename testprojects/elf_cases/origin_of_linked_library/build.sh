. "$CASES/cc.sh"
lib far/libb.so
lib real/liba.so far/libb.so ${runpath}'$ORIGIN'
mkdir -p far
ln -s ../real/liba.so far/liba.so
prog app/m ${runpath}"$ROOT/far" far/liba.so
