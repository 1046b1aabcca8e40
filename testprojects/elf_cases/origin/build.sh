. "$CASES/cc.sh"
lib app/liba.so
prog app/m ${rpath}'$ORIGIN' app/liba.so
