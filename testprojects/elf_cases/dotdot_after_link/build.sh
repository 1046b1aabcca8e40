. "$CASES/cc.sh"
lib real/lib/liba.so
mkdir -p real/deep far
ln -s ../real/deep far/deep
prog app/m ${runpath}"$ROOT/far/deep/../lib" real/lib/liba.so
