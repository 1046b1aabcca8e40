. "$CASES/cc.sh"
lib real/liba.so
prog real/m ${runpath}'$ORIGIN' real/liba.so
mkdir app
ln -s ../real/m app/m
