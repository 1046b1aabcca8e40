. "$CASES/cc.sh"
loader
lib mine/libgone.so
prog app/m mine/libgone.so
