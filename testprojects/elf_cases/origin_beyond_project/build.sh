. "$CASES/cc.sh"
lib app/liba.so
prog m ${runpath}'$ORIGIN/../../app' app/liba.so
