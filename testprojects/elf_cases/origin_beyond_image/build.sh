. "$CASES/cc.sh"
lib app/lib/liba.so
prog app/a/b/m ${runpath}'$ORIGIN/../../lib' app/lib/liba.so
