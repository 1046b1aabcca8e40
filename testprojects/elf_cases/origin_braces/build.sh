. "$CASES/cc.sh"
lib app/liba.so
prog app/m ${runpath}'${ORIGIN}' app/liba.so
