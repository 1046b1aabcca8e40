. "$CASES/cc.sh"
lib far/'$ORIGINAL'/liba.so
prog app/m ${runpath}"$ROOT"'/far/$ORIGINAL' far/'$ORIGINAL'/liba.so
