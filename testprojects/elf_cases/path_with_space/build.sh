. "$CASES/cc.sh"
lib "far dir/liba.so"
prog app/m ${rpath}"$ROOT/far dir" "far dir/liba.so"
