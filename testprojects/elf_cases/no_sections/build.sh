. "$CASES/cc.sh"
lib far/liba.so
prog app/m ${rpath}"$ROOT/far" far/liba.so
for at in 40 41 42 43 44 45 46 47 60 61 62 63; do poke app/m $at 000; done
