. "$CASES/cc.sh"
lib app/lib/liba.so
prog app/bin/m ${runpath}'$ORIGIN/../lib' app/lib/liba.so
